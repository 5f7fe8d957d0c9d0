//! The largest of several rows, number by number, and the gradient that equally large ones share.

use super::head::HALF;
use crate::tiles::{Tile, store, tile};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equally_large_numbers_share_a_gradient_and_nan_is_the_largest() {
        let x = [[1.0, 5.0, f32::NAN], [2.0, 5.0, 1.0], [2.0, 4.0, 9.0]];
        let ([mut out, mut equals], g) = ([[0.0; 3]; 2], [8.0, 6.0, 1.0]);
        pool(&x.iter().map(|row| &row[..]), &mut out, &mut equals);
        assert_eq!(out[..2], [2.0, 5.0]);
        assert!(out[2].is_nan());
        let expected = [[0.0, 3.0], [4.0, 3.0], [4.0, 0.0]];
        for (row, expected) in x.iter().zip(expected) {
            let mut dx = [f32::NAN; 3];
            shares([&g, row, &out, &equals], &mut dx);
            assert_eq!(dx[..2], expected);
        }
    }
}
