//! Frozen functions served from tables, over whole matrices in one pass: values and gradients.

use super::grid::{Grid, Table};
use super::pass::Gradients;
use super::walk::{Slopes, Values};
use crate::blocks::{ALONE, FLAT_ROW, Matrix, cut, flat, share};
use crate::memory::{Accelerated, accelerated};

struct Forward<'a> {
    walk: Values<'a>,
    tables: &'a [f32],
    grid: Grid,
}

impl Accelerated for Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let tables = self.tables.chunks_exact(self.grid.num_numbers());
        self.walk.tiles(&tables, |numbers, a, b| {
            Table::new(numbers, self.grid).values::<FUSED>(a, b)
        });
    }
}

struct Backward<'a> {
    walk: Slopes<'a>,
    tables: &'a [f32],
    grid: Grid,
}

impl Accelerated for Backward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        let size = self.grid.num_numbers();
        let share = self.walk.cut.columns * size / self.tables.len();
        for (number, numbers) in self.tables.chunks_exact(size).enumerate() {
            let table = Table::new(numbers, self.grid);
            let columns = (number * share, (number + 1) * share);
            self.walk
                .tiles(columns, |tiles| table.gradients::<FUSED>(tiles));
        }
    }
}

/// Write f(a, b) of every element, read from a table.
///
/// # Arguments
/// `tables` has one table for each cell type, which has an equal share of the columns; `out` has
/// no gaps. Whatever the number of threads, the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_served(
    [a, b]: [Matrix<'_>; 2],
    columns: usize,
    (tables, grid): (&[f32], Grid),
    out: &mut [f32],
    threads: usize,
) {
    let types = tables.len() / grid.num_numbers();
    let is_flat = types == 1 && a.stride == columns && b.stride == columns;
    let cut = cut(if is_flat { FLAT_ROW } else { columns });
    let arguments = [a, b].map(|matrix| if is_flat { flat(matrix) } else { matrix });
    let block = (cut.rows_per_block * cut.columns).max(1);
    let alone = out.len() < ALONE;
    let tasks: Vec<_> = out.chunks_mut(block).enumerate().collect();
    share(tasks, if alone { 1 } else { threads }, |(number, out)| {
        let walk = Values {
            arguments,
            cut,
            first_row: number * cut.rows_per_block,
            out,
        };
        accelerated(Forward { walk, tables, grid });
    });
}

/// Write the gradients of a and b; the table has none.
///
/// # Arguments
/// As in `forward_served`; `g` is the gradient of what that wrote.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_served(
    [g, a, b]: [Matrix<'_>; 3],
    columns: usize,
    (tables, grid): (&[f32], Grid),
    of_arguments: Gradients<'_>,
    threads: usize,
) {
    let types = tables.len() / grid.num_numbers();
    let apart = matches!(of_arguments, Gradients::Apart(..));
    let is_flat = types == 1 && apart && [g, a, b].iter().all(|matrix| matrix.stride == columns);
    let cut = cut(if is_flat { FLAT_ROW } else { columns });
    let inputs = [g, a, b].map(|matrix| if is_flat { flat(matrix) } else { matrix });
    let block = (cut.rows_per_block * cut.columns).max(1);
    let pieces = of_arguments.pieces(block);
    let alone = pieces.len() * block < ALONE;
    let tasks: Vec<_> = pieces.into_iter().enumerate().collect();
    let threads = if alone { 1 } else { threads };
    share(tasks, threads, |(number, of_arguments)| {
        let walk = Slopes {
            inputs,
            cut,
            first_row: number * cut.rows_per_block,
            of_arguments,
        };
        accelerated(Backward { walk, tables, grid });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        cells: 4,
        reach: 2.0,
    };

    /// A table of 3 a - 2 b + 1: of the grid and, as a plane goes on, of the rings.
    fn plane() -> Vec<f32> {
        let value = |a: f32, b: f32| 3.0 * a - 2.0 * b + 1.0;
        let axis = [-2.0, -1.0, 0.0, 1.0, 2.0];
        let mut rows: Vec<[(f32, f32); 5]> = Vec::new();
        rows.extend(axis.map(|a| axis.map(|b| (a, b))));
        for (sign, is_first) in [(1.0, true), (-1.0, true), (1.0, false), (-1.0, false)] {
            for ring in 0..=16_i8 {
                let far = f32::from(4 + ring % 4) / 4.0 * f32::from(ring / 4).exp2();
                let end = 2.0 * sign * far;
                rows.push(axis.map(|along| {
                    let along = along * far;
                    if is_first { (end, along) } else { (along, end) }
                }));
            }
        }
        let mut numbers = Vec::new();
        for row in rows {
            let values = row.map(|(a, b)| value(a, b));
            for pair in values.windows(2) {
                numbers.extend([pair[0], pair[1] - pair[0]]);
            }
        }
        numbers
    }

    #[test]
    fn a_plane_is_a_plane_on_the_grid_and_beyond() {
        let a: Vec<f32> = (-40_i8..41).map(|place| f32::from(place) * 0.7).collect();
        let b: Vec<f32> = (0_u8..81)
            .map(|place| f32::from(place % 9 * 8) - 31.5)
            .collect();
        let (numbers, g) = (plane(), vec![0.5; a.len()]);
        assert_eq!(numbers.len(), GRID.num_numbers());
        let matrices = [&g, &a, &b].map(|data| Matrix { data, stride: 81 });
        let [mut out, mut da, mut db] = [0; 3].map(|_| vec![f32::NAN; a.len()]);
        let inputs = [matrices[1], matrices[2]];
        forward_served(inputs, 81, (&numbers, GRID), &mut out, 1);
        let gradients = Gradients::Apart(&mut da, &mut db);
        backward_served(matrices, 81, (&numbers, GRID), gradients, 1);
        for place in 0..a.len() {
            let value = 3.0 * a[place] - 2.0 * b[place] + 1.0;
            assert!((out[place] - value).abs() < 1e-3, "{place}");
            assert!((da[place] - 1.5).abs() < 1e-4, "{place}: {}", da[place]);
            assert!((db[place] + 1.0).abs() < 1e-4, "{place}: {}", db[place]);
        }
    }

    #[test]
    fn nothing_is_read_behind_a_table() {
        let numbers = plane();
        let a = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38, -1e38, 2.0];
        let b = [-1e38, f32::NAN, f32::INFINITY, 2.0, -2.0, -2.0];
        let matrices = [&a, &b].map(|data| Matrix { data, stride: 6 });
        let mut out = [0.0; 6];
        forward_served(matrices, 6, (&numbers, GRID), &mut out, 1);
        assert!(out[0].is_nan() && out[1].is_nan());
        assert!(out[3] > 1e38 && out[4] < -1e38);
        assert!((out[5] - 11.0).abs() < 1e-5);
    }
}
