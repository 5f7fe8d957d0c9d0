//! Token shards, the background loader and dendritic units; `python` is the face that Python sees.

pub mod advice;
pub mod checksum;
pub mod columns;
pub mod convert;
pub mod dendrite;
pub mod description;
pub mod encode;
pub mod error;
pub mod header;
pub mod hold;
pub mod lines;
pub mod matrix;
pub mod memory;
pub mod moves;
pub mod order;
pub mod prefetch;
pub mod readahead;
pub mod scaling;
pub mod schedule;
pub mod screen;
pub mod shard;
#[cfg(target_arch = "x86_64")]
pub mod simd;
#[cfg(not(target_arch = "x86_64"))]
#[path = "simd_none.rs"]
pub mod simd;
pub mod sink;
pub mod stream;
pub mod table;
pub mod window;

#[cfg(feature = "python")]
mod exceptions;
#[cfg(feature = "python")]
mod python;
