//! The shard format and its writer, windows and the background loader, and the dendritic function.
//!
//! `python` is the interface of the Python extension; the other modules know no Python.

pub mod dendrite;
pub mod error;
pub mod format;
pub mod loader;
pub mod memory;
pub mod window;
pub mod write;

#[cfg(feature = "python")]
mod exceptions;
#[cfg(feature = "python")]
mod python;
