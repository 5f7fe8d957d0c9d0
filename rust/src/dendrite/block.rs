//! The work on one block of rows, tile by tile.

use super::cell::{Curve, Inner, Relu, Shape, Smoothstep};
use super::pass::{Cut, Matrix};
use super::shallow::{LANES, Sums, Tile};
use super::{deep, shallow};
use crate::memory::Accelerated;

pub(super) struct Forward<'a> {
    pub(super) arguments: [Matrix<'a>; 2],
    pub(super) weights: &'a [f32],
    pub(super) shape: Shape,
    pub(super) cut: Cut,
    pub(super) first_row: usize,
    pub(super) out: &'a mut [f32],
}

impl Accelerated for Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        match self.shape.inner {
            Inner::Relu => self.rows::<Relu, FUSED>(),
            Inner::Smoothstep => self.rows::<Smoothstep, FUSED>(),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn rows<C: Curve, const FUSED: bool>(self) {
        let (size, columns) = (self.shape.num_weights(), self.cut.columns);
        let share = columns * size / self.weights.len();
        let mut scratch = deep::Scratch::new();
        for (number, out) in self.out.chunks_mut(columns).enumerate() {
            let [a, b] = self
                .arguments
                .map(|m| m.row(self.first_row + number, columns));
            let parts = out
                .chunks_mut(share)
                .zip(a.chunks(share))
                .zip(b.chunks(share));
            for (((out, a), b), weights) in parts.zip(self.weights.chunks_exact(size)) {
                let tiles = out
                    .chunks_mut(LANES)
                    .zip(a.chunks(LANES))
                    .zip(b.chunks(LANES));
                for ((out, a), b) in tiles {
                    let (a, b) = (tile(a), tile(b));
                    let values = if self.shape.is_deep {
                        let hidden = self.shape.hidden;
                        deep::values::<C, FUSED>(weights, hidden, &a, &b, &mut scratch)
                    } else {
                        shallow::values::<C, FUSED>(weights, &a, &b)
                    };
                    store(out, &values);
                }
            }
        }
    }
}

pub(super) struct Backward<'a> {
    pub(super) inputs: [Matrix<'a>; 3],
    pub(super) weights: &'a [f32],
    pub(super) shape: Shape,
    pub(super) cut: Cut,
    pub(super) first_row: usize,
    pub(super) of_arguments: (&'a mut [f32], Option<&'a mut [f32]>),
    pub(super) partial: &'a mut [f32],
}

impl Accelerated for Backward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        match self.shape.inner {
            Inner::Relu => self.types::<Relu, FUSED>(),
            Inner::Smoothstep => self.types::<Smoothstep, FUSED>(),
        }
    }
}

impl Backward<'_> {
    #[inline(always)]
    fn types<C: Curve, const FUSED: bool>(mut self) {
        let size = self.shape.num_weights();
        let share = self.cut.columns * size / self.weights.len();
        let weights = self.weights.chunks_exact(size).enumerate();
        let mut scratch = deep::Scratch::new();
        for (number, weights) in weights {
            let columns = (number * share, (number + 1) * share);
            if self.shape.is_deep {
                let mut sums = vec![0.0; size];
                let hidden = self.shape.hidden;
                self.rows(columns, |tiles| {
                    deep::gradients::<C, FUSED>(weights, hidden, tiles, &mut scratch, &mut sums)
                });
                self.partial[number * size..][..size].copy_from_slice(&sums);
            } else {
                let mut sums = Sums::new();
                self.rows(columns, |[g, a, b]| {
                    shallow::gradients::<C, FUSED>(weights, g, a, b, &mut sums)
                });
                sums.write(weights, &mut self.partial[number * size..][..size]);
            }
        }
    }

    /// Let `work` see every tile of some columns, and store what it gives.
    #[inline(always)]
    fn rows(
        &mut self,
        (first, last): (usize, usize),
        mut work: impl FnMut([&Tile; 3]) -> (Tile, Tile),
    ) {
        let columns = self.cut.columns;
        let (first_argument, second_argument) = &mut self.of_arguments;
        let packed = if second_argument.is_some() { 1 } else { 2 };
        // One place calls `work`, or it would not be inlined and so not be accelerated.
        for (number, da) in first_argument.chunks_mut(packed * columns).enumerate() {
            let (da, db) = match second_argument {
                Some(db) => {
                    let start = number * columns;
                    let end = start + da.len();
                    (da, &mut db[start..end])
                }
                None => da.split_at_mut(columns),
            };
            let [g, a, b] = self.inputs.map(|m| m.row(self.first_row + number, columns));
            let last = last.min(da.len());
            let mut start = first;
            while start < last {
                let part = start..(start + LANES).min(last);
                let tiles = [&g[part.clone()], &a[part.clone()], &b[part.clone()]].map(tile);
                let (of_a, of_b) = work([&tiles[0], &tiles[1], &tiles[2]]);
                store(&mut da[part.clone()], &of_a);
                store(&mut db[part], &of_b);
                start += LANES;
            }
        }
    }
}

/// Read a tile; what it lacks is 0.
#[inline(always)]
fn tile(part: &[f32]) -> Tile {
    if let Ok(whole) = part.try_into() {
        return whole;
    }
    let mut tile = [0.0; LANES];
    tile[..part.len()].copy_from_slice(part);
    tile
}

/// Write a tile, or as much of it as there is room for.
#[inline(always)]
fn store(part: &mut [f32], tile: &Tile) {
    part.copy_from_slice(&tile[..part.len()]);
}
