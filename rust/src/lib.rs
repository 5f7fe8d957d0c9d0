//! Token shards, the background loader and dendritic units; `python` is the face that Python sees.

pub mod convert;
pub mod dendrite;
pub mod description;
pub mod error;
pub mod header;
pub mod hold;
pub mod memory;
pub mod order;
pub mod prefetch;
pub mod schedule;
pub mod shard;
pub mod table;
pub mod window;

#[cfg(feature = "python")]
mod exceptions;
#[cfg(feature = "python")]
mod python;
