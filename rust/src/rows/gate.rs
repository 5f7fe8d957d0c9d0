//! The fixed function silu(a) b of two arguments, over whole matrices in one pass.

use crate::blocks::{ALONE, Cut, FLAT_ROW, Matrix, cut, flat, share};
use crate::memory::{Accelerated, accelerated};
use crate::tiles::{LANES, Tile, multiply_add, store, tile, whole};

/// Beyond it e^x, or its reciprocal, is no normal number.
const FARTHEST: f32 = 87.0;
/// Added to a small number, it leaves the nearest whole one in the last bits of the fraction.
const WHOLE: f32 = 12_582_912.0;
/// ln 2 as a number of few bits, whose multiples are exact, and the rest.
const LN_2_FIRST: f32 = 0.693_359_4;
const LN_2_REST: f32 = -2.121_944_4e-4;
/// e^x = 1 + x + x^2 (c0 + c1 x + ...) for x of at most ln 2 / 2; 1 / k! is off by less than half
/// a bit with seven of them.
const COEFFICIENTS: [f32; 6] = [
    1.0 / 5040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    1.0 / 2.0,
];

struct Forward<'a> {
    arguments: [Matrix<'a>; 2],
    cut: Cut,
    first_row: usize,
    out: &'a mut [f32],
}

impl Accelerated for Forward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let columns = self.cut.columns;
        for (number, out) in self.out.chunks_mut(columns).enumerate() {
            let rows = self
                .arguments
                .map(|m| m.row(self.first_row + number, columns));
            let ([a, b], [a_rest, b_rest]) = whole(rows);
            let (out, out_rest) = out.as_chunks_mut();
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = value::<FUSED>(a, b);
            }
            if !out_rest.is_empty() {
                store(out_rest, &value::<FUSED>(&tile(a_rest), &tile(b_rest)));
            }
        }
    }
}

struct Backward<'a> {
    inputs: [Matrix<'a>; 3],
    cut: Cut,
    first_row: usize,
    of_arguments: [&'a mut [f32]; 2],
    /// Values, where they are wanted again; else empty.
    values: &'a mut [f32],
}

impl Accelerated for Backward<'_> {
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let columns = self.cut.columns;
        let [da, db] = self.of_arguments;
        let outputs = da.chunks_mut(columns).zip(db.chunks_mut(columns));
        let mut values = self.values.chunks_mut(columns);
        for (number, (da, db)) in outputs.enumerate() {
            let rows = self.inputs.map(|m| m.row(self.first_row + number, columns));
            let ([g, a, b], rest) = whole(rows);
            let ((da, first_rest), (db, second_rest)) = (da.as_chunks_mut(), db.as_chunks_mut());
            let (values, values_rest) = values.next().unwrap_or_default().as_chunks_mut();
            let mut values = values.iter_mut();
            let outputs = da.iter_mut().zip(db);
            for ((((da, db), g), a), b) in outputs.zip(g).zip(a).zip(b) {
                let value;
                (*da, *db, value) = slopes::<FUSED>(g, a, b);
                if let Some(place) = values.next() {
                    *place = value;
                }
            }
            if !first_rest.is_empty() {
                let [g, a, b] = rest.map(tile);
                let (of_a, of_b, value) = slopes::<FUSED>(&g, &a, &b);
                store(first_rest, &of_a);
                store(second_rest, &of_b);
                store(values_rest, &value);
            }
        }
    }
}

#[inline(always)]
fn value<const FUSED: bool>(a: &Tile, b: &Tile) -> Tile {
    let mut out = logistic::<FUSED>(a);
    for lane in 0..LANES {
        out[lane] *= a[lane] * b[lane];
    }
    out
}

/// The gradients of both arguments, and the value.
#[inline(always)]
fn slopes<const FUSED: bool>(g: &Tile, a: &Tile, b: &Tile) -> (Tile, Tile, Tile) {
    let s = logistic::<FUSED>(a);
    let [mut da, mut db, mut value] = [[0.0; LANES]; 3];
    for lane in 0..LANES {
        let slope = s[lane] * multiply_add::<FUSED>(a[lane], 1.0 - s[lane], 1.0);
        da[lane] = g[lane] * b[lane] * slope;
        db[lane] = g[lane] * (a[lane] * s[lane]);
        value[lane] = s[lane] * (a[lane] * b[lane]);
    }
    (da, db, value)
}

/// 1 / (1 + e^-x) of a tile.
#[inline(always)]
fn logistic<const FUSED: bool>(x: &Tile) -> Tile {
    let mut out = [0.0; LANES];
    for lane in 0..LANES {
        out[lane] = 1.0 / (1.0 + exponential::<FUSED>(-x[lane]));
    }
    out
}

