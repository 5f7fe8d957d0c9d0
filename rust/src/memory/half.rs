//! Rounding to half precision by the processor itself.

/// Numbers that are rounded at a time.
const LANES: usize = 8;

/// Round numbers to half precision, to nearest, ties to even: their bits, and those of the
/// single-precision numbers that are read back.
///
/// None where this is compiled for processors of which not all can do it.
// To be compiled for the wide instructions of whoever calls it.
#[allow(clippy::inline_always)]
#[inline(always)]
pub(crate) fn rounded_halves<const FUSED: bool>(
    numbers: &[f32; LANES],
) -> Option<([u32; LANES], [u32; LANES])> {
    #[cfg(target_arch = "x86_64")]
    if FUSED {
        use std::arch::x86_64::{
            _MM_FROUND_TO_NEAREST_INT, _mm256_castps_si256, _mm256_cvtepu16_epi32, _mm256_cvtph_ps,
            _mm256_cvtps_ph, _mm256_loadu_ps, _mm256_storeu_si256,
        };
        let (mut stored, mut read) = ([0; LANES], [0; LANES]);
        // SAFETY: `accelerated` and `accelerated_widest`, which alone run work as FUSED, have seen
        // that the processor has AVX2 and F16C; all memory is that of eight numbers of four bytes.
        unsafe {
            let loaded = _mm256_loadu_ps(numbers.as_ptr());
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(loaded);
            let wide = _mm256_cvtepu16_epi32(halves);
            _mm256_storeu_si256(stored.as_mut_ptr().cast(), wide);
            let back = _mm256_castps_si256(_mm256_cvtph_ps(halves));
            _mm256_storeu_si256(read.as_mut_ptr().cast(), back);
        }
        return Some((stored, read));
    }
    let _ = numbers;
    None
}
