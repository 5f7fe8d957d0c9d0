//! Memory that is not Rust's own: files mapped into it, and arrays that Python allocated; and work
//! compiled for wide instructions.
//!
//! All unsafe code is here, but for the vector instructions of `simd`.

#[cfg(feature = "python")]
mod exported;
mod guard;
mod mapped;
#[cfg(feature = "python")]
mod rows;
mod wide;

#[cfg(feature = "python")]
pub(crate) use exported::Exported;
pub use mapped::{Access, RangeFile};
#[cfg(feature = "python")]
pub(crate) use rows::ExportedRows;
pub(crate) use wide::{Accelerated, accelerated};
