//! What an inner network is: its size, its non-linearity, and where its weights lie.

/// Units of a hidden layer at most: a tile of them has to stay in the first cache.
pub const MAX_HIDDEN: usize = 64;

/// The non-linearity between the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// max(u, 0).
    Relu,
    /// s (3 - s^2) / 2 of s = u held between -1 and 1: as tanh, without an exponential.
    Smoothstep,
}

/// The shape of an inner network 2 -> hidden -> 1 or 2 -> hidden -> hidden -> 1.
///
/// Weights of one network are one row: three of each first unit (of the first argument, of the
/// second, bias), with two layers `hidden` and a bias of each second unit, then those of the output
/// and its bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Units of a hidden layer.
    pub hidden: usize,
    /// Whether there are two hidden layers.
    pub is_deep: bool,
    /// Between the layers.
    pub inner: Inner,
}

impl Shape {
    /// Numbers of one network.
    pub fn num_weights(self) -> usize {
        let middle = if self.is_deep {
            self.hidden * (self.hidden + 1)
        } else {
            0
        };
        4 * self.hidden + middle + 1
    }
}

/// A non-linearity that is known when the code is compiled.
pub(super) trait Curve {
    fn value(u: f32) -> f32;
    /// The slope; where it jumps, that of the left side.
    fn slope(u: f32) -> f32;
}

pub(super) struct Relu;
pub(super) struct Smoothstep;

impl Curve for Relu {
    #[inline(always)]
    fn value(u: f32) -> f32 {
        // In this order NaN stays NaN.
        if u < 0.0 { 0.0 } else { u }
    }

    #[inline(always)]
    fn slope(u: f32) -> f32 {
        if u <= 0.0 { 0.0 } else { 1.0 }
    }
}

#[inline(always)]
fn held(u: f32) -> f32 {
    let u = if u < -1.0 { -1.0 } else { u };
    if u > 1.0 { 1.0 } else { u }
}

impl Curve for Smoothstep {
    #[inline(always)]
    fn value(u: f32) -> f32 {
        let s = held(u);
        s * (1.5 - 0.5 * (s * s))
    }

    #[inline(always)]
    fn slope(u: f32) -> f32 {
        let s = held(u);
        1.5 - 1.5 * (s * s)
    }
}
