//! Lines packed, converted and scaled on 64-bit ARM, eight numbers at a time.
//!
//! The counterpart of `simd.rs`: vector loads and stores go through raw pointers, which is why they
//! are here, and nothing else is. Every entry checks the lengths that its loop relies on. On other
//! processors the tests run the same lines with the instructions of `simd_neon/emulated.rs`.

use std::ops::Range;

#[cfg(target_arch = "aarch64")]
#[allow(clippy::wildcard_imports, reason = "the names of instructions")]
use std::arch::aarch64::*;

use crate::columns::{Columns, GROUP};
use crate::convert::{EXPONENT, HALF_NOT_FINITE, HALF_REBIAS};
use crate::lines::{Numbers, Stored};
use crate::moves::{FLOAT_MOVES, HALF_MOVES};

#[cfg(not(target_arch = "aarch64"))]
mod emulated;
#[cfg(not(target_arch = "aarch64"))]
#[allow(clippy::wildcard_imports, reason = "the names of instructions")]
use emulated::*;
#[cfg(test)]
mod tests;

/// Numbers that are computed at a time.
const LANES: usize = 8;

/// The processor has NEON, as all of its kind have that Rust's standard library runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(());

/// Eight numbers in single precision.
type Eight = [float32x4_t; 2];

impl Vector {
    /// What shows that the processor has the instructions.
    pub fn detect() -> Option<Self> {
        Some(Self(()))
    }

    /// Move the chosen 16-bit numbers of a row to the front of `packed`; give how many were moved.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_halves(self, row: &[u8], columns: &Columns, packed: &mut [u16]) -> usize {
        let mut place = 0;
        for (group, mask) in (0..).zip(columns.whole_groups(row, 2, packed.len())) {
            // SAFETY: the row has eight numbers for every mask, and `packed` room for the marked
            // ones and `SLACK` more, as `Columns::whole_groups` has checked.
            unsafe {
                let from = row.as_ptr().add(group * 2 * GROUP);
                let moves = vld1q_u8(HALF_MOVES[usize::from(*mask)].as_ptr());
                let front = vqtbl1q_u8(vld1q_u8(from), moves);
                vst1q_u8(packed.as_mut_ptr().add(place).cast(), front);
            }
            place += mask.count_ones() as usize;
        }
        place
    }

    /// Move the chosen 32-bit numbers of a row to the front of `packed`; give how many were moved.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_floats(self, row: &[u8], columns: &Columns, packed: &mut [f32]) -> usize {
        let mut place = 0;
        for (group, mask) in (0..).zip(columns.whole_groups(row, 4, packed.len())) {
            let moves = FLOAT_MOVES[usize::from(*mask)].as_ptr();
            // SAFETY: as above.
            unsafe {
                let from = row.as_ptr().add(group * 4 * GROUP);
                let numbers = uint8x16x2_t(vld1q_u8(from), vld1q_u8(from.add(16)));
                let out = packed.as_mut_ptr().add(place).cast::<u8>();
                for half in 0..2 {
                    // Number n has the bytes 4n to 4n + 3.
                    let first = vmulq_u32(vld1q_u32(moves.add(4 * half)), vdupq_n_u32(0x0404_0404));
                    let bytes = vaddq_u32(first, vdupq_n_u32(0x0302_0100));
                    let front = vqtbl2q_u8(numbers, vreinterpretq_u8_u32(bytes));
                    vst1q_u8(out.add(16 * half), front);
                }
            }
            place += mask.count_ones() as usize;
        }
        place
    }

    /// Convert, shift and divide numbers; give the places that were written.
    ///
    /// The first and the last few, which no aligned vector covers, are left to the caller.
    ///
    /// # Panics
    /// Something is of another length than the line.
    pub fn scale(
        self,
        stored: Stored,
        shift: Option<&[f32]>,
        scale: &[f32],
        line: &mut Numbers,
    ) -> Range<usize> {
        let length = line.len();
        assert!(stored.len() == length && scale.len() == length);
        assert!(shift.is_none_or(|shift| shift.len() == length));
        let places = line.whole_vectors(LANES);
        let by = Each { shift, scale };
        // SAFETY: all slices have the line's length, which `places` do not exceed.
        unsafe {
            match stored {
                Stored::F16(from) => write(&places, &F16(from), &by, line),
                Stored::Bf16(from) => write(&places, &Bf16(from), &by, line),
                Stored::F32(from) => write(&places, &F32(from), &by, line),
            }
        }
        places
    }

    /// Do the same with grey levels, which are all shifted and divided alike.
    ///
    /// # Panics
    /// The frame is of another length than the line.
    pub fn scale_greys(
        self,
        frame: &[u8],
        mean: f32,
        std: f32,
        line: &mut Numbers,
    ) -> Range<usize> {
        assert_eq!(frame.len(), line.len());
        let places = line.whole_vectors(LANES);
        let by = All {
            mean: [mean; LANES],
            std: [std; LANES],
        };
        // SAFETY: as above.
        unsafe { write(&places, &U8(frame), &by, line) };
        places
    }

    /// Make what was stored visible to other threads: here nothing goes past the caches.
    pub fn finish(self) {}
}

