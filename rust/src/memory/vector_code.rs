//! Functions compiled twice: for every processor, and for the vector instructions of this one.

/// A function that is compiled for every processor of its kind, and again for AVX2 and FMA.
///
/// Only what is inlined into `run` is compiled for the wider instructions.
pub(crate) trait VectorCode {
    /// The result.
    type Output;

    /// Run it; `FUSED` states that multiplying and adding is one instruction.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Run the code with AVX2 and FMA where this processor has them.
pub(crate) fn run_vectorized<C: VectorCode>(code: C) -> C::Output {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has these instructions, as the condition states.
        return unsafe { run_with_avx2(code) };
    }
    code.run::<{ cfg!(target_arch = "aarch64") }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_with_avx2<C: VectorCode>(code: C) -> C::Output {
    code.run::<true>()
}