/// e^x, of what lies beyond the farthest as of that; NaN stays NaN.
#[inline(always)]
fn exponential<const FUSED: bool>(x: f32) -> f32 {
    let x = if x > FARTHEST { FARTHEST } else { x };
    let x = if x < -FARTHEST { -FARTHEST } else { x };
    let shifted = multiply_add::<FUSED>(x, std::f32::consts::LOG2_E, WHOLE);
    let whole = shifted - WHOLE;
    let rest = multiply_add::<FUSED>(whole, -LN_2_FIRST, x);
    let rest = multiply_add::<FUSED>(whole, -LN_2_REST, rest);
    let mut sum = COEFFICIENTS[0];
    for coefficient in &COEFFICIENTS[1..] {
        sum = multiply_add::<FUSED>(sum, rest, *coefficient);
    }
    let fraction = multiply_add::<FUSED>(sum, rest * rest, rest) + 1.0;
    // The last bits of `shifted` are the whole number's; moved up, they are an exponent.
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    fraction * power
}

/// Write silu(a) b of every element.
///
/// # Arguments
/// `out` has no gaps. Whatever the number of threads, the result is the same to the bit.
///
/// # Panics
/// Sizes do not fit each other.
pub fn forward_gate([a, b]: [Matrix<'_>; 2], columns: usize, out: &mut [f32], threads: usize) {
    let is_flat = a.stride == columns && b.stride == columns;
    let cut = cut(if is_flat { FLAT_ROW } else { columns });
    let arguments = [a, b].map(|matrix| if is_flat { flat(matrix) } else { matrix });
    let block = (cut.rows_per_block * cut.columns).max(1);
    let threads = if out.len() < ALONE { 1 } else { threads };
    let tasks: Vec<_> = out.chunks_mut(block).enumerate().collect();
    share(tasks, threads, |(number, out)| {
        accelerated(Forward {
            arguments,
            cut,
            first_row: number * cut.rows_per_block,
            out,
        });
    });
}

/// Write the gradients of a and b.
///
/// # Arguments
/// As in `forward_gate`; `g` is the gradient of what that wrote.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_gate(
    [g, a, b]: [Matrix<'_>; 3],
    columns: usize,
    (da, db): (&mut [f32], &mut [f32]),
    threads: usize,
) {
    let is_flat = [g, a, b].iter().all(|matrix| matrix.stride == columns);
    let cut = cut(if is_flat { FLAT_ROW } else { columns });
    let inputs = [g, a, b].map(|matrix| if is_flat { flat(matrix) } else { matrix });
    let block = (cut.rows_per_block * cut.columns).max(1);
    let threads = if da.len() < ALONE { 1 } else { threads };
    let pieces = da.chunks_mut(block).zip(db.chunks_mut(block));
    let tasks: Vec<_> = pieces.enumerate().collect();
    share(tasks, threads, |(number, (da, db))| {
        accelerated(Backward {
            inputs,
            cut,
            first_row: number * cut.rows_per_block,
            of_arguments: [da, db],
            values: &mut [],
        });
    });
}

/// Write the gradients of a and b, and silu(a) b once more, all without gaps.
///
/// # Panics
/// Sizes do not fit each other.
pub fn backward_gate_again(
    inputs: [Matrix<'_>; 3],
    columns: usize,
    of_arguments: [&mut [f32]; 2],
    values: &mut [f32],
) {
    accelerated(Backward {
        inputs,
        cut: cut(columns),
        first_row: 0,
        of_arguments,
        values,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponential_is_off_by_two_roundings_with_and_without_instructions_for_it() {
        for step in -8_700_i16..=8_700 {
            let x = f32::from(step) * 0.01;
            let exact = f64::from(x).exp();
            for found in [exponential::<false>(x), exponential::<true>(x)] {
                let error = (f64::from(found) / exact - 1.0).abs();
                assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {error}");
            }
        }
        assert!(exponential::<true>(f32::NAN).is_nan());
    }

    fn bits(numbers: [f32; 9]) -> [u32; 9] {
        numbers.map(f32::to_bits)
    }

    #[test]
    fn gradients_are_slopes_of_the_values_far_out_too() {
        let a = [-1e30_f32, -90.0, -2.5, -0.5, 0.0, 0.7, 3.0, 90.0, 1e30];
        let b = [2.0; 9];
        let matrices = [&b, &a, &b].map(|data| Matrix { data, stride: 9 });
        let [mut out, mut da, mut db] = [[f32::NAN; 9]; 3];
        forward_gate([matrices[1], matrices[2]], 9, &mut out, 1);
        let (mut again, mut others) = ([f32::NAN; 9], [[f32::NAN; 9]; 2]);
        let [first, second] = &mut others;
        backward_gate_again(matrices, 9, [first, second], &mut again);
        backward_gate(matrices, 9, (&mut da, &mut db), 1);
        assert_eq!(
            [again, da, db].map(bits),
            [out, others[0], others[1]].map(bits)
        );
        for place in 0..9 {
            let x = f64::from(a[place]);
            let s = 1.0 / (1.0 + (-x).exp());
            let exact = [2.0 * x * s, 4.0 * s * (1.0 + x * (1.0 - s)), 2.0 * x * s];
            for (found, exact) in [out[place], da[place], db[place]].into_iter().zip(exact) {
                let error = (f64::from(found) - exact).abs();
                assert!(error <= 4e-7 * exact.abs() + 1e-6, "{x}: {found} {exact}");
            }
        }
    }
}
