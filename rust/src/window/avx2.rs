//! The avx2 backend: rows packed, converted and scaled eight numbers at a time.
//!
//! Vector loads and streaming stores need raw pointers, so this file has unsafe code. Every method
//! checks the lengths that its loop relies on, and a `Vector` exists only where the processor has
//! the instructions.

#![expect(
    clippy::inline_always,
    reason = "instructions are inlined only into functions compiled for them"
)]

#[allow(clippy::wildcard_imports, reason = "the names of instructions")]
use std::arch::x86_64::*;
use std::ops::Range;

use super::gather::{OutputMemory, StoredRow};
use super::selection::{GROUP, NeuronSelection};
use super::shuffle_tables::{FLOAT_SHUFFLES, HALF_SHUFFLES};

/// How far ahead a row is prefetched: the processor's own prefetcher stops at each page.
const AHEAD_BYTES: usize = 1024;
/// Numbers that are computed at a time.
const LANES: usize = 8;

/// The processor has AVX2, F16C and POPCNT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vector(());

impl Vector {
    /// Proof that the processor has the instructions; None where it lacks some.
    pub fn detect() -> Option<Self> {
        let has_all = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("popcnt");
        has_all.then_some(Self(()))
    }

    /// Pack the selected 16-bit numbers of a row; returns how many are packed.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_halves(self, row: &[u8], selection: &NeuronSelection, packed: &mut [u16]) -> usize {
        let masks = selection.whole_groups(row, 2, packed.len());
        // SAFETY: the instructions exist, as `self` proves; the rest was just checked.
        unsafe { pack_halves(row, masks, packed) }
    }

    /// Pack the selected 32-bit numbers of a row; returns how many are packed.
    ///
    /// The last few, which no whole vector covers, are left to the caller.
    pub fn pack_floats(self, row: &[u8], selection: &NeuronSelection, packed: &mut [f32]) -> usize {
        let masks = selection.whole_groups(row, 4, packed.len());
        // SAFETY: as above.
        unsafe { pack_floats(row, masks, packed) }
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
        // SAFETY: the instructions exist, as `self` proves; all slices have the length of
        // `out`, which `range` does not exceed, and `out` is aligned where `range` starts.
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
        // SAFETY: as above.
        unsafe { write(&range, &U8(frame), &All { mean, std }, out) };
        range
    }

    /// Make streaming stores visible to other threads.
    pub fn finish(self) {
        // SAFETY: every processor of this kind has the instruction.
        unsafe { _mm_sfence() };
    }
}

/// Eight stored numbers as single precision.
trait Source {
    /// # Safety
    /// The processor has AVX2 and F16C, and there are eight numbers from `at` on.
    unsafe fn load(&self, at: usize) -> __m256;
}

struct F16<'a>(&'a [u16]);
struct Bf16<'a>(&'a [u16]);
struct F32<'a>(&'a [f32]);
struct U8<'a>(&'a [u8]);

impl Source for F16<'_> {
    #[inline(always)]
    unsafe fn load(&self, at: usize) -> __m256 {
        // SAFETY: guaranteed by the caller, here and in the three that follow.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(self.0.as_ptr().add(at).cast())) }
    }
}

impl Source for Bf16<'_> {
    #[inline(always)]
    unsafe fn load(&self, at: usize) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let halves = _mm_loadu_si128(self.0.as_ptr().add(at).cast());
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves)))
        }
    }
}

impl Source for F32<'_> {
    #[inline(always)]
    unsafe fn load(&self, at: usize) -> __m256 {
        // SAFETY: as above.
        unsafe { _mm256_loadu_ps(self.0.as_ptr().add(at)) }
    }
}

impl Source for U8<'_> {
    #[inline(always)]
    unsafe fn load(&self, at: usize) -> __m256 {
        // SAFETY: as above.
        unsafe {
            let bytes = _mm_loadl_epi64(self.0.as_ptr().add(at).cast());
            _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))
        }
    }
}

