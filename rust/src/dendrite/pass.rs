//! One pass over matrices, block by block: values and gradients.

use super::block::{Backward, Forward};
use super::cell::Shape;
use super::walk::{Slopes, Values};
use crate::blocks::{ALONE, FLAT_ROW, Matrix, cut, flat, share};
use crate::memory::accelerated;

/// Where gradients of the arguments go.
pub enum Gradients<'a> {
    /// Of each argument its own matrix without gaps.
    Apart(&'a mut [f32], &'a mut [f32]),
    /// Rows of the first argument's followed by the second's.
    Packed(&'a mut [f32]),
}

impl<'a> Gradients<'a> {
    /// Cut them into blocks of so many elements each.
    pub(super) fn pieces(self, block: usize) -> Vec<(&'a mut [f32], Option<&'a mut [f32]>)> {
        match self {
            Self::Apart(da, db) => {
                let second = db.chunks_mut(block).map(Some);
                da.chunks_mut(block).zip(second).collect()
            }
            Self::Packed(both) => both
                .chunks_mut(2 * block)
                .map(|piece| (piece, None))
                .collect(),
        }
    }
}

/// Write f(a, b) of every element.
///
/// # Arguments
/// `weights` has one row for each cell type, which has an equal share of the columns; `out` has no
/// gaps. Whatever the number of threads, the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward(
    [a, b]: [Matrix<'_>; 2],
    columns: usize,
    (weights, shape): (&[f32], Shape),
    out: &mut [f32],
    threads: usize,
) {
    let types = weights.len() / shape.num_weights();
    let is_flat = types == 1 && a.stride == columns && b.stride == columns;
    let cut = cut(if is_flat { FLAT_ROW } else { columns });
    let (a, b) = if is_flat { (flat(a), flat(b)) } else { (a, b) };
    let block = cut.rows_per_block * cut.columns;
    let alone = out.len() < ALONE;
    let tasks: Vec<_> = out.chunks_mut(block.max(1)).enumerate().collect();
    share(tasks, if alone { 1 } else { threads }, |(number, out)| {
        let walk = Values {
            arguments: [a, b],
            cut,
            first_row: number * cut.rows_per_block,
            out,
        };
        accelerated(Forward {
            walk,
            weights,
            shape,
        });
    });
}

