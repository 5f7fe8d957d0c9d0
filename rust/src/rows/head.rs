//! One head of one token: normed, and its pairs turned by the token's angles.

use super::norm::{across, add_products, count, inverse_root, times};
use crate::tiles::{Tile, multiply_add, store, tile, total, whole};

/// Elements of half a tile: widths of heads are often multiples of it, less often of a whole one.
pub(super) const HALF: usize = 8;

/// What one token's heads are turned by: the cosine of each number's pair, then its sine, negative
/// for the first of a pair.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) cos: &'a [f32],
    pub(super) sin: &'a [f32],
}

impl<'a> Turn<'a> {
    #[inline(always)]
    pub(super) fn new(numbers: &'a [f32]) -> Self {
        let (cos, sin) = numbers.split_at(numbers.len() / 2);
        Self { cos, sin }
    }

    /// Turn a tile by its cosines and sines; a `direction` of -1 turns it back.
    #[inline(always)]
    fn tile<const FUSED: bool>(
        x: &Tile<HALF>,
        cos: &Tile<HALF>,
        sin: &Tile<HALF>,
        direction: f32,
    ) -> Tile<HALF> {
        let mut out = [0.0; HALF];
        for lane in 0..HALF {
            let other = direction * x[lane ^ 1];
            out[lane] = multiply_add::<FUSED>(x[lane], cos[lane], other * sin[lane]);
        }
        out
    }

    /// Turn numbers in place.
    #[inline(always)]
    fn turn<const FUSED: bool>(&self, out: &mut [f32], direction: f32) {
        let ([cos, sin], rest) = whole::<2, HALF>([self.cos, self.sin]);
        let (out, out_rest) = out.as_chunks_mut::<HALF>();
        for ((x, cos), sin) in out.iter_mut().zip(cos).zip(sin) {
            *x = Self::tile::<FUSED>(x, cos, sin, direction);
        }
        if !out_rest.is_empty() {
            let [cos, sin] = rest.map(tile::<HALF>);
            let turned = Self::tile::<FUSED>(&tile(out_rest), &cos, &sin, direction);
            store(out_rest, &turned);
        }
    }
}

/// Write a head's normed, turned numbers.
#[inline(always)]
pub(super) fn values<const FUSED: bool>(
    x: &[f32],
    turn: Option<Turn<'_>>,
    epsilon: f32,
    out: &mut [f32],
) {
    let inverse = inverse_root::<FUSED, HALF>(x, epsilon);
    let ([xs], [rest]) = whole::<1, HALF>([x]);
    let (outs, out_rest) = out.as_chunks_mut::<HALF>();
    for (out, x) in outs.iter_mut().zip(xs) {
        *out = times(x, inverse);
    }
    if !rest.is_empty() {
        store(out_rest, &times(&tile::<HALF>(rest), inverse));
    }
    if let Some(turn) = turn {
        turn.turn::<FUSED>(out, 1.0);
    }
}

/// Write the gradient of a head's numbers.
#[inline(always)]
pub(super) fn gradients<const FUSED: bool>(
    [g, x]: [&[f32]; 2],
    turn: Option<Turn<'_>>,
    epsilon: f32,
    dx: &mut [f32],
) {
    dx.copy_from_slice(g);
    if let Some(turn) = turn {
        turn.turn::<FUSED>(dx, -1.0);
    }
    let ([xs], [rest]) = whole::<1, HALF>([x]);
    let (dxs, dx_rest) = dx.as_chunks_mut::<HALF>();
    let (mut squares, mut products) = ([0.0; HALF], [0.0; HALF]);
    for (g, x) in dxs.iter().zip(xs) {
        add_products::<FUSED, _>(x, x, &mut squares);
        add_products::<FUSED, _>(g, x, &mut products);
    }
    if !rest.is_empty() {
        let x = tile::<HALF>(rest);
        add_products::<FUSED, _>(&x, &x, &mut squares);
        add_products::<FUSED, _>(&tile(dx_rest), &x, &mut products);
    }
    let inverse = 1.0 / (total(&squares) / count(x) + epsilon).sqrt();
    let by = (total(&products) / count(x) * inverse, inverse);
    for (dx, x) in dxs.iter_mut().zip(xs) {
        *dx = across::<FUSED, _>(dx, &times(x, inverse), by);
    }
    if !rest.is_empty() {
        let gradient = across::<FUSED, _>(&tile(dx_rest), &times(&tile::<HALF>(rest), inverse), by);
        store(dx_rest, &gradient);
    }
}
