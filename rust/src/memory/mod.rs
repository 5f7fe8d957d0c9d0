//! Memory that is not Rust's own: files mapped into it, and arrays that Python allocated.
//!
//! All unsafe code is here, but for the vector instructions of `simd`.

#[cfg(feature = "python")]
mod exported;
mod guard;
mod mapped;

#[cfg(feature = "python")]
pub(crate) use exported::Exported;
pub use mapped::{Access, RangeFile};
