//! Known rows through both backends, in blocks of every size.

use super::*;
use crate::format::number::f16_to_f32;

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

fn is_counted() -> Vec<u8> {
    (0..ROWS).map(|row| u8::from(row % 5 > 0)).collect()
}

struct Outcome {
    finite: Vec<u8>,
    stored: Vec<u8>,
    encoder: Encoder,
}

fn encode(backend: Backend, stored_type: StoredType, block_rows: usize) -> Outcome {
    let mut encoder = Encoder::new(backend, stored_type, COLUMNS);
    let (rows, counted) = (rows(), is_counted());
    let mut finite = vec![7; ROWS];
    let mut stored = vec![7; ROWS * encoder.row_bytes()];
    for first in (0..ROWS).step_by(block_rows) {
        let last = ROWS.min(first + block_rows);
        let bytes = first * encoder.row_bytes()..last * encoder.row_bytes();
        let too_large = encoder.encode(
            &rows[first * COLUMNS..last * COLUMNS],
            &counted[first..last],
            &mut finite[first..last],
            &mut stored[bytes],
        );
        assert_eq!(too_large, None);
    }
    Outcome {
        finite,
        stored,
        encoder,
    }
}

fn statistics_bits(encoder: &mut Encoder) -> (u64, u64, bool, Vec<u64>) {
    let statistics = encoder.statistics();
    let doubles = [
        &statistics.mean[..],
        &statistics.squares,
        &statistics.square_error,
    ]
    .concat();
    let largest = statistics
        .largest_error
        .iter()
        .map(|error| error.to_bits().into());
    let bits = doubles.iter().map(|value| value.to_bits()).chain(largest);
    (
        statistics.num_finite,
        statistics.num_counted,
        statistics.has_negative,
        bits.collect(),
    )
}

#[test]
fn blocks_and_backends_change_no_bit() {
    for stored_type in [StoredType::F16, StoredType::Bf16, StoredType::F32] {
        let mut expected = encode(Backend::Portable, stored_type, ROWS);
        for backend in [Backend::Portable, Backend::detect()] {
            for block_rows in [1, 7, 8, 64, 257] {
                let mut found = encode(backend, stored_type, block_rows);
                assert_eq!(found.finite, expected.finite);
                assert_eq!(found.stored, expected.stored);
                assert_eq!(
                    statistics_bits(&mut found.encoder),
                    statistics_bits(&mut expected.encoder)
                );
            }
        }
    }
}

#[test]
fn stored_numbers_and_statistics_are_those_of_a_plain_loop() {
    let (rows, counted) = (rows(), is_counted());
    let mut outcome = encode(Backend::detect(), StoredType::F16, 100);
    let halves: Vec<u16> = rows.iter().map(|value| round_to_f16(*value).0).collect();
    let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
    assert_eq!(outcome.stored, bytes);
    let finite: Vec<usize> = (0..ROWS).filter(|row| ![20, 21].contains(row)).collect();
    assert!((0..ROWS).all(|row| (outcome.finite[row] == 1) == finite.contains(&row)));
    let statistics = outcome.encoder.statistics();
    let chosen: Vec<usize> = finite
        .iter()
        .copied()
        .filter(|row| counted[*row] == 1)
        .collect();
    assert_eq!(statistics.num_finite, finite.len() as u64);
    assert_eq!(statistics.num_counted, chosen.len() as u64);
    assert!(statistics.has_negative);
    for column in 0..COLUMNS {
        let value = |row: &usize| f64::from(rows[row * COLUMNS + column]);
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let mean = chosen.iter().map(value).sum::<f64>() / chosen.len() as f64;
        let squares: f64 = chosen.iter().map(|row| (value(row) - mean).powi(2)).sum();
        assert!(
            (statistics.mean[column] - mean).abs() <= 1e-12 * mean.abs(),
            "{column}"
        );
        let close = (statistics.squares[column] - squares).abs() <= 1e-10 * squares;
        assert!(close || column == 3, "{column}");
        let error = |row: &usize| {
            let place = row * COLUMNS + column;
            f16_to_f32(halves[place]) - rows[place]
        };
        let square_error: f64 = finite.iter().map(|row| f64::from(error(row)).powi(2)).sum();
        assert!((statistics.square_error[column] - square_error).abs() <= 1e-12 * square_error);
        let largest = finite
            .iter()
            .map(|row| error(row).abs())
            .fold(0.0, f32::max);
        assert_eq!(
            statistics.largest_error[column].to_bits(),
            largest.to_bits()
        );
    }
    assert!(
        statistics.squares[3] == 0.0,
        "a constant column has no spread"
    );
}

#[test]
fn the_first_number_that_is_too_large_is_named_and_the_largest_that_fits_is_stored() {
    for (kind, fits, too_large) in [
        (StoredType::F16, 65_519.9, 65_520.0),
        (StoredType::Bf16, 3.3e38, 3.4e38),
        (StoredType::F32, f32::MAX, f32::INFINITY),
    ] {
        let mut rows = vec![1.0_f32; 4 * COLUMNS];
        rows[COLUMNS] = f32::NAN;
        rows[COLUMNS + 1] = too_large;
        rows[2 * COLUMNS + 18] = -fits;
        let encode = |rows: &[f32]| {
            let mut encoder = Encoder::new(Backend::detect(), kind, COLUMNS);
            let mut stored = vec![0; 4 * encoder.row_bytes()];
            encoder.encode(rows, &[1; 4], &mut [0; 4], &mut stored)
        };
        assert_eq!(encode(&rows), None);
        rows[2 * COLUMNS + 18] = -too_large;
        rows[3 * COLUMNS] = too_large;
        let expected = (kind != StoredType::F32).then_some((2, 18));
        assert_eq!(encode(&rows), expected);
    }
}

#[test]
fn errors_of_bfloat16_are_those_of_reading_back() {
    let mut outcome = encode(Backend::detect(), StoredType::Bf16, 100);
    let rows = rows();
    let statistics = outcome.encoder.statistics();
    let error = |place: usize| bf16_to_f32(f32_to_bf16(rows[place])) - rows[place];
    let column = (0..ROWS).filter(|row| ![20, 21].contains(row));
    let largest = column
        .map(|row| error(row * COLUMNS + 7).abs())
        .fold(0.0, f32::max);
    assert_eq!(statistics.largest_error[7].to_bits(), largest.to_bits());
}
