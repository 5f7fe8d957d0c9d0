//! The crate's second unsafe file: lines packed, converted and scaled eight numbers at a time.
//!
//! Vector loads and streaming stores go through raw pointers, which is why they are here, and
//! nothing else is. Every entry checks the lengths that its loop relies on, and a `Vector` exists
//! only where the processor has the instructions.

#![expect(
    clippy::inline_always,
    reason = "instructions are inlined only into what is compiled for them"
)]

#[allow(clippy::wildcard_imports, reason = "the names of instructions")]
use std::arch::x86_64::*;
use std::ops::Range;

use crate::columns::{Columns, GROUP};
use crate::lines::{Numbers, Stored};
use crate::moves::{FLOAT_MOVES, HALF_MOVES};

/// Bytes ahead of which a row is asked for: the processor's own guess ends with each page.
const AHEAD_BYTES: usize = 1024;
/// Numbers that are computed at a time.
const LANES: usize = 8;

/// The processor has AVX2, F16C and POPCNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(());

impl Vector {
    /// What shows that the processor has the instructions; none where it lacks some.
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }

    /// Move the chosen 16-bit numbers of a row to the front of `packed`; give how many were moved.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_halves(self, row: &[u8], columns: &Columns, packed: &mut [u16]) -> usize {
        let masks = columns.whole_groups(row, 2, packed.len());
        // SAFETY: the instructions exist, as `self` shows; what else is needed was just checked.
        unsafe { pack_halves(row, masks, packed) }
    }

    /// Move the chosen 32-bit numbers of a row to the front of `packed`; give how many were moved.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_floats(self, row: &[u8], columns: &Columns, packed: &mut [f32]) -> usize {
        let masks = columns.whole_groups(row, 4, packed.len());
        // SAFETY: as above.
        unsafe { pack_floats(row, masks, packed) }
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
        // SAFETY: the instructions exist, as `self` shows; all slices have the line's length,
        // which `places` does not exceed, and the line is aligned where `places` start.
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
        // SAFETY: as above.
        unsafe { write(&places, &U8(frame), &All { mean, std }, line) };
        places
    }

    /// Make what was stored past the caches visible to other threads.
    pub fn finish(self) {
        // SAFETY: every processor of this kind has the instruction.
        unsafe { _mm_sfence() };
    }
}

/// Eight stored numbers as single precision.
trait Source {
    /// # Safety
    /// The processor has AVX2 and F16C, and there are eight numbers from `place` on.
    unsafe fn load(&self, place: usize) -> __m256;
}

struct F16<'a>(&'a [u16]);
struct Bf16<'a>(&'a [u16]);
struct F32<'a>(&'a [f32]);
struct U8<'a>(&'a [u8]);

impl Source for F16<'_> {
    #[inline(always)]
    unsafe fn load(&self, place: usize) -> __m256 {
        // SAFETY: promised by the caller, here and in the three that follow.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(self.0.as_ptr().add(place).cast())) }
    }
}

impl Source for Bf16<'_> {
    #[inline(always)]
    unsafe fn load(&self, place: usize) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let halves = _mm_loadu_si128(self.0.as_ptr().add(place).cast());
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
        }
    }
}

impl Source for F32<'_> {
    #[inline(always)]
    unsafe fn load(&self, place: usize) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(self.0.as_ptr().add(place)) }
    }
}

impl Source for U8<'_> {
    #[inline(always)]
    unsafe fn load(&self, place: usize) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let bytes = _mm_loadl_epi64(self.0.as_ptr().add(place).cast());
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
        }
    }
}

/// What is subtracted and what divides.
trait Scale {
    /// # Safety
    /// The processor has AVX, and there are eight numbers from `place` on.
    unsafe fn apply(&self, value: __m256, place: usize) -> __m256;
}

struct Each<'a> {
    shift: Option<&'a [f32]>,
    scale: &'a [f32],
}

struct All {
    mean: f32,
    std: f32,
}

