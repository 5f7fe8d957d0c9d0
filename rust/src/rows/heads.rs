//! A projection cut into heads of attention: queries and keys normed and turned, values copied.

use super::head::{Turn, gradients, values};
use super::pool::{pool, shares};
use crate::blocks::Matrix;
use crate::memory::{Accelerated, accelerated};

/// How queries of several tokens become one: their largest numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pooling {
    /// Tokens of a query; 1 leaves queries as they are.
    pub tokens: usize,
    /// Whether they are neighbours; else the first ones of all queries come first, then the second.
    pub are_neighbours: bool,
}

/// What a row of a projection is: parts (queries, keys, values), each of some heads side by side.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Tokens of an item: what attends to each other.
    pub tokens: usize,
    /// Of a row.
    pub parts: usize,
    /// Of those, the first ones that are normed.
    pub normed: usize,
    /// Of a part.
    pub heads: usize,
    /// Of a head.
    pub width: usize,
    /// Of the first part.
    pub pooling: Pooling,
    /// Added to the mean square.
    pub epsilon: f32,
}

/// Rows of a head's width by item, head and token.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    /// From the first number to the last.
    pub data: &'a [f32],
    /// Numbers from one item, head and token to the next.
    pub strides: [usize; 3],
}

impl<'a> Strided<'a> {
    /// The rows from an item on.
    #[must_use]
    pub(crate) fn starting_at(&self, item: usize) -> Self {
        let start = (item * self.strides[0]).min(self.data.len());
        Self {
            data: &self.data[start..],
            strides: self.strides,
        }
    }

    #[inline(always)]
    pub(crate) fn row(&self, place: [usize; 3], width: usize) -> &'a [f32] {
        let start = (0..3).map(|axis| place[axis] * self.strides[axis]).sum();
        &self.data[start..][..width]
    }
}

impl Heads {
    /// Numbers of a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.parts * self.heads * self.width
    }

    /// Tokens of a part after pooling.
    #[must_use]
    pub fn tokens_of(&self, part: usize) -> usize {
        if part == 0 {
            self.tokens / self.pooling.tokens
        } else {
            self.tokens
        }
    }

    /// Where a head of a part starts in its row.
    #[inline(always)]
    fn column(&self, part: usize, head: usize) -> usize {
        (part * self.heads + head) * self.width
    }

    /// The tokens that a query is of.
    #[inline(always)]
    fn pooled(&self, query: usize) -> impl Iterator<Item = usize> + Clone {
        let Pooling {
            tokens,
            are_neighbours,
        } = self.pooling;
        let queries = self.tokens / tokens;
        (0..tokens).map(move |phase| {
            if are_neighbours {
                query * tokens + phase
            } else {
                phase * queries + query
            }
        })
    }

    #[inline(always)]
    fn turn<'a>(&self, turns: Option<&'a [f32]>, token: usize) -> Option<Turn<'a>> {
        let size = 2 * self.width;
        turns.map(|turns| Turn::new(&turns[token * size..][..size]))
    }
}

/// Lay out cosines and sines, `pairs` of each token, as heads need them.
#[must_use]
pub fn turns_of(cos: Matrix<'_>, sin: Matrix<'_>, tokens: usize, pairs: usize) -> Vec<f32> {
    let mut turns = Vec::with_capacity(tokens * 4 * pairs);
    for token in 0..tokens {
        turns.extend(cos.row(token, pairs).iter().flat_map(|cos| [*cos; 2]));
        turns.extend(sin.row(token, pairs).iter().flat_map(|sin| [-*sin, *sin]));
    }
    turns
}

struct Forward<'a> {
    projection: Matrix<'a>,
    heads: Heads,
    turns: Option<&'a [f32]>,
    out: Vec<&'a mut [f32]>,
}

impl Accelerated for Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let heads = self.heads;
        let (mut query, mut equals) = (vec![0.0; heads.width], vec![0.0; heads.width]);
        for (part, out) in self.out.into_iter().enumerate() {
            let tokens = heads.tokens_of(part);
            for (number, out) in out.chunks_mut(tokens * heads.width).enumerate() {
                let first = number / heads.heads * heads.tokens;
                let column = heads.column(part, number % heads.heads);
                let row = |token: usize| {
                    let start = (first + token) * self.projection.stride + column;
                    &self.projection.data[start..][..heads.width]
                };
                for (token, out) in out.chunks_mut(heads.width).enumerate() {
                    let x = if part == 0 && heads.pooling.tokens > 1 {
                        pool(&heads.pooled(token).map(row), &mut query, &mut equals);
                        &query
                    } else {
                        row(token)
                    };
                    if part < heads.normed {
                        let turn = heads.turn(self.turns, token);
                        values::<FUSED>(x, turn, heads.epsilon, out);
                    } else {
                        out.copy_from_slice(x);
                    }
                }
            }
        }
    }
}

struct Backward<'a> {
    projection: Matrix<'a>,
    heads: Heads,
    turns: Option<&'a [f32]>,
    g: &'a [Strided<'a>],
    of_projection: &'a mut [f32],
}

impl Accelerated for Backward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let heads = self.heads;
        let (width, columns) = (heads.width, heads.columns());
        let [mut query, mut of_query, mut equals] = [0; 3].map(|_| vec![0.0; width]);
        let items = self.of_projection.chunks_mut(heads.tokens * columns);
        for (item, of_item) in items.enumerate() {
            let data = &self.projection.data[item * heads.tokens * self.projection.stride..];
            for (part, g) in self.g.iter().enumerate() {
                for place in 0..heads.heads * heads.tokens_of(part) {
                    let (token, head) = (place / heads.heads, place % heads.heads);
                    let g = g.row([item, head, token], width);
                    let column = heads.column(part, head);
                    let row =
                        |token: usize| &data[token * self.projection.stride + column..][..width];
                    let turn = heads.turn(self.turns, token);
                    if part == 0 && heads.pooling.tokens > 1 {
                        pool(&heads.pooled(token).map(row), &mut query, &mut equals);
                        if part < heads.normed {
                            gradients::<FUSED>([g, &query], turn, heads.epsilon, &mut of_query);
                        } else {
                            of_query.copy_from_slice(g);
                        }
                        for place in heads.pooled(token) {
                            let dx = &mut of_item[place * columns + column..][..width];
                            shares([&of_query, row(place), &query, &equals], dx);
                        }
                        continue;
                    }
                    let dx = &mut of_item[token * columns + column..][..width];
                    if part < heads.normed {
                        gradients::<FUSED>([g, row(token)], turn, heads.epsilon, dx);
                    } else {
                        dx.copy_from_slice(g);
                    }
                }
            }
        }
    }
}

/// Write every part of a projection, head by head: `(items, heads, tokens, width)`.
///
/// # Arguments
/// `turns`, of `turns_of`, turn what is normed; `out` has one for each part, without gaps.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_heads(
    projection: Matrix<'_>,
    heads: Heads,
    turns: Option<&[f32]>,
    out: Vec<&mut [f32]>,
) {
    accelerated(Forward {
        projection,
        heads,
        turns,
        out,
    });
}

/// Write the gradient of a projection, without gaps.
///
/// # Arguments
/// As in `forward_heads`; `g` are the gradients of what that wrote, part by part.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_heads(
    projection: Matrix<'_>,
    heads: Heads,
    turns: Option<&[f32]>,
    g: &[Strided<'_>],
    of_projection: &mut [f32],
) {
    accelerated(Backward {
        projection,
        heads,
        turns,
        g,
        of_projection,
    });
}

#[cfg(test)]
mod tests;
