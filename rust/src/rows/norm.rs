//! Rows divided by the root of their mean square, and weighed: values and gradients.

use crate::blocks::{ALONE, Matrix, cut, share};
use crate::memory::{Accelerated, accelerated};
use crate::tiles::{LANES, Tile, multiply_add, store, tile, total, whole};

/// Rows whose sums are kept in single precision, before they are added up in double.
const ROWS_TOGETHER: usize = 32;

/// What every row is normalised with.
#[derive(Clone, Copy, Debug)]
pub struct Weighing<'a> {
    /// One for each column.
    pub weight: &'a [f32],
    /// Added to the mean square.
    pub epsilon: f32,
}

/// 1 / sqrt(mean(x^2) + epsilon) of a row.
#[inline(always)]
pub(super) fn inverse_root<const FUSED: bool, const COUNT: usize>(x: &[f32], epsilon: f32) -> f32 {
    let mut squares = [0.0; COUNT];
    let ([tiles], [rest]) = whole([x]);
    for x in tiles {
        add_products::<FUSED, _>(x, x, &mut squares);
    }
    if !rest.is_empty() {
        add_products::<FUSED, _>(&tile(rest), &tile(rest), &mut squares);
    }
    1.0 / (total(&squares) / count(x) + epsilon).sqrt()
}

#[inline(always)]
pub(super) fn add_products<const FUSED: bool, const COUNT: usize>(
    a: &Tile<COUNT>,
    b: &Tile<COUNT>,
    sums: &mut Tile<COUNT>,
) {
    for lane in 0..COUNT {
        sums[lane] = multiply_add::<FUSED>(a[lane], b[lane], sums[lane]);
    }
}

#[inline(always)]
fn product<const COUNT: usize>(a: &Tile<COUNT>, b: &Tile<COUNT>) -> Tile<COUNT> {
    let mut out = [0.0; COUNT];
    for lane in 0..COUNT {
        out[lane] = a[lane] * b[lane];
    }
    out
}

#[inline(always)]
pub(super) fn times<const COUNT: usize>(a: &Tile<COUNT>, factor: f32) -> Tile<COUNT> {
    product(a, &[factor; COUNT])
}

/// (g - normed along) inverse: the part of a gradient that changes no length.
#[inline(always)]
pub(super) fn across<const FUSED: bool, const COUNT: usize>(
    g: &Tile<COUNT>,
    normed: &Tile<COUNT>,
    (along, inverse): (f32, f32),
) -> Tile<COUNT> {
    let mut out = [0.0; COUNT];
    for lane in 0..COUNT {
        out[lane] = inverse * multiply_add::<FUSED>(-normed[lane], along, g[lane]);
    }
    out
}

/// Numbers of a row, as one of them.
#[inline(always)]
pub(super) fn count(row: &[f32]) -> f32 {
    #[allow(clippy::cast_precision_loss)]
    let count = row.len() as f32;
    count
}

struct Forward<'a> {
    x: Matrix<'a>,
    first_row: usize,
    with: Weighing<'a>,
    out: &'a mut [f32],
}

impl Accelerated for Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Weighing { weight, epsilon } = self.with;
        for (number, out) in self.out.chunks_mut(weight.len()).enumerate() {
            let x = self.x.row(self.first_row + number, weight.len());
            let inverse = inverse_root::<FUSED, LANES>(x, epsilon);
            let ([x, weight], [x_rest, weight_rest]) = whole::<2, LANES>([x, weight]);
            let (out, out_rest) = out.as_chunks_mut::<LANES>();
            for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
                *out = product(&times(x, inverse), weight);
            }
            if !out_rest.is_empty() {
                let normed = times(&tile::<LANES>(x_rest), inverse);
                store(out_rest, &product(&normed, &tile(weight_rest)));
            }
        }
    }
}

struct Backward<'a> {
    g: Matrix<'a>,
    x: Matrix<'a>,
    first_row: usize,
    with: Weighing<'a>,
    dx: &'a mut [f32],
    partial: &'a mut [f64],
}

impl Accelerated for Backward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let columns = self.with.weight.len();
        let mut sums = vec![[0.0; LANES]; columns.div_ceil(LANES)];
        let groups = self.dx.chunks_mut(ROWS_TOGETHER * columns);
        for (group, dx) in groups.enumerate() {
            for (number, dx) in dx.chunks_mut(columns).enumerate() {
                let row = self.first_row + group * ROWS_TOGETHER + number;
                let rows = [self.g, self.x].map(|matrix| matrix.row(row, columns));
                one_row::<FUSED>(rows, self.with, dx, &mut sums);
            }
            for (partial, sum) in self.partial.chunks_mut(LANES).zip(&mut sums) {
                for (partial, sum) in partial.iter_mut().zip(sum) {
                    *partial += f64::from(*sum);
                    *sum = 0.0;
                }
            }
        }
    }
}

