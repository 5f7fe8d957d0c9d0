//! The instructions of `neon.rs` in plain Rust, so that its tests run on other processors.
//!
//! Names, arguments and results are those of `std::arch::aarch64`; what reads or writes memory is
//! unsafe like there.

#![allow(non_camel_case_types, reason = "the names of instructions' types")]
#![expect(clippy::float_cmp, reason = "an instruction compares exactly")]

use std::array::from_fn;

#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct uint8x8_t([u8; 8]);
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct uint8x16_t([u8; 16]);
#[derive(Clone, Copy)]
pub(super) struct uint8x16x2_t(pub(super) uint8x16_t, pub(super) uint8x16_t);
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct uint16x4_t([u16; 4]);
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct uint16x8_t([u16; 8]);
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct uint32x4_t([u32; 4]);
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct float32x4_t([f32; 4]);

macro_rules! load {
    ($($name:ident($number:ty) -> $vector:ident;)*) => {
        $(pub(super) unsafe fn $name(from: *const $number) -> $vector {
            // SAFETY: guaranteed by the caller.
            unsafe { from.cast::<$vector>().read_unaligned() }
        })*
    };
}

load! {
    vld1_u8(u8) -> uint8x8_t;
    vld1q_u8(u8) -> uint8x16_t;
    vld1q_u16(u16) -> uint16x8_t;
    vld1q_u32(u32) -> uint32x4_t;
    vld1q_f32(f32) -> float32x4_t;
}

macro_rules! store {
    ($($name:ident($number:ty, $vector:ident);)*) => {
        $(pub(super) unsafe fn $name(to: *mut $number, value: $vector) {
            // SAFETY: guaranteed by the caller.
            unsafe { to.cast::<$vector>().write_unaligned(value) }
        })*
    };
}

store! {
    vst1q_u8(u8, uint8x16_t);
    vst1q_u16(u16, uint16x8_t);
    vst1q_f32(f32, float32x4_t);
}

macro_rules! lane_by_lane {
    ($($name:ident($vector:ident) -> $result:ident = $work:expr;)*) => {
        $(pub(super) fn $name(a: $vector, b: $vector) -> $result {
            $result(from_fn(|lane| ($work)(a.0[lane], b.0[lane])))
        })*
    };
}

lane_by_lane! {
    vandq_u32(uint32x4_t) -> uint32x4_t = |a, b| a & b;
    vorrq_u32(uint32x4_t) -> uint32x4_t = |a, b| a | b;
    vaddq_u32(uint32x4_t) -> uint32x4_t = u32::wrapping_add;
    vmulq_u32(uint32x4_t) -> uint32x4_t = u32::wrapping_mul;
    vcgeq_u32(uint32x4_t) -> uint32x4_t = |a, b| if a >= b { u32::MAX } else { 0 };
    vceqq_f32(float32x4_t) -> uint32x4_t = |a: f32, b: f32| if a == b { u32::MAX } else { 0 };
    vmulq_f32(float32x4_t) -> float32x4_t = |a: f32, b: f32| a * b;
    vsubq_f32(float32x4_t) -> float32x4_t = |a: f32, b: f32| a - b;
    vdivq_f32(float32x4_t) -> float32x4_t = |a: f32, b: f32| a / b;
}

pub(super) fn vqtbl1q_u8(table: uint8x16_t, places: uint8x16_t) -> uint8x16_t {
    let byte = |place: u8| table.0.get(usize::from(place)).copied().unwrap_or(0);
    uint8x16_t(places.0.map(byte))
}

pub(super) fn vqtbl2q_u8(table: uint8x16x2_t, places: uint8x16_t) -> uint8x16_t {
    let bytes = [table.0.0, table.1.0].concat();
    let byte = |place: u8| bytes.get(usize::from(place)).copied().unwrap_or(0);
    uint8x16_t(places.0.map(byte))
}

pub(super) fn vbslq_u32(mask: uint32x4_t, a: uint32x4_t, b: uint32x4_t) -> uint32x4_t {
    uint32x4_t(from_fn(|lane| {
        a.0[lane] & mask.0[lane] | b.0[lane] & !mask.0[lane]
    }))
}

pub(super) fn vshlq_n_u32<const N: i32>(value: uint32x4_t) -> uint32x4_t {
    uint32x4_t(value.0.map(|lane| lane << N))
}

pub(super) fn vshrq_n_u32<const N: i32>(value: uint32x4_t) -> uint32x4_t {
    uint32x4_t(value.0.map(|lane| lane >> N))
}

pub(super) fn vdupq_n_u32(value: u32) -> uint32x4_t {
    uint32x4_t([value; 4])
}

pub(super) fn vget_low_u16(value: uint16x8_t) -> uint16x4_t {
    uint16x4_t(from_fn(|lane| value.0[lane]))
}

pub(super) fn vget_high_u16(value: uint16x8_t) -> uint16x4_t {
    uint16x4_t(from_fn(|lane| value.0[lane + 4]))
}

pub(super) fn vcombine_u16(low: uint16x4_t, high: uint16x4_t) -> uint16x8_t {
    uint16x8_t(from_fn(|lane| {
        if lane < 4 {
            low.0[lane]
        } else {
            high.0[lane - 4]
        }
    }))
}

pub(super) fn vmovl_u8(value: uint8x8_t) -> uint16x8_t {
    uint16x8_t(value.0.map(u16::from))
}

pub(super) fn vmovl_u16(value: uint16x4_t) -> uint32x4_t {
    uint32x4_t(value.0.map(u32::from))
}

pub(super) fn vmovn_u32(value: uint32x4_t) -> uint16x4_t {
    uint16x4_t(value.0.map(|lane| (lane & 0xffff) as u16))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "as the instruction, rounded to nearest"
)]
pub(super) fn vcvtq_f32_u32(value: uint32x4_t) -> float32x4_t {
    float32x4_t(value.0.map(|lane| lane as f32))
}

pub(super) fn vreinterpretq_f32_u32(value: uint32x4_t) -> float32x4_t {
    float32x4_t(value.0.map(f32::from_bits))
}

pub(super) fn vreinterpretq_u32_f32(value: float32x4_t) -> uint32x4_t {
    uint32x4_t(value.0.map(f32::to_bits))
}

pub(super) fn vreinterpretq_u8_u32(value: uint32x4_t) -> uint8x16_t {
    uint8x16_t(from_fn(|place| value.0[place / 4].to_le_bytes()[place % 4]))
}
