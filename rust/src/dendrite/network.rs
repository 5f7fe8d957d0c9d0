//! The inner network: its size, its nonlinearity and the layout of its weights.

/// The largest hidden layer; a tile of its units has to fit into the L1 cache.
pub const MAX_HIDDEN: usize = 64;

/// The nonlinearity of hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nonlinearity {
    /// max(u, 0).
    Relu,
    /// s (3 - s^2) / 2 of s = u clamped to [-1, 1]; similar to tanh, without an exponential.
    Smoothstep,
}

/// The shape of an inner network 2 -> hidden -> 1 or 2 -> hidden -> hidden -> 1.
///
/// The weights of one network are one row: for each unit of the first layer the weights of both
/// arguments and the bias; for each unit of a second layer `hidden` weights and the bias; then the
/// weights of the output and its bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Units of a hidden layer.
    pub hidden: usize,
    /// Whether there are two hidden layers.
    pub is_deep: bool,
    /// Nonlinearity of the hidden layers.
    pub nonlinearity: Nonlinearity,
}

impl Shape {
    /// Number of weights of one network.
    pub fn num_weights(self) -> usize {
        let middle = if self.is_deep {
            self.hidden * (self.hidden + 1)
        } else {
            0
        };
        4 * self.hidden + middle + 1
    }
}

/// A nonlinearity that is known at compile time.
pub(super) trait Function {
    fn value(u: f32) -> f32;
    /// The derivative; at a kink the one from the left.
    fn derivative(u: f32) -> f32;
}

pub(super) struct Relu;
pub(super) struct Smoothstep;

impl Function for Relu {
    #[inline(always)]
    fn value(u: f32) -> f32 {
        // In this order NaN stays NaN.
        if u < 0.0 { 0.0 } else { u }
    }

    #[inline(always)]
    fn derivative(u: f32) -> f32 {
        if u <= 0.0 { 0.0 } else { 1.0 }
    }
}

#[inline(always)]
fn clamp(u: f32) -> f32 {
    let u = if u < -1.0 { -1.0 } else { u };
    if u > 1.0 { 1.0 } else { u }
}

impl Function for Smoothstep {
    #[inline(always)]
    fn value(u: f32) -> f32 {
        let s = clamp(u);
        s * (1.5 - 0.5 * (s * s))
    }

    #[inline(always)]
    fn derivative(u: f32) -> f32 {
        let s = clamp(u);
        1.5 - 1.5 * (s * s)
    }
}