#[inline(always)]
fn one_row<const FUSED: bool>(
    [g, x]: [&[f32]; 2],
    Weighing { weight, epsilon }: Weighing<'_>,
    dx: &mut [f32],
    sums: &mut [Tile],
) {
    let (mut squares, mut products) = ([0.0; LANES], [0.0; LANES]);
    let ([gs, xs, weights], rest) = whole([g, x, weight]);
    for ((g, x), weight) in gs.iter().zip(xs).zip(weights) {
        add_products::<FUSED, _>(x, x, &mut squares);
        add_products::<FUSED, _>(&product(g, weight), x, &mut products);
    }
    let [g_rest, x_rest, weight_rest] = rest.map(tile);
    let is_whole = rest[0].is_empty();
    if !is_whole {
        add_products::<FUSED, _>(&x_rest, &x_rest, &mut squares);
        add_products::<FUSED, _>(&product(&g_rest, &weight_rest), &x_rest, &mut products);
    }
    let inverse = 1.0 / (total(&squares) / count(x) + epsilon).sqrt();
    let by = (total(&products) / count(x) * inverse, inverse);
    let (dxs, dx_rest) = dx.as_chunks_mut::<LANES>();
    let parts = gs.iter().zip(xs).zip(weights);
    for (((g, x), weight), (dx, sum)) in parts.zip(dxs.iter_mut().zip(sums.iter_mut())) {
        let normed = times(x, inverse);
        add_products::<FUSED, _>(g, &normed, sum);
        *dx = across::<FUSED, _>(&product(g, weight), &normed, by);
    }
    if let (false, Some(sum)) = (is_whole, sums.last_mut()) {
        let normed = times(&x_rest, inverse);
        add_products::<FUSED, _>(&g_rest, &normed, sum);
        let gradient = across::<FUSED, _>(&product(&g_rest, &weight_rest), &normed, by);
        store(dx_rest, &gradient);
    }
}

/// Write x / sqrt(mean(x^2) + epsilon) weight of every row.
///
/// # Arguments
/// `out` has no gaps. Whatever the number of threads, the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_norm(x: Matrix<'_>, with: Weighing<'_>, out: &mut [f32], threads: usize) {
    let cut = cut(with.weight.len());
    let block = (cut.rows_per_block * cut.columns).max(1);
    let threads = if out.len() < ALONE { 1 } else { threads };
    let tasks: Vec<_> = out.chunks_mut(block).enumerate().collect();
    share(tasks, threads, |(number, out)| {
        accelerated(Forward {
            x,
            first_row: number * cut.rows_per_block,
            with,
            out,
        });
    });
}

/// Write the gradients of x and of the weight.
///
/// # Arguments
/// As in `forward_norm`; `g` is the gradient of what that wrote.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_norm(
    [g, x]: [Matrix<'_>; 2],
    with: Weighing<'_>,
    (dx, of_weight): (&mut [f32], &mut [f32]),
    threads: usize,
) {
    let cut = cut(with.weight.len());
    let block = (cut.rows_per_block * cut.columns).max(1);
    let threads = if dx.len() < ALONE { 1 } else { threads };
    let mut partial = vec![0.0; dx.len().div_ceil(block) * cut.columns];
    let pieces = dx.chunks_mut(block);
    let tasks: Vec<_> = pieces
        .zip(partial.chunks_mut(cut.columns.max(1)))
        .enumerate()
        .collect();
    share(tasks, threads, |(number, (dx, partial))| {
        accelerated(Backward {
            g,
            x,
            first_row: number * cut.rows_per_block,
            with,
            dx,
            partial,
        });
    });
    for (place, gradient) in of_weight.iter_mut().enumerate() {
        let parts = partial.iter().skip(place).step_by(cut.columns);
        #[allow(clippy::cast_possible_truncation)]
        let sum = parts.sum::<f64>() as f32;
        *gradient = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_slopes_of_the_values_with_and_without_instructions_for_them() {
        let columns = 19;
        let x: Vec<f32> = (0..38_u8).map(|n| (f32::from(n) * 0.9).sin()).collect();
        let g: Vec<f32> = (0..38_u8).map(|n| (f32::from(n) * 1.7).cos()).collect();
        let weight: Vec<f32> = (0..19_u8).map(|n| 0.5 + f32::from(n) * 0.1).collect();
        let matrices = [&g, &x].map(|data| Matrix {
            data,
            stride: columns,
        });
        let loss = |x: &[f32], weight: &[f32]| {
            let mut out = vec![f32::NAN; x.len()];
            let with = Weighing {
                weight,
                epsilon: 1e-3,
            };
            let matrix = Matrix {
                data: x,
                stride: columns,
            };
            forward_norm(matrix, with, &mut out, 1);
            let products = out.iter().zip(&g).map(|(y, g)| f64::from(y * g));
            products.sum::<f64>()
        };
        let with = Weighing {
            weight: &weight,
            epsilon: 1e-3,
        };
        for is_fused in [false, true] {
            let (mut dx, mut partial) = (vec![f32::NAN; 38], vec![0.0; columns]);
            let work = Backward {
                g: matrices[0],
                x: matrices[1],
                first_row: 0,
                with,
                dx: &mut dx,
                partial: &mut partial,
            };
            if is_fused {
                accelerated(work);
            } else {
                work.run::<false>();
            }
            let slope = |place: usize, of_weight: bool| {
                let moved = |by: f32| {
                    let (mut x, mut weight) = (x.clone(), weight.clone());
                    let data = if of_weight { &mut weight } else { &mut x };
                    data[place] += by;
                    loss(&x, &weight)
                };
                (moved(1e-2) - moved(-1e-2)) / 2e-2
            };
            for place in 0..38 {
                assert!((slope(place, false) - f64::from(dx[place])).abs() < 2e-3);
            }
            for place in 0..columns {
                assert!((slope(place, true) - partial[place]).abs() < 2e-3);
            }
        }
    }
}
