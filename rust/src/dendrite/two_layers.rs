//! Inner networks with two hidden layers; the layers of a tile stay in the L1 cache.

use super::network::{Function, MAX_HIDDEN};
use super::tile::{LANES, Tile, multiply_add, total};

/// The units of a layer, for each element of a tile.
type Layer = [Tile; MAX_HIDDEN];

/// The first layer of a tile.
pub(super) struct Scratch {
    first: Box<Layer>,
    first_derivative: Box<Layer>,
    first_gradient: Box<Layer>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        let layer = || Box::new([[0.0; LANES]; MAX_HIDDEN]);
        Self {
            first: layer(),
            first_derivative: layer(),
            first_gradient: layer(),
        }
    }
}

/// The weights of the first layer, the second layer and the output.
#[inline(always)]
fn parts(weights: &[f32], hidden: usize) -> (&[f32], &[f32], &[f32]) {
    let (first, rest) = weights.split_at(3 * hidden);
    let (second, last) = rest.split_at(hidden * (hidden + 1));
    (first, second, last)
}

#[inline(always)]
fn weighted_sum<const FUSED: bool>(unit: &[f32], inputs: &[Tile]) -> Tile {
    let mut u = [unit[inputs.len()]; LANES];
    for (weight, input) in unit.iter().zip(inputs) {
        for lane in 0..LANES {
            u[lane] = multiply_add::<FUSED>(*weight, input[lane], u[lane]);
        }
    }
    u
}

/// The values of a tile.
#[inline(always)]
pub(super) fn values<F: Function, const FUSED: bool>(
    weights: &[f32],
    hidden: usize,
    a: &Tile,
    b: &Tile,
    scratch: &mut Scratch,
) -> Tile {
    let (first, second, last) = parts(weights, hidden);
    let arguments = [*a, *b];
    for (unit, z) in first.chunks_exact(3).zip(scratch.first.iter_mut()) {
        *z = weighted_sum::<FUSED>(unit, &arguments).map(F::value);
    }
    let mut out = [last[hidden]; LANES];
    for (unit, of_output) in second.chunks_exact(hidden + 1).zip(last) {
        let u = weighted_sum::<FUSED>(unit, &scratch.first[..hidden]);
        for lane in 0..LANES {
            out[lane] = multiply_add::<FUSED>(*of_output, F::value(u[lane]), out[lane]);
        }
    }
    out
}

/// The gradients of a tile's arguments; those of the weights are added to `sums`, in the order of
/// the weights.
#[inline(always)]
pub(super) fn gradients<F: Function, const FUSED: bool>(
    weights: &[f32],
    hidden: usize,
    [g, a, b]: [&Tile; 3],
    scratch: &mut Scratch,
    sums: &mut [f32],
) -> (Tile, Tile) {
    let (first, second, last) = parts(weights, hidden);
    let (first_sums, rest) = sums.split_at_mut(3 * hidden);
    let (second_sums, last_sums) = rest.split_at_mut(hidden * (hidden + 1));
    let arguments = [*a, *b];
    for (number, unit) in first.chunks_exact(3).enumerate() {
        let u = weighted_sum::<FUSED>(unit, &arguments);
        scratch.first[number] = u.map(F::value);
        scratch.first_derivative[number] = u.map(F::derivative);
        scratch.first_gradient[number] = [0.0; LANES];
    }
    let units = second.chunks_exact(hidden + 1);
    let unit_sums = second_sums.chunks_exact_mut(hidden + 1);
    for (number, (unit, sum)) in units.zip(unit_sums).enumerate() {
        let u = weighted_sum::<FUSED>(unit, &scratch.first[..hidden]);
        let (mut q, mut of_value) = ([0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            q[lane] = last[number] * g[lane] * F::derivative(u[lane]);
            of_value[lane] = g[lane] * F::value(u[lane]);
        }
        last_sums[number] += total(&of_value);
        for input in 0..hidden {
            sum[input] += dot(&q, &scratch.first[input]);
            let gradient = &mut scratch.first_gradient[input];
            for lane in 0..LANES {
                gradient[lane] = multiply_add::<FUSED>(unit[input], q[lane], gradient[lane]);
            }
        }
        sum[hidden] += total(&q);
    }
    last_sums[hidden] += total(g);
    let (mut da, mut db) = ([0.0; LANES], [0.0; LANES]);
    let unit_sums = first_sums.chunks_exact_mut(3);
    for (number, (unit, sum)) in first.chunks_exact(3).zip(unit_sums).enumerate() {
        let mut q = scratch.first_gradient[number];
        for lane in 0..LANES {
            q[lane] *= scratch.first_derivative[number][lane];
            da[lane] = multiply_add::<FUSED>(unit[0], q[lane], da[lane]);
            db[lane] = multiply_add::<FUSED>(unit[1], q[lane], db[lane]);
        }
        sum[0] += dot(&q, a);
        sum[1] += dot(&q, b);
        sum[2] += total(&q);
    }
    (da, db)
}

#[inline(always)]
fn dot(left: &Tile, right: &Tile) -> f32 {
    let mut product = *left;
    for lane in 0..LANES {
        product[lane] *= right[lane];
    }
    total(&product)
}
