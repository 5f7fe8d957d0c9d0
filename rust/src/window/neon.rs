//! The neon backend of 64-bit ARM: rows packed, converted and scaled eight numbers at a time.
//!
//! The counterpart of `avx2.rs`: vector loads and stores need raw pointers. Every method checks the
//! lengths that its loop relies on. The crate's tests pass when compiled for aarch64 and run under
//! qemu; on other processors they run the same code with the instructions of `neon/emulated.rs`.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
#[allow(clippy::wildcard_imports, reason = "the names of instructions")]
use std::arch::aarch64::*;

use super::gather::{OutputMemory, StoredRow};
use super::selection::{GROUP, NeuronSelection};
use super::shuffle_tables::{FLOAT_SHUFFLES, HALF_SHUFFLES};
use crate::format::number::{EXPONENT, HALF_NOT_FINITE};

#[cfg(not(target_arch = "aarch64"))]
mod emulated;
#[cfg(not(target_arch = "aarch64"))]
#[allow(clippy::wildcard_imports, reason = "the names of instructions")]
use emulated::*;
#[cfg(test)]
mod tests;

/// Bits of 2^112, a factor that moves the exponent's bias from 15 to 127 and normalizes subnormals.
const HALF_REBIAS: u32 = 0x7780_0000;
/// Numbers that are computed at a time.
const LANES: usize = 8;

/// The processor has NEON, as all of its kind have that Rust's standard library runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(());

/// Eight numbers in single precision.
type Eight = [float32x4_t; 2];

impl Vector {
    /// Proof that the processor has the instructions.
    pub fn detect() -> Option<Self> {
        Some(Self(()))
    }

    /// Pack the selected 16-bit numbers of a row; returns how many are packed.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_halves(self, row: &[u8], selection: &NeuronSelection, packed: &mut [u16]) -> usize {
        let mut count = 0;
        for (group, mask) in (0..).zip(selection.whole_groups(row, 2, packed.len())) {
            // SAFETY: the row has eight numbers for every mask, and `packed` space for the marked
            // ones and `SLACK` more, as `NeuronSelection::whole_groups` has checked.
            unsafe {
                let from = row.as_ptr().add(group * 2 * GROUP);
                let shuffle = vld1q_u8(HALF_SHUFFLES[usize::from(*mask)].as_ptr());
                let front = vqtbl1q_u8(vld1q_u8(from), shuffle);
                vst1q_u8(packed.as_mut_ptr().add(count).cast(), front);
            }
            count += mask.count_ones() as usize;
        }
        count
    }

    /// Pack the selected 32-bit numbers of a row; returns how many are packed.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_floats(self, row: &[u8], selection: &NeuronSelection, packed: &mut [f32]) -> usize {
        let mut count = 0;
        for (group, mask) in (0..).zip(selection.whole_groups(row, 4, packed.len())) {
            let shuffle = FLOAT_SHUFFLES[usize::from(*mask)].as_ptr();
            // SAFETY: as above.
            unsafe {
                let from = row.as_ptr().add(group * 4 * GROUP);
                let numbers = uint8x16x2_t(vld1q_u8(from), vld1q_u8(from.add(16)));
                let out = packed.as_mut_ptr().add(count).cast::<u8>();
                for half in 0..2 {
                    // Number n has the bytes 4n to 4n + 3.
                    let first =
                        vmulq_u32(vld1q_u32(shuffle.add(4 * half)), vdupq_n_u32(0x0404_0404));
                    let bytes = vaddq_u32(first, vdupq_n_u32(0x0302_0100));
                    let front = vqtbl2q_u8(numbers, vreinterpretq_u8_u32(bytes));
                    vst1q_u8(out.add(16 * half), front);
                }
            }
            count += mask.count_ones() as usize;
        }
        count
    }

    /// Convert, shift and divide numbers; returns the range that is written.
    ///
    /// The first and the last few, which no aligned vector covers, are left to the caller.
    ///
    /// # Panics
    /// An argument has another length than `out`.
    pub fn scale(
        self,
        stored: StoredRow,
        shift: Option<&[f32]>,
        scale: &[f32],
        out: &mut OutputMemory,
    ) -> Range<usize> {
        let length = out.len();
        assert!(stored.len() == length && scale.len() == length);
        assert!(shift.is_none_or(|shift| shift.len() == length));
        let range = out.whole_vectors(LANES);
        let by = Each { shift, scale };
        // SAFETY: all slices have the length of `out`, which `range` does not exceed.
        unsafe {
            match stored {
                StoredRow::F16(from) => write(&range, &F16(from), &by, out),
                StoredRow::Bf16(from) => write(&range, &Bf16(from), &by, out),
                StoredRow::F32(from) => write(&range, &F32(from), &by, out),
            }
        }
        range
    }

    /// Shift all grey levels by `mean` and divide them by `std`; returns the range that is written.
    ///
    /// # Panics
    /// The frame has another length than `out`.
    pub fn scale_greys(
        self,
        frame: &[u8],
        mean: f32,
        std: f32,
        out: &mut OutputMemory,
    ) -> Range<usize> {
        assert_eq!(frame.len(), out.len());
        let range = out.whole_vectors(LANES);
        let by = All {
            mean: [mean; LANES],
            std: [std; LANES],
        };
        // SAFETY: as above.
        unsafe { write(&range, &U8(frame), &by, out) };
        range
    }

    /// Nothing to do: no store bypasses the caches.
    pub fn finish(self) {}
}

