//! The background loader: the order of batches, and threads that assemble them ahead of their use.

pub mod batch;
pub mod prefetch;
pub mod random;
pub mod read_ahead;
pub mod schedule;
pub mod window_table;