/// Shift and scale of eight numbers.
trait Scale {
    /// # Safety
    /// The processor has AVX, and there are eight numbers from `at` on.
    unsafe fn apply(&self, value: __m256, at: usize) -> __m256;
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
    unsafe fn apply(&self, mut value: __m256, at: usize) -> __m256 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            if let Some(shift) = self.shift {
                value = _mm256_sub_ps(value, _mm256_loadu_ps(shift.as_ptr().add(at)));
            }
            _mm256_div_ps(value, _mm256_loadu_ps(self.scale.as_ptr().add(at)))
        }
    }
}

impl Scale for All {
    #[inline(always)]
    unsafe fn apply(&self, value: __m256, _: usize) -> __m256 {
        // SAFETY: guaranteed by the caller.
        unsafe {
            let shifted = _mm256_sub_ps(value, _mm256_set1_ps(self.mean));
            _mm256_div_ps(shifted, _mm256_set1_ps(self.std))
        }
    }
}

/// Write the positions in `range`.
///
/// # Safety
/// The processor has AVX2 and F16C; `range` lies in `out`, in `from` and in `by`, is a
/// multiple of eight long, and starts where `out` is aligned to eight of its numbers.
#[target_feature(enable = "avx2,f16c,popcnt")]
unsafe fn write<S: Source>(
    range: &Range<usize>,
    from: &S,
    by: &impl Scale,
    out: &mut OutputMemory,
) {
    let positions = range.clone().step_by(LANES);
    match out {
        OutputMemory::F32(out) => {
            for at in positions {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    let value = by.apply(from.load(at), at);
                    _mm256_stream_ps(out.as_mut_ptr().add(at), value);
                }
            }
        }
        OutputMemory::Bf16(out) => {
            for at in positions {
                // SAFETY: guaranteed by the caller.
                unsafe {
                    let value = by.apply(from.load(at), at);
                    let to = out.as_mut_ptr().add(at).cast();
                    _mm_stream_si128(to, to_bf16(value));
                }
            }
        }
        OutputMemory::U8(_) => {}
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

/// Pack the marked numbers of whole groups; returns how many there are.
///
/// # Safety
/// The processor has the instructions; the row has eight numbers for every mask, and `packed`
/// has space for the marked ones and `SLACK` more.
#[target_feature(enable = "avx2,f16c,popcnt")]
unsafe fn pack_halves(row: &[u8], masks: &[u8], packed: &mut [u16]) -> usize {
    let mut count = 0;
    for (group, mask) in masks.iter().enumerate() {
        // SAFETY: guaranteed by the caller; prefetching cannot fault.
        unsafe {
            let from = row.as_ptr().add(group * 2 * GROUP);
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD_BYTES).cast());
            let shuffle = HALF_SHUFFLES[usize::from(*mask)].as_ptr().cast();
            let front = _mm_shuffle_epi8(_mm_loadu_si128(from.cast()), _mm_loadu_si128(shuffle));
            _mm_storeu_si128(packed.as_mut_ptr().add(count).cast(), front);
        }
        count += mask.count_ones() as usize;
    }
    count
}

/// The same for 32-bit numbers.
///
/// # Safety
/// As above.
#[target_feature(enable = "avx2,f16c,popcnt")]
unsafe fn pack_floats(row: &[u8], masks: &[u8], packed: &mut [f32]) -> usize {
    let mut count = 0;
    for (group, mask) in masks.iter().enumerate() {
        // SAFETY: as for 16-bit numbers.
        unsafe {
            let from = row.as_ptr().add(group * 4 * GROUP);
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(AHEAD_BYTES).cast());
            let shuffle = FLOAT_SHUFFLES[usize::from(*mask)].as_ptr().cast();
            let numbers = _mm256_loadu_ps(from.cast());
            let front = _mm256_permutevar8x32_ps(numbers, _mm256_loadu_si256(shuffle));
            _mm256_storeu_ps(packed.as_mut_ptr().add(count), front);
        }
        count += mask.count_ones() as usize;
    }
    count
}
