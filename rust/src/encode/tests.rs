//! Known rows through every path, in blocks of every size.

use super::*;
use crate::convert::{bf16_to_f32, f16_to_f32};
use crate::memory::accelerated;

const COLUMNS: usize = 19;
const ROWS: usize = 700;

/// Numbers of mixed size and sign, by a linear congruential generator; column 3 is constant.
fn rows() -> Vec<f32> {
    let mut state = 7_u32;
    let mut number = move |place: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        #[expect(clippy::cast_precision_loss, reason = "any number will do")]
        let unit = (state >> 8) as f32 / 16_777_216.0;
        match place % COLUMNS {
            3 => 0.1,
            4 => unit * 1e-7,
            5 => 5000.0 + unit,
            _ => unit * unit * 40.0 - 3.0,
        }
    };
    let mut rows: Vec<f32> = (0..ROWS * COLUMNS).map(&mut number).collect();
    rows[20 * COLUMNS + 18] = f32::NAN;
    rows[21 * COLUMNS] = f32::NEG_INFINITY;
    rows
}

fn counted() -> Vec<u8> {
    (0..ROWS).map(|row| u8::from(row % 5 > 0)).collect()
}

struct Outcome {
    finite: Vec<u8>,
    stored: Vec<u8>,
    encoder: Encoder,
}

fn encoded(path: Path, kind: Kind, block_rows: usize) -> Outcome {
    encoded_by(Encoder::new(path, kind, COLUMNS), block_rows)
}

fn encoded_by(mut encoder: Encoder, block_rows: usize) -> Outcome {
    let (rows, counted) = (rows(), counted());
    let mut finite = vec![7; ROWS];
    let mut stored = vec![7; ROWS * encoder.row_bytes()];
    for first in (0..ROWS).step_by(block_rows) {
        let last = ROWS.min(first + block_rows);
        let bytes = first * encoder.row_bytes()..last * encoder.row_bytes();
        let refused = encoder.feed(
            &rows[first * COLUMNS..last * COLUMNS],
            &counted[first..last],
            &mut finite[first..last],
            &mut stored[bytes],
        );
        assert_eq!(refused, None);
    }
    Outcome {
        finite,
        stored,
        encoder,
    }
}

fn facts_of(encoder: &mut Encoder) -> (u64, u64, bool, Vec<u64>) {
    let facts = encoder.facts();
    let doubles = [facts.mean, facts.squares, facts.square_error].concat();
    let largest = facts
        .largest_error
        .iter()
        .map(|error| error.to_bits().into());
    let bits = doubles.iter().map(|value| value.to_bits()).chain(largest);
    (
        facts.num_finite,
        facts.num_counted,
        facts.negative,
        bits.collect(),
    )
}

#[test]
fn blocks_and_instructions_change_no_bit() {
    for kind in [Kind::F16, Kind::Bf16, Kind::F32] {
        let mut expected = encoded(Path::Portable, kind, ROWS);
        let portable = || Encoder::new(Path::Portable, kind, COLUMNS);
        let narrower = || Encoder {
            run: |block| accelerated(block),
            ..portable()
        };
        let widest = || Encoder::new(Path::best(), kind, COLUMNS);
        for encoder in [&portable as &dyn Fn() -> Encoder, &narrower, &widest] {
            for block_rows in [1, 7, 8, 64, 257] {
                let mut found = encoded_by(encoder(), block_rows);
                assert_eq!(found.finite, expected.finite);
                assert_eq!(found.stored, expected.stored);
                assert_eq!(
                    facts_of(&mut found.encoder),
                    facts_of(&mut expected.encoder)
                );
            }
        }
    }
}

#[test]
fn what_is_stored_and_told_is_what_a_plain_loop_gives() {
    let (rows, counted) = (rows(), counted());
    let mut outcome = encoded(Path::best(), Kind::F16, 100);
    let halves: Vec<u16> = rows.iter().map(|value| f32_to_f16(*value)).collect();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    assert_eq!(outcome.stored, bytes);
    let finite: Vec<usize> = (0..ROWS).filter(|row| ![20, 21].contains(row)).collect();
    assert!((0..ROWS).all(|row| (outcome.finite[row] == 1) == finite.contains(&row)));
    let facts = outcome.encoder.facts();
    let chosen: Vec<usize> = finite
        .iter()
        .copied()
        .filter(|row| counted[*row] == 1)
        .collect();
    assert_eq!(facts.num_finite, finite.len() as u64);
    assert_eq!(facts.num_counted, chosen.len() as u64);
    assert!(facts.negative);
    for column in 0..COLUMNS {
        let value = |row: &usize| f64::from(rows[row * COLUMNS + column]);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let mean = chosen.iter().map(value).sum::<f64>() / chosen.len() as f64;
        let squares: f64 = chosen.iter().map(|row| (value(row) - mean).powi(2)).sum();
        assert!(
            (facts.mean[column] - mean).abs() <= 1e-12 * mean.abs(),
            "{column}"
        );
        let close = (facts.squares[column] - squares).abs() <= 1e-10 * squares;
        assert!(close || column == 3, "{column}");
        let error = |row: &usize| {
            let place = row * COLUMNS + column;
            f16_to_f32(halves[place]) - rows[place]
        };
        let square_error: f64 = finite.iter().map(|row| f64::from(error(row)).powi(2)).sum();
        assert!((facts.square_error[column] - square_error).abs() <= 1e-12 * square_error);
        let largest = finite
            .iter()
            .map(|row| error(row).abs())
            .fold(0.0, f32::max);
        assert_eq!(facts.largest_error[column].to_bits(), largest.to_bits());
    }
    assert!(facts.squares[3] == 0.0, "a constant column has no spread");
}

#[test]
fn what_does_not_fit_is_named_and_what_just_fits_is_stored() {
    for (kind, fits, too_large) in [
        (Kind::F16, 65_519.9, 65_520.0),
        (Kind::Bf16, 3.3e38, 3.4e38),
        (Kind::F32, f32::MAX, f32::INFINITY),
    ] {
        let mut rows = vec![1.0_f32; 4 * COLUMNS];
        rows[COLUMNS] = f32::NAN;
        rows[COLUMNS + 1] = too_large;
        rows[2 * COLUMNS + 18] = -fits;
        let feed = |rows: &[f32]| {
            let mut encoder = Encoder::new(Path::best(), kind, COLUMNS);
            let mut stored = vec![0; 4 * encoder.row_bytes()];
            encoder.feed(rows, &[1; 4], &mut [0; 4], &mut stored)
        };
        assert_eq!(feed(&rows), None);
        rows[2 * COLUMNS + 18] = -too_large;
        rows[3 * COLUMNS] = too_large;
        let expected = (kind != Kind::F32).then_some((2, 18));
        assert_eq!(feed(&rows), expected);
    }
}

#[test]
fn brains_are_read_back_as_they_were_stored() {
    let mut outcome = encoded(Path::best(), Kind::Bf16, 100);
    let rows = rows();
    let facts = outcome.encoder.facts();
    let error = |place: usize| bf16_to_f32(f32_to_bf16(rows[place])) - rows[place];
    let column = (0..ROWS).filter(|row| ![20, 21].contains(row));
    let largest = column
        .map(|row| error(row * COLUMNS + 7).abs())
        .fold(0.0, f32::max);
    assert_eq!(facts.largest_error[7].to_bits(), largest.to_bits());
}
