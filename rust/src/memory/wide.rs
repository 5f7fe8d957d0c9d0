//! Work that is compiled for the widest instructions of the processor it runs on.

/// Work that is compiled for every processor of its kind, and again for wider instructions.
///
/// What `run` calls must be inlined into it to be compiled for them.
pub(crate) trait Accelerated {
    /// Do the work; `FUSED` says that multiplying and adding at once is one instruction, and on
    /// x86-64 that AVX2 and F16C are there.
    fn run<const FUSED: bool>(self);
}

/// Do the work with vectors of up to 512 bits, where this processor has them.
///
/// For what loops over double precision; elsewhere so wide vectors may cost more than they bring.
pub(crate) fn accelerated_widest(work: impl Accelerated) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        // SAFETY: the lines above have seen that the processor has these instructions.
        return unsafe { with_avx512(work) };
    }
    accelerated(work);
}

/// Do the work with vectors of up to 256 bits, where this processor has them.
pub(crate) fn accelerated(work: impl Accelerated) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
    {
        // SAFETY: the lines above have seen that the processor has these instructions.
        return unsafe { with_avx2(work) };
    }
    work.run::<{ cfg!(target_arch = "aarch64") }>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn with_avx2(work: impl Accelerated) {
    work.run::<true>();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,fma,f16c")]
unsafe fn with_avx512(work: impl Accelerated) {
    work.run::<true>();
}
