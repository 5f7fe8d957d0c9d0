//! What is not Rust's own: files mapped into memory, arrays that Python allocated and files that it
//! opened; work compiled for wide instructions or shared by threads, and items read at places that
//! were checked together.
//!
//! All unsafe code is here, but for the vector instructions of `simd` and `simd_neon`.

mod advise;
#[cfg(feature = "python")]
mod descriptor;
#[cfg(feature = "python")]
mod exported;
mod gather;
mod guard;
mod half;
#[cfg(feature = "python")]
mod heads;
mod mapped;
#[cfg(feature = "python")]
mod rows;
mod team;
mod wide;
mod writeback;

#[cfg(feature = "python")]
pub(crate) use descriptor::opened_by_python;
#[cfg(feature = "python")]
pub(crate) use exported::{Exported, ExportedBytes};
pub(crate) use gather::gathered;
pub(crate) use half::rounded_halves;
#[cfg(feature = "python")]
pub(crate) use heads::ExportedHeads;
pub use mapped::{Access, RangeFile};
#[cfg(feature = "python")]
pub(crate) use rows::ExportedRows;
pub(crate) use team::together;
pub(crate) use wide::{Accelerated, accelerated, accelerated_widest};
pub(crate) use writeback::{begin_writeback, reserve};