/// Eight stored numbers as single precision.
trait Source {
    /// # Safety
    /// There are eight numbers from `place` on.
    unsafe fn load(&self, place: usize) -> Eight;
}

struct F16<'a>(&'a [u16]);
struct Bf16<'a>(&'a [u16]);
struct F32<'a>(&'a [f32]);
struct U8<'a>(&'a [u8]);

impl Source for F16<'_> {
    #[inline]
    unsafe fn load(&self, place: usize) -> Eight {
        // SAFETY: promised by the caller, here and in the three that follow.
        unsafe {
            let halves = vld1q_u16(self.0.as_ptr().add(place));
            // Step by step what `convert::f16_to_f32` does.
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
    unsafe fn load(&self, place: usize) -> Eight {
        // SAFETY: as above.
        unsafe {
            let halves = vld1q_u16(self.0.as_ptr().add(place));
            [vget_low_u16(halves), vget_high_u16(halves)]
                .map(|four| vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(four))))
        }
    }
}

impl Source for F32<'_> {
    #[inline]
    unsafe fn load(&self, place: usize) -> Eight {
        // SAFETY: as above.
        unsafe { eight_at(self.0.as_ptr().add(place)) }
    }
}

impl Source for U8<'_> {
    #[inline]
    unsafe fn load(&self, place: usize) -> Eight {
        // SAFETY: as above.
        unsafe {
            let halves = vmovl_u8(vld1_u8(self.0.as_ptr().add(place)));
            [vget_low_u16(halves), vget_high_u16(halves)].map(|four| vcvtq_f32_u32(vmovl_u16(four)))
        }
    }
}

/// What is subtracted and what divides.
trait Scale {
    /// # Safety
    /// There are eight numbers from `place` on.
    unsafe fn apply(&self, value: Eight, place: usize) -> Eight;
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
    unsafe fn apply(&self, mut value: Eight, place: usize) -> Eight {
        // SAFETY: promised by the caller.
        unsafe {
            if let Some(shift) = self.shift {
                let [low, high] = eight_at(shift.as_ptr().add(place));
                value = [vsubq_f32(value[0], low), vsubq_f32(value[1], high)];
            }
            let [low, high] = eight_at(self.scale.as_ptr().add(place));
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
    // SAFETY: promised by the caller.
    unsafe { [vld1q_f32(from), vld1q_f32(from.add(4))] }
}

/// Write the `places` of a line.
///
/// # Safety
/// `places` lie in the line, in `from` and in `by`, and are a multiple of eight.
unsafe fn write(places: &Range<usize>, from: &impl Source, by: &impl Scale, line: &mut Numbers) {
    for place in places.clone().step_by(LANES) {
        // SAFETY: promised by the caller.
        unsafe {
            let [low, high] = by.apply(from.load(place), place);
            match line {
                Numbers::F32(line) => {
                    let out = line.as_mut_ptr().add(place);
                    vst1q_f32(out, low);
                    vst1q_f32(out.add(4), high);
                }
                Numbers::Bf16(line) => {
                    // Rounded to nearest, ties to even; NaN becomes one NaN.
                    let [low, high] = [low, high].map(|value| {
                        let bits = vreinterpretq_u32_f32(value);
                        let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
                        let half = vaddq_u32(odd, vdupq_n_u32(0x7fff));
                        let rounded = vshrq_n_u32::<16>(vaddq_u32(bits, half));
                        let is_number = vceqq_f32(value, value);
                        vmovn_u32(vbslq_u32(is_number, rounded, vdupq_n_u32(0x7fc0)))
                    });
                    vst1q_u16(line.as_mut_ptr().add(place), vcombine_u16(low, high));
                }
                Numbers::U8(_) => {}
            }
        }
    }
}
