//! Products of narrow matrices in registers, of one factor in panels that are made once.
//!
//! Widths of small models are a few dozen: libraries for products of all sizes, which pack both
//! factors at each call, reach less there, and BLAS writes to memory what the next step could have
//! found in the cache.

// Whatever works on a tile must be inlined to be compiled for wide instructions.
#![allow(clippy::inline_always, clippy::needless_range_loop)]

use super::from_row;
use crate::blocks::Matrix;
use crate::memory::{Accelerated, accelerated};
use crate::tiles::{LANES, Tile, multiply_add, store, tile};

/// Rows whose products with a panel are kept in registers: twelve of sixteen vectors of AVX2.
const ROWS: usize = 6;

/// Products that are summed up in registers before they are added to others: their columns are still
/// in the cache when the next ones are read, and a sum of more would round more away.
const DEPTH: usize = 128;

/// Columns of a matrix, as many side by side as a tile has, one panel after the other.
pub(super) struct Panels {
    tiles: Vec<Tile>,
    depth: usize,
    columns: usize,
}

impl Panels {
    /// Of rows of `columns` numbers.
    pub(super) fn new(rows: Matrix<'_>, [depth, columns]: [usize; 2]) -> Self {
        let mut panels = Self {
            tiles: Vec::new(),
            depth,
            columns,
        };
        panels.fill(rows, depth);
        panels
    }

    /// Of a matrix without gaps whose `columns` rows are the panels' columns.
    pub(super) fn turned(matrix: &[f32], [depth, columns]: [usize; 2]) -> Self {
        let mut tiles = vec![[0.0; LANES]; depth * columns.div_ceil(LANES)];
        for (column, row) in matrix.chunks(depth.max(1)).enumerate() {
            let panel = &mut tiles[column / LANES * depth..][..depth];
            for (tile, number) in panel.iter_mut().zip(row) {
                tile[column % LANES] = *number;
            }
        }
        Self {
            tiles,
            depth,
            columns,
        }
    }

    /// Put other rows of as many columns into the same memory.
    pub(super) fn fill(&mut self, rows: Matrix<'_>, depth: usize) {
        self.depth = depth;
        self.tiles.clear();
        for first in (0..self.columns).step_by(LANES) {
            let last = (first + LANES).min(self.columns);
            let part = |row| tile(&rows.row(row, self.columns)[first..last]);
            self.tiles.extend((0..depth).map(part));
        }
    }

    fn each(&self) -> impl Iterator<Item = (usize, &[Tile])> {
        let panels = self.tiles.chunks(self.depth.max(1));
        (0..).step_by(LANES).zip(panels)
    }
}

/// Write the products of rows with panels, or add them to what is there.
///
/// # Arguments
/// `rows` are as long as the panels are deep; `out`, without gaps, has as many as there are.
///
/// # Panics
/// Sizes do not fit each other.
pub(super) fn multiply(rows: Matrix<'_>, panels: &Panels, out: &mut [f32], adds: bool) {
    accelerated(OfRows {
        matrix: rows,
        panels,
        out,
        adds,
    });
}

struct OfRows<'a> {
    matrix: Matrix<'a>,
    panels: &'a Panels,
    out: &'a mut [f32],
    adds: bool,
}

impl Accelerated for OfRows<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Panels { depth, columns, .. } = *self.panels;
        for (number, out) in self.out.chunks_mut(ROWS * columns).enumerate() {
            let count = out.len() / columns;
            // The last rows stand in for those that are missing, whose products go nowhere.
            let place = |row: usize| number * ROWS + row.min(count - 1);
            let rows: [&[f32]; ROWS] =
                std::array::from_fn(|row| self.matrix.row(place(row), depth));
            for (first, panel) in self.panels.each() {
                let mut sums = [[0.0; LANES]; ROWS];
                of_rows::<FUSED>(rows, panel, &mut sums);
                for (out, sum) in out.chunks_mut(columns).zip(&sums) {
                    let end = (first + LANES).min(columns);
                    put(&mut out[first..end], sum, self.adds);
                }
            }
        }
    }
}

