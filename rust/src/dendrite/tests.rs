//! Values and gradients of random networks.

use super::*;

const DEEP: Shape = Shape {
    hidden: 3,
    is_deep: true,
    nonlinearity: Nonlinearity::Smoothstep,
};
const SHALLOW: Shape = Shape {
    hidden: 8,
    is_deep: false,
    nonlinearity: Nonlinearity::Relu,
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
        let outputs = (
            ArgumentGradients::Separate(&mut da, &mut db),
            &mut of_weights[..],
        );
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
            let slope =
                (of(&moved(data, 40, step)) - of(&moved(data, 40, -step))) / f64::from(2.0 * step);
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