impl Scale for Each<'_> {
    #[inline(always)]
    unsafe fn apply(&self, mut value: __m256, place: usize) -> __m256 {
        // SAFETY: promised by the caller.
        unsafe {
            if let Some(shift) = self.shift {
                value = _mm256_sub_ps(value, _mm256_loadu_ps(shift.as_ptr().add(place)));
            }
            _mm256_div_ps(value, _mm256_loadu_ps(self.scale.as_ptr().add(place)))
        }
    }
}

impl Scale for All {
    #[inline(always)]
    unsafe fn apply(&self, value: __m256, _: usize) -> __m256 {
        // SAFETY: promised by the caller.
        unsafe {
            let shifted = _mm256_sub_ps(value, _mm256_set1_ps(self.mean));
            _mm256_div_ps(shifted, _mm256_set1_ps(self.std))
        }
    }
}

/// Write the `places` of a line.
///
/// # Safety
/// The processor has AVX2 and F16C; `places` lie in the line, in `from` and in `by`, are a
/// multiple of eight, and start where the line is aligned to eight of its numbers.
#[target_feature(enable = "avx2,f16c,popcnt")]
unsafe fn write<S: Source>(places: &Range<usize>, from: &S, by: &impl Scale, line: &mut Numbers) {
    let places = places.clone().step_by(LANES);
    match line {
        Numbers::F32(line) => {
            for place in places {
                // SAFETY: promised by the caller.
                unsafe {
                    let value = by.apply(from.load(place), place);
                    _mm256_stream_ps(line.as_mut_ptr().add(place), value);
                }
            }
        }
        Numbers::Bf16(line) => {
            for place in places {
                // SAFETY: promised by the caller.
                unsafe {
                    let value = by.apply(from.load(place), place);
                    let out = line.as_mut_ptr().add(place).cast();
                    _mm_stream_si128(out, to_bf16(value));
                }
            }
        }
        Numbers::U8(_) => {}
    }
}

/// Round to the nearest bfloat16, ties to even; NaN becomes one NaN.
#[inline]
#[target_feature(enable = "avx2,f16c,popcnt")]
fn to_bf16(value: __m256) -> __m128i {
    let bits = _mm256_castps_si256(value);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
    let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half));
    let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(value, value));
    let upper = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), is_nan);
    let lanes = _mm256_packus_epi32(upper, upper);
    _mm256_castsi256_si128(_mm256_permute4x64_epi64::<0b1000>(lanes))
}

/// Move the marked numbers of whole groups to the front; give how many there are.
///
/// # Safety
/// The processor has the instructions; the row has eight numbers for every mask, and `packed`
/// has room for the marked ones and `SLACK` more.
#[target_feature(enable = "avx2,f16c,popcnt")]
unsafe fn pack_halves(row: &[u8], masks: &[u8], packed: &mut [u16]) -> usize {
    let mut place = 0;
    for (group, mask) in masks.iter().enumerate() {
        // SAFETY: promised by the caller; asking for memory ahead cannot fault.
        unsafe {
            let from = row.as_ptr().add(group * 2 * GROUP);
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD_BYTES).cast());
            let moves = HALF_MOVES[usize::from(*mask)].as_ptr().cast();
            let front = _mm_shuffle_epi8(_mm_loadu_si128(from.cast()), _mm_loadu_si128(moves));
            _mm_storeu_si128(packed.as_mut_ptr().add(place).cast(), front);
        }
        place += mask.count_ones() as usize;
    }
    place
}

/// Do the same with 32-bit numbers.
///
/// # Safety
/// As above.
#[target_feature(enable = "avx2,f16c,popcnt")]
unsafe fn pack_floats(row: &[u8], masks: &[u8], packed: &mut [f32]) -> usize {
    let mut place = 0;
    for (group, mask) in masks.iter().enumerate() {
        // SAFETY: as for 16-bit numbers.
        unsafe {
            let from = row.as_ptr().add(group * 4 * GROUP);
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD_BYTES).cast());
            let moves = FLOAT_MOVES[usize::from(*mask)].as_ptr().cast();
            let numbers = _mm256_loadu_ps(from.cast());
            let front = _mm256_permutevar8x32_ps(numbers, _mm256_loadu_si256(moves));
            _mm256_storeu_ps(packed.as_mut_ptr().add(place), front);
        }
        place += mask.count_ones() as usize;
    }
    place
}
