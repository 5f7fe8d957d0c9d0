//! Mapped files, arrays that Python allocated, calls of the operating system and code compiled for
//! vector instructions.
//!
//! All unsafe code is here, apart from the vector instructions of `window/avx2.rs` and
//! `window/neon.rs`.

mod bus_guard;
mod file;
#[cfg(feature = "python")]
mod numpy;
mod system_advice;
mod vector_code;

pub use file::{Access, RangeFile};
#[cfg(feature = "python")]
pub(crate) use numpy::{ByteArray, RowArray, WritableArray, duplicate_descriptor};
pub(crate) use system_advice::{reserve, start_writeback};
pub(crate) use vector_code::{VectorCode, run_vectorized};