/// Add the products of rows with a panel.
#[inline(always)]
fn of_rows<const FUSED: bool>(rows: [&[f32]; ROWS], panel: &[Tile], sums: &mut [Tile; ROWS]) {
    // Only what no place in memory is asked of stays in registers.
    let mut kept = *sums;
    let rows = rows.map(|row| &row[..panel.len()]);
    for (place, numbers) in panel.iter().enumerate() {
        for row in 0..ROWS {
            let factor = rows[row][place];
            for lane in 0..LANES {
                kept[row][lane] = multiply_add::<FUSED>(factor, numbers[lane], kept[row][lane]);
            }
        }
    }
    *sums = kept;
}

#[inline(always)]
fn put(out: &mut [f32], sum: &Tile, adds: bool) {
    if !adds {
        return store(out, sum);
    }
    let mut total = tile::<LANES>(out);
    for lane in 0..LANES {
        total[lane] += sum[lane];
    }
    store(out, &total);
}

/// Add the products of columns of rows with panels of as many rows: `out` has a row for each column.
///
/// # Panics
/// Sizes do not fit each other.
pub(super) fn add_turned(rows: Matrix<'_>, columns: usize, panels: &Panels, out: &mut [f32]) {
    if columns < ROWS {
        let mut wide = Vec::with_capacity(ROWS * panels.depth);
        for row in 0..panels.depth {
            let mut numbers = [0.0; ROWS];
            numbers[..columns].copy_from_slice(rows.row(row, columns));
            wide.extend(numbers);
        }
        let rows = Matrix {
            data: &wide,
            stride: ROWS,
        };
        let mut sums = vec![0.0; ROWS * panels.columns];
        add_turned(rows, ROWS, panels, &mut sums);
        for (out, sum) in out.iter_mut().zip(&sums) {
            *out += sum;
        }
        return;
    }
    assert_eq!(out.len(), columns * panels.columns, "numbers of a product");
    accelerated(OfColumns {
        matrix: rows,
        panels,
        out,
    });
}

struct OfColumns<'a> {
    matrix: Matrix<'a>,
    panels: &'a Panels,
    out: &'a mut [f32],
}

impl Accelerated for OfColumns<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Panels { depth, columns, .. } = *self.panels;
        for start in (0..depth).step_by(DEPTH) {
            let rows = from_row(self.matrix, start);
            let end = (start + DEPTH).min(depth);
            for (number, out) in self.out.chunks_mut(ROWS * columns).enumerate() {
                let count = out.len() / columns;
                // The last columns are read together with some before them.
                let first_column = number * ROWS + count - ROWS;
                for (first, panel) in self.panels.each() {
                    let mut sums = [[0.0; LANES]; ROWS];
                    of_columns::<FUSED>(rows, first_column, &panel[start..end], &mut sums);
                    for (out, sum) in out.chunks_mut(columns).zip(&sums[ROWS - count..]) {
                        let last = (first + LANES).min(columns);
                        put(&mut out[first..last], sum, true);
                    }
                }
            }
        }
    }
}

/// Add the products of some columns of rows with a panel of as many rows.
#[inline(always)]
fn of_columns<const FUSED: bool>(
    rows: Matrix<'_>,
    first: usize,
    panel: &[Tile],
    sums: &mut [Tile; ROWS],
) {
    let mut kept = *sums;
    let numbers = rows.data.get(first..).unwrap_or_default();
    for (part, row) in panel.iter().zip(numbers.chunks(rows.stride)) {
        let Some(factors) = row.first_chunk::<ROWS>() else {
            break;
        };
        for row in 0..ROWS {
            for lane in 0..LANES {
                kept[row][lane] = multiply_add::<FUSED>(factors[row], part[lane], kept[row][lane]);
            }
        }
    }
    *sums = kept;
}

#[cfg(test)]
mod tests;
