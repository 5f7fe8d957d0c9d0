//! The dendritic function: a learned function of two arguments, applied to whole matrices in one
//! pass, with its gradients.

// What works on a tile must be inlined to be compiled for vector instructions, and loops over lanes
// are what becomes one instruction.
#![allow(
    clippy::inline_always,
    clippy::needless_range_loop,
    clippy::many_single_char_names
)]

mod apply;
mod network;
mod one_layer;
#[cfg(test)]
mod tests;
mod tile;
mod two_layers;

pub use apply::{ArgumentGradients, Matrix, backward, forward};
pub use network::{MAX_HIDDEN, Nonlinearity, Shape};
