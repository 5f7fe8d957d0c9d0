//! The shard format: header, description, signals and checksums.

pub mod checksum;
pub mod description;
pub mod header;
pub mod number;
pub mod sample_and_hold;
pub mod screen;
pub mod shard;