/// Eight stored numbers as single precision.
trait Source {
    /// # Safety
    /// There are eight numbers from `at` on.
    unsafe fn load(&self, at: usize) -> Eight;
}

struct F16<'a>(&'a [u16]);
struct Bf16<'a>(&'a [u16]);
struct F32<'a>(&'a [f32]);
struct U8<'a>(&'a [u8]);

impl Source for F16<'_> {
    #[inline]
    unsafe fn load(&self, at: usize) -> Eight {
        // SAFETY: guaranteed by the caller, here and in the three that follow.
        unsafe {
            let halves = vld1q_u16(self.0.as_ptr().add(at));
            [vget_low_u16(halves), vget_high_u16(halves)].map(|four| {
                let bits = vmovl_u16(four);
                let sign = vshlq_n_u32::<16>(vandq_u32(bits, vdupq_n_u32(0x8000)));
                let rest = vshlq_n_u32::<13>(vandq_u32(bits, vdupq_n_u32(0x7fff)));
                let rebias = vreinterpretq_f32_u32(vdupq_n_u32(HALF_REBIAS));
                let finite = vmulq_f32(vreinterpretq_f32_u32(rest), rebias);
                let magnitude = vbslq_u32(
                    vcgeq_u32(rest, vdupq_n_u32(HALF_NOT_FINITE)),
                    vorrq_u32(rest, vdupq_n_u32(EXPONENT)),
                    vreinterpretq_u32_f32(finite),
                );
                vreinterpretq_f32_u32(vorrq_u32(sign, magnitude))
            })
        }
    }
}

impl Source for Bf16<'_> {
    #[inline]
    unsafe fn load(&self, at: usize) -> Eight {
        // SAFETY: as above.
        unsafe {
            let halves = vld1q_u16(self.0.as_ptr().add(at));
            [vget_low_u16(halves), vget_high_u16(halves)]
                .map(|four| vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(four))))
        }
    }
}

impl Source for F32<'_> {
    #[inline]
    unsafe fn load(&self, at: usize) -> Eight {
        // SAFETY: as above.
        unsafe { eight_at(self.0.as_ptr().add(at)) }
    }
}

impl Source for U8<'_> {
    #[inline]
    unsafe fn load(&self, at: usize) -> Eight {
        // SAFETY: as above.
        unsafe {
            let halves = vmovl_u8(vld1_u8(self.0.as_ptr().add(at)));
            [vget_low_u16(halves), vget_high_u16(halves)].map(|four| vcvtq_f32_u32(vmovl_u16(four)))
        }
    }
}

/// Shift and scale of eight numbers.
trait Scale {
    /// # Safety
    /// There are eight numbers from `at` on.
    unsafe fn apply(&self, value: Eight, at: usize) -> Eight;
}

struct Each<'a> {
    shift: Option<&'a [f32]>,
    scale: &'a [f32],
}

struct All {
    mean: [f32; LANES],
    std: [f32; LANES],
}

impl Scale for Each<'_> {
    #[inline]
    unsafe fn apply(&self, mut value: Eight, at: usize) -> Eight {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if let Some(shift) = self.shift {
                let [low, high] = eight_at(shift.as_ptr().add(at));
                value = [vsubq_f32(value[0], low), vsubq_f32(value[1], high)];
            }
            let [low, high] = eight_at(self.scale.as_ptr().add(at));
            [vdivq_f32(value[0], low), vdivq_f32(value[1], high)]
        }
    }
}

impl Scale for All {
    #[inline]
    unsafe fn apply(&self, value: Eight, _: usize) -> Eight {
        // SAFETY: both arrays have eight numbers.
        unsafe {
            let (mean, std) = (eight_at(self.mean.as_ptr()), eight_at(self.std.as_ptr()));
            let shifted = [vsubq_f32(value[0], mean[0]), vsubq_f32(value[1], mean[1])];
            [vdivq_f32(shifted[0], std[0]), vdivq_f32(shifted[1], std[1])]
        }
    }
}

/// # Safety
/// There are eight numbers from `from` on.
#[inline]
unsafe fn eight_at(from: *const f32) -> Eight {
    // SAFETY: guaranteed by the caller.
    unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
}

/// Write the positions in `range`.
///
/// # Safety
/// `range` lies in `out`, in `from` and in `by`, and is a multiple of eight long.
unsafe fn write(range: &Range<usize>, from: &impl Source, by: &impl Scale, out: &mut OutputMemory) {
    for at in range.clone().step_by(LANES) {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let [low, high] = by.apply(from.load(at), at);
            match out {
                OutputMemory::F32(out) => {
                    let to = out.as_mut_ptr().add(at);
                    vst1q_f32(to, low);
                    vst1q_f32(to.add(4), high);
                }
                OutputMemory::Bf16(out) => {
                    // Rounded to nearest, ties to even; NaN becomes one NaN.
                    let [low, high] = [low, high].map(|value| {
                        let bits = vreinterpretq_u32_f32(value);
                        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
                        let half = vaddq_u32(odd, vdupq_n_u32(0x7fff));
                        let rounded = vshrq_n_u32::<16>(vaddq_u32(bits, half));
                        let is_number = vceqq_f32(value, value);
                        vmovn_u32(vbslq_u32(is_number, rounded, vdupq_n_u32(0x7fc0)))
                    });
                    vst1q_u16(out.as_mut_ptr().add(at), vcombine_u16(low, high));
                }
                OutputMemory::U8(_) => {}
            }
        }
    }
}
