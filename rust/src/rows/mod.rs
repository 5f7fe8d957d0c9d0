//! Rows of numbers, each worked on by itself in one pass: norms, gates, heads of attention and their keys.

// Whatever works on a tile must be inlined to be compiled for wide instructions, and loops over
// lanes are what becomes one.
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    clippy::many_single_char_names
)]

mod gate;
mod head;
mod heads;
mod keys;
mod norm;
mod pool;

pub use gate::{backward_gate, backward_gate_again, forward_gate};
pub use heads::{Heads, Pooling, Strided, backward_heads, forward_heads, turns_of};
pub use keys::{Seen, gather_keys, sum_keys};
pub use norm::{Weighing, backward_norm, forward_norm};
