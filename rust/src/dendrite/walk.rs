//! The walk over a block of rows, tile by tile.

use crate::blocks::{Cut, Matrix};
use crate::tiles::{LANES, Tile, store, tile};

/// A block whose values are asked for.
pub(super) struct Values<'a> {
    pub(super) arguments: [Matrix<'a>; 2],
    pub(super) cut: Cut,
    pub(super) first_row: usize,
    pub(super) out: &'a mut [f32],
}

impl Values<'_> {
    /// Let `work` see every tile, with what `functions` has for its cell type; store what it gives.
    #[inline(always)]
    pub(super) fn tiles<F>(
        self,
        functions: &(impl ExactSizeIterator<Item = F> + Clone),
        mut work: impl FnMut(F, &Tile, &Tile) -> Tile,
    ) where
        F: Copy,
    {
        let columns = self.cut.columns;
        let share = columns / functions.len();
        for (number, out) in self.out.chunks_mut(columns).enumerate() {
            let [a, b] = self
                .arguments
                .map(|m| m.row(self.first_row + number, columns));
            let parts = out
                .chunks_mut(share)
                .zip(a.chunks(share))
                .zip(b.chunks(share));
            for (((out, a), b), function) in parts.zip(functions.clone()) {
                let tiles = out
                    .chunks_mut(LANES)
                    .zip(a.chunks(LANES))
                    .zip(b.chunks(LANES));
                for ((out, a), b) in tiles {
                    store(out, &work(function, &tile(a), &tile(b)));
                }
            }
        }
    }
}

/// A block whose arguments' gradients are asked for.
pub(super) struct Slopes<'a> {
    pub(super) inputs: [Matrix<'a>; 3],
    pub(super) cut: Cut,
    pub(super) first_row: usize,
    pub(super) of_arguments: (&'a mut [f32], Option<&'a mut [f32]>),
}

impl Slopes<'_> {
    /// Let `work` see every tile of some columns, and store what it gives.
    #[inline(always)]
    pub(super) fn tiles(
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