/// Write the gradients of a and b, and of the weights.
///
/// # Arguments
/// As in `forward`; `g` is the gradient of what that wrote.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward(
    [g, a, b]: [Matrix<'_>; 3],
    columns: usize,
    (weights, shape): (&[f32], Shape),
    (of_arguments, of_weights): (Gradients<'_>, &mut [f32]),
    threads: usize,
) {
    let types = weights.len() / shape.num_weights();
    let apart = matches!(of_arguments, Gradients::Apart(..));
    let is_flat = types == 1 && apart && [g, a, b].iter().all(|matrix| matrix.stride == columns);
    let cut = cut(if is_flat { FLAT_ROW } else { columns });
    let inputs = [g, a, b].map(|matrix| if is_flat { flat(matrix) } else { matrix });
    let block = (cut.rows_per_block * cut.columns).max(1);
    let pieces = of_arguments.pieces(block);
    let alone = pieces.len() * block < ALONE;
    let mut partial = vec![0.0; pieces.len() * weights.len()];
    let tasks: Vec<_> = pieces
        .into_iter()
        .zip(partial.chunks_mut(weights.len()))
        .enumerate()
        .collect();
    share(
        tasks,
        if alone { 1 } else { threads },
        |(number, ((first, second), partial))| {
            let walk = Slopes {
                inputs,
                cut,
                first_row: number * cut.rows_per_block,
                of_arguments: (first, second),
            };
            accelerated(Backward {
                walk,
                weights,
                shape,
                partial,
            });
        },
    );
    for (place, gradient) in of_weights.iter_mut().enumerate() {
        let parts = partial.iter().skip(place).step_by(weights.len());
        #[allow(clippy::cast_possible_truncation)]
        let sum = parts.map(|part| f64::from(*part)).sum::<f64>() as f32;
        *gradient = sum;
    }
}

#[cfg(test)]
mod tests {
    use super::super::cell::Inner;
    use super::*;

    const DEEP: Shape = Shape {
        hidden: 3,
        is_deep: true,
        inner: Inner::Smoothstep,
    };
    const SHALLOW: Shape = Shape {
        hidden: 8,
        is_deep: false,
        inner: Inner::Relu,
    };

    fn numbers(count: usize, step: f32) -> Vec<f32> {
        let angles = (0..count).scan(0.0_f32, |angle, _| {
            *angle = (*angle + step) % 6.0;
            Some(*angle)
        });
        angles.map(f32::sin).collect()
    }

    fn values(a: &[f32], b: &[f32], columns: usize, weights: &[f32], shape: Shape) -> Vec<f32> {
        let mut out = vec![f32::NAN; a.len()];
        let matrices = [a, b].map(|data| Matrix {
            data,
            stride: columns,
        });
        forward(matrices, columns, (weights, shape), &mut out, 2);
        out
    }

    #[test]
    fn gradients_are_slopes_of_the_values() {
        for shape in [SHALLOW, DEEP] {
            let (rows, columns) = (3, 34);
            let (a, b) = (numbers(rows * columns, 0.7), numbers(rows * columns, 1.3));
            let weights = numbers(2 * shape.num_weights(), 0.9);
            let g = vec![1.0; a.len()];
            let (mut da, mut db) = (vec![f32::NAN; a.len()], vec![f32::NAN; a.len()]);
            let mut of_weights = vec![f32::NAN; weights.len()];
            let matrices = [&g, &a, &b].map(|data| Matrix {
                data,
                stride: columns,
            });
            let outputs = (Gradients::Apart(&mut da, &mut db), &mut of_weights[..]);
            backward(matrices, columns, (&weights, shape), outputs, 2);
            let sum = |a: &[f32], b: &[f32], weights: &[f32]| {
                let values = values(a, b, columns, weights, shape);
                values.into_iter().map(f64::from).sum::<f64>()
            };
            let step = 1e-3;
            let moved = |data: &[f32], place: usize, by: f32| {
                let mut data = data.to_vec();
                data[place] += by;
                data
            };
            for place in 0..weights.len() {
                let slope = (sum(&a, &b, &moved(&weights, place, step))
                    - sum(&a, &b, &moved(&weights, place, -step)))
                    / f64::from(2.0 * step);
                let difference = (slope - f64::from(of_weights[place])).abs();
                assert!(difference < 0.05, "{place}: {slope} {}", of_weights[place]);
            }
            for (data, gradient, is_first) in [(&a, &da, true), (&b, &db, false)] {
                let of = |data: &[f32]| {
                    let (a, b) = if is_first {
                        (data, &b[..])
                    } else {
                        (&a[..], data)
                    };
                    sum(a, b, &weights)
                };
                let slope = (of(&moved(data, 40, step)) - of(&moved(data, 40, -step)))
                    / f64::from(2.0 * step);
                assert!((slope - f64::from(gradient[40])).abs() < 0.01);
            }
        }
    }

    #[test]
    fn rows_may_lie_apart() {
        let weights = numbers(SHALLOW.num_weights(), 0.9);
        let (a, b) = (numbers(20, 0.7), numbers(20, 1.3));
        let both: Vec<f32> = a
            .chunks(10)
            .zip(b.chunks(10))
            .flat_map(|(a, b)| [a, b].concat())
            .collect();
        let mut out = vec![f32::NAN; 20];
        let matrices = [&both[..30], &both[10..]].map(|data| Matrix { data, stride: 20 });
        forward(matrices, 10, (&weights, SHALLOW), &mut out, 1);
        assert_eq!(out, values(&a, &b, 10, &weights, SHALLOW));
    }
}
