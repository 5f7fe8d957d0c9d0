//! Inner networks with one hidden layer; a tile stays in registers.

use super::network::{Function, MAX_HIDDEN};
use super::tile::{LANES, Tile, multiply_add, total};

/// Sums of the weights' gradients, lane by lane: four for each unit and one.
pub(super) struct WeightSums {
    units: Box<[[Tile; 4]; MAX_HIDDEN]>,
    last: Tile,
}

impl WeightSums {
    pub(super) fn new() -> Self {
        Self {
            units: Box::new([[[0.0; LANES]; 4]; MAX_HIDDEN]),
            last: [0.0; LANES],
        }
    }

    /// Write the gradients in the order of the weights.
    pub(super) fn write(&self, weights: &[f32], gradient: &mut [f32]) {
        let hidden = weights.len() / 4;
        for unit in 0..hidden {
            let [of_a, of_b, of_one, of_value] = &self.units[unit];
            let last = weights[3 * hidden + unit];
            gradient[3 * unit] = last * total(of_a);
            gradient[3 * unit + 1] = last * total(of_b);
            gradient[3 * unit + 2] = last * total(of_one);
            gradient[3 * hidden + unit] = total(of_value);
        }
        gradient[4 * hidden] = total(&self.last);
    }
}

/// The values of a tile.
#[inline(always)]
pub(super) fn values<F: Function, const FUSED: bool>(weights: &[f32], a: &Tile, b: &Tile) -> Tile {
    let hidden = weights.len() / 4;
    let mut out = [weights[4 * hidden]; LANES];
    let (first, last) = weights.split_at(3 * hidden);
    for (unit, of_output) in first.chunks_exact(3).zip(last) {
        for lane in 0..LANES {
            let u = multiply_add::<FUSED>(unit[1], b[lane], unit[2]);
            let u = multiply_add::<FUSED>(unit[0], a[lane], u);
            out[lane] = multiply_add::<FUSED>(*of_output, F::value(u), out[lane]);
        }
    }
    out
}

/// The gradients of a tile's arguments; those of the weights are added to `sums`.
#[inline(always)]
pub(super) fn gradients<F: Function, const FUSED: bool>(
    weights: &[f32],
    g: &Tile,
    a: &Tile,
    b: &Tile,
    sums: &mut WeightSums,
) -> (Tile, Tile) {
    let hidden = weights.len() / 4;
    let (mut da, mut db) = ([0.0; LANES], [0.0; LANES]);
    let (first, last) = weights.split_at(3 * hidden);
    for ((unit, of_output), sum) in first.chunks_exact(3).zip(last).zip(sums.units.iter_mut()) {
        let (to_a, to_b) = (of_output * unit[0], of_output * unit[1]);
        let [of_a, of_b, of_one, of_value] = sum;
        for lane in 0..LANES {
            let u = multiply_add::<FUSED>(unit[1], b[lane], unit[2]);
            let u = multiply_add::<FUSED>(unit[0], a[lane], u);
            let q = g[lane] * F::derivative(u);
            da[lane] = multiply_add::<FUSED>(to_a, q, da[lane]);
            db[lane] = multiply_add::<FUSED>(to_b, q, db[lane]);
            of_a[lane] = multiply_add::<FUSED>(q, a[lane], of_a[lane]);
            of_b[lane] = multiply_add::<FUSED>(q, b[lane], of_b[lane]);
            of_one[lane] += q;
            of_value[lane] = multiply_add::<FUSED>(g[lane], F::value(u), of_value[lane]);
        }
    }
    for lane in 0..LANES {
        sums.last[lane] += g[lane];
    }
    (da, db)
}
