//! The instruction set that assembles windows: avx2, neon or portable. Their results are identical.

#[cfg(target_arch = "x86_64")]
pub use super::avx2::Vector;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub use super::neon::Vector;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
)))]
pub use super::no_vectors::Vector;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Plain Rust.
    Portable,
    /// Vector instructions: AVX2 on x86-64, NEON on 64-bit ARM.
    Vector(Vector),
}

impl Backend {
    /// The fastest backend of this processor.
    pub fn detect() -> Self {
        Vector::detect().map_or(Self::Portable, Self::Vector)
    }

    /// The portable backend if that is requested, otherwise the fastest.
    pub fn choose(portable: bool) -> Self {
        if portable {
            Self::Portable
        } else {
            Self::detect()
        }
    }

    /// Make everything that was stored visible to other threads.
    pub fn finish(self) {
        if let Self::Vector(vector) = self {
            vector.finish();
        }
    }
}
