//! Products against sums in double precision.

use super::*;

fn numbers(count: usize, step: f32) -> Vec<f32> {
    #[allow(clippy::cast_precision_loss)]
    (0..count)
        .map(|place| (place as f32 * step).sin())
        .collect()
}

fn product(a: &[f32], b: &[f32], [rows, depth, columns]: [usize; 3]) -> Vec<f64> {
    let number = |place: usize| {
        let (row, column) = (place / columns, place % columns);
        let terms =
            (0..depth).map(|k| f64::from(a[row * depth + k]) * f64::from(b[k * columns + column]));
        terms.sum()
    };
    (0..rows * columns).map(number).collect()
}

fn turn(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns;
    (0..matrix.len())
        .map(|place| matrix[place % rows * columns + place / rows])
        .collect()
}

fn matrix(data: &[f32], stride: usize) -> Matrix<'_> {
    Matrix { data, stride }
}

#[test]
fn products_are_those_of_rows_and_columns_for_all_sizes_and_orders() {
    for shape in [
        [1, 1, 1],
        [6, 16, 16],
        [7, 5, 17],
        [13, 33, 40],
        [4, 3, 2],
        [11, 6, 3],
    ] {
        let [rows, depth, columns] = shape;
        let (a, b) = (numbers(rows * depth, 0.7), numbers(depth * columns, 1.3));
        let exact = product(&a, &b, shape);
        let close = |found: &[f32], times: f64| {
            for (found, exact) in found.iter().zip(&exact) {
                let error = (f64::from(*found) - times * exact).abs();
                assert!(error < 1e-5, "{shape:?}: {found} {exact}");
            }
        };
        let b_turned = turn(&b, columns);
        for panels in [
            Panels::new(matrix(&b, columns), [depth, columns]),
            Panels::turned(&b_turned, [depth, columns]),
        ] {
            let mut out = vec![f32::NAN; rows * columns];
            multiply(matrix(&a, depth), &panels, &mut out, false);
            close(&out, 1.0);
            multiply(matrix(&a, depth), &panels, &mut out, true);
            close(&out, 2.0);
            let a_turned = turn(&a, depth);
            let mut out = vec![0.0; rows * columns];
            add_turned(matrix(&a_turned, rows), rows, &panels, &mut out);
            close(&out, 1.0);
            add_turned(matrix(&a_turned, rows), rows, &panels, &mut out);
            close(&out, 2.0);
        }
    }
}
