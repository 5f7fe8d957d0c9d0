//! Token shards, the background loader, dendritic units, products and work on rows; `python` is the
//! face that Python sees.

pub mod advice;
pub mod blocks;
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
pub mod products;
pub mod readahead;
pub mod rows;
pub mod scaling;
pub mod schedule;
pub mod screen;
pub mod shard;
#[cfg(target_arch = "x86_64")]
pub mod simd;
#[cfg(any(
    all(target_arch = "aarch64", target_endian = "little"),
    all(test, not(target_arch = "aarch64"))
))]
pub mod simd_neon;
#[cfg(all(target_arch = "aarch64", target_endian = "little"))]
pub use simd_neon as simd;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
)))]
#[path = "simd_none.rs"]
pub mod simd;
pub mod sink;
pub mod stream;
pub mod table;
mod tiles;
pub mod window;

#[cfg(feature = "python")]
mod exceptions;
#[cfg(feature = "python")]
mod python;
