//! The work on one block of rows, tile by tile.

use super::cell::{Curve, Inner, Relu, Shape, Smoothstep};
use super::shallow::Sums;
use super::walk::{Slopes, Values};
use super::{deep, shallow};
use crate::memory::Accelerated;

pub(super) struct Forward<'a> {
    pub(super) walk: Values<'a>,
    pub(super) weights: &'a [f32],
    pub(super) shape: Shape,
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
        let (shape, size) = (self.shape, self.shape.num_weights());
        let mut scratch = deep::Scratch::new();
        let weights = self.weights.chunks_exact(size);
        self.walk.tiles(&weights, |weights, a, b| {
            if shape.is_deep {
                deep::values::<C, FUSED>(weights, shape.hidden, a, b, &mut scratch)
            } else {
                shallow::values::<C, FUSED>(weights, a, b)
            }
        });
    }
}

pub(super) struct Backward<'a> {
    pub(super) walk: Slopes<'a>,
    pub(super) weights: &'a [f32],
    pub(super) shape: Shape,
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
        let share = self.walk.cut.columns * size / self.weights.len();
        let weights = self.weights.chunks_exact(size).enumerate();
        let mut scratch = deep::Scratch::new();
        for (number, weights) in weights {
            let columns = (number * share, (number + 1) * share);
            if self.shape.is_deep {
                let mut sums = vec![0.0; size];
                let hidden = self.shape.hidden;
                self.walk.tiles(columns, |tiles| {
                    deep::gradients::<C, FUSED>(weights, hidden, tiles, &mut scratch, &mut sums)
                });
                self.partial[number * size..][..size].copy_from_slice(&sums);
            } else {
                let mut sums = Sums::new();
                self.walk.tiles(columns, |[g, a, b]| {
                    shallow::gradients::<C, FUSED>(weights, g, a, b, &mut sums)
                });
                sums.write(weights, &mut self.partial[number * size..][..size]);
            }
        }
    }
}
