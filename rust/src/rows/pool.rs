//! The largest of several rows, number by number, and the gradient that equally large ones share.

use super::head::HALF;
use crate::blocks::{ALONE, BLOCK, share};
use crate::memory::{Accelerated, accelerated};
use crate::tiles::{LANES, Tile, store, tile};

/// Write the larger one of both into the first; NaN is the largest.
#[inline(always)]
fn raise<const COUNT: usize>(largest: &mut Tile<COUNT>, other: &Tile<COUNT>) {
    for lane in 0..COUNT {
        let is_larger = (other[lane] > largest[lane]) | other[lane].is_nan();
        largest[lane] = if is_larger {
            other[lane]
        } else {
            largest[lane]
        };
    }
}

/// Give each number's share of a gradient: equal ones for all that are the largest.
#[inline(always)]
fn share_of<const COUNT: usize>([g, x, largest, equals]: [&Tile<COUNT>; 4]) -> Tile<COUNT> {
    let mut out = [0.0; COUNT];
    for lane in 0..COUNT {
        let part = g[lane] / equals[lane];
        out[lane] = if x[lane] >= largest[lane] { part } else { 0.0 };
    }
    out
}

/// The largest numbers of a tile of every row, and how many rows have them.
#[inline(always)]
fn largest<'a, const COUNT: usize>(
    parts: impl Iterator<Item = &'a [f32]> + Clone,
) -> (Tile<COUNT>, Tile<COUNT>) {
    let (mut largest, mut equals) = ([f32::NEG_INFINITY; COUNT], [0.0; COUNT]);
    for part in parts.clone() {
        raise(&mut largest, &tile(part));
    }
    for part in parts {
        let x = tile::<COUNT>(part);
        for lane in 0..COUNT {
            equals[lane] += if x[lane] >= largest[lane] { 1.0 } else { 0.0 };
        }
    }
    (largest, equals)
}

/// Write the largest numbers of some rows, and how many rows have each of them.
#[inline(always)]
pub(super) fn pool<'a>(
    rows: &(impl Iterator<Item = &'a [f32]> + Clone),
    out: &mut [f32],
    equals: &mut [f32],
) {
    let outs = out.chunks_mut(HALF).zip(equals.chunks_mut(HALF));
    for (number, (out, equals)) in outs.enumerate() {
        let part = number * HALF..number * HALF + out.len();
        let (found, count) = largest::<HALF>(rows.clone().map(|row| &row[part.clone()]));
        store(out, &found);
        store(equals, &count);
    }
}

/// Write a row's share of the gradient of the largest of some rows.
#[inline(always)]
pub(super) fn shares(rows: [&[f32]; 4], dx: &mut [f32]) {
    for (number, dx) in dx.chunks_mut(HALF).enumerate() {
        let part = number * HALF..number * HALF + dx.len();
        let [g, x, largest, equals] = rows.map(|row| tile::<HALF>(&row[part.clone()]));
        store(dx, &share_of([&g, &x, &largest, &equals]));
    }
}

struct Forward<'a> {
    x: &'a [f32],
    columns: usize,
    out: &'a mut [f32],
}

impl Accelerated for Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let size = self.x.len() / self.out.len() * self.columns;
        for (x, out) in self.x.chunks(size).zip(self.out.chunks_mut(self.columns)) {
            for (number, out) in out.chunks_mut(LANES).enumerate() {
                let start = number * LANES;
                let end = start + out.len();
                let mut found = [f32::NEG_INFINITY; LANES];
                for row in x.chunks(self.columns) {
                    raise(&mut found, &tile(&row[start..end]));
                }
                store(out, &found);
            }
        }
    }
}

struct Backward<'a> {
    g: &'a [f32],
    x: &'a [f32],
    columns: usize,
    dx: &'a mut [f32],
}

impl Accelerated for Backward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let columns = self.columns;
        let size = self.x.len() / self.g.len() * columns;
        let items = self.g.chunks(columns).zip(self.x.chunks(size));
        for ((g, x), dx) in items.zip(self.dx.chunks_mut(size)) {
            for (number, g) in g.chunks(LANES).enumerate() {
                let part = number * LANES..number * LANES + g.len();
                let rows = x.chunks(columns).map(|row| &row[part.clone()]);
                let (largest, equals) = largest::<LANES>(rows);
                let g = tile::<LANES>(g);
                for (x, dx) in x.chunks(columns).zip(dx.chunks_mut(columns)) {
                    let of_row = share_of([&g, &tile(&x[part.clone()]), &largest, &equals]);
                    store(&mut dx[part.clone()], &of_row);
                }
            }
        }
    }
}

/// Write the largest of the rows of every item, number by number.
///
/// # Arguments
/// `x` has `rows` rows of `columns` numbers for each item; nothing has gaps.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_pool(x: &[f32], (rows, columns): (usize, usize), out: &mut [f32], threads: usize) {
    let items = (BLOCK / (rows * columns).max(1)).max(1);
    let threads = if x.len() < ALONE { 1 } else { threads };
    let pieces = x.chunks(items * rows * columns);
    let tasks: Vec<_> = pieces.zip(out.chunks_mut(items * columns)).collect();
    share(tasks, threads, |(x, out)| {
        accelerated(Forward { x, columns, out });
    });
}

/// Write the gradient of `x`: rows whose numbers are equally large have equal shares.
///
/// # Arguments
/// As in `forward_pool`; `g` is the gradient of what that wrote.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_pool(
    g: &[f32],
    x: &[f32],
    (rows, columns): (usize, usize),
    dx: &mut [f32],
    threads: usize,
) {
    let items = (BLOCK / (rows * columns).max(1)).max(1);
    let threads = if x.len() < ALONE { 1 } else { threads };
    let pieces = g.chunks(items * columns);
    let pieces = pieces.zip(x.chunks(items * rows * columns));
    let tasks: Vec<_> = pieces.zip(dx.chunks_mut(items * rows * columns)).collect();
    share(tasks, threads, |((g, x), dx)| {
        accelerated(Backward { g, x, columns, dx });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equally_large_numbers_share_a_gradient_and_nan_is_the_largest() {
        let x = [1.0, 5.0, f32::NAN, 2.0, 5.0, 1.0, 2.0, 4.0, 9.0];
        let (mut out, mut dx) = ([0.0; 3], [f32::NAN; 9]);
        forward_pool(&x, (3, 3), &mut out, 1);
        assert_eq!(out[..2], [2.0, 5.0]);
        assert!(out[2].is_nan());
        backward_pool(&[8.0, 6.0, 1.0], &x, (3, 3), &mut dx, 1);
        let (first, second): (Vec<_>, Vec<_>) = dx.chunks(3).map(|row| (row[0], row[1])).unzip();
        assert_eq!(first, [0.0, 4.0, 4.0]);
        assert_eq!(second, [3.0, 3.0, 0.0]);
    }
}
