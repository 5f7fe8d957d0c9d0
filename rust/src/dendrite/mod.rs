//! A learned function of two arguments, applied to whole matrices in one pass: values and gradients.

// Whatever works on a tile must be inlined to be compiled for wide instructions, and loops over
// lanes are what becomes one.
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    clippy::many_single_char_names
)]

mod block;
mod cell;
mod deep;
mod grid;
mod pass;
mod served;
mod shallow;
mod walk;

pub use cell::{Inner, MAX_HIDDEN, Shape};
pub use grid::{Grid, PAIR};
pub use pass::{Gradients, backward, forward};
pub use served::{backward_served, forward_served};
