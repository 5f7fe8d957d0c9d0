//! Responses rounded to their stored type, with statistics of each column from the same pass.
//!
//! The results do not depend on the processor or on how the rows are cut into blocks.

#![expect(
    clippy::inline_always,
    reason = "only inlined loops are compiled for vector instructions"
)]

use super::moments::Moments;
use crate::format::number::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use crate::memory::{VectorCode, run_vectorized};
use crate::window::backend::Backend;

/// Bits of the largest finite number.
const LARGEST_FINITE: u32 = f32::MAX.to_bits();
/// All bits but the sign.
const MAGNITUDE: u32 = 0x7fff_ffff;

/// The types that responses are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    F32,
}

impl StoredType {
    /// Bytes of a stored number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Rounding errors of each column.
#[derive(Debug)]
struct RoundingErrors {
    sum_of_squares: Vec<f64>,
    largest: Vec<f32>,
}

/// Statistics of all rows; slices have one value for each column.
#[derive(Debug)]
pub struct Statistics<'a> {
    /// Number of rows without NaN and infinity.
    pub num_finite: u64,
    /// Whether any number in those rows is below zero.
    pub has_negative: bool,
    /// Number of those rows that are counted.
    pub num_counted: u64,
    /// Means of the counted rows.
    pub mean: &'a [f64],
    /// Sums of squared deviations from the mean.
    pub squares: &'a [f64],
    /// Sums of squared rounding errors of the finite rows.
    pub square_error: &'a [f64],
    /// Largest absolute rounding errors of the finite rows.
    pub largest_error: &'a [f32],
}

/// Encodes rows that come in order, and collects their statistics.
#[derive(Debug)]
pub struct Encoder {
    backend: Backend,
    stored_type: StoredType,
    columns: usize,
    num_finite: u64,
    has_negative: bool,
    errors: RoundingErrors,
    moments: Moments,
}

impl Encoder {
    /// Start without rows.
    pub fn new(backend: Backend, stored_type: StoredType, columns: usize) -> Self {
        Self {
            backend,
            stored_type,
            columns,
            num_finite: 0,
            has_negative: false,
            errors: RoundingErrors {
                sum_of_squares: vec![0.0; columns],
                largest: vec![0.0; columns],
            },
            moments: Moments::new(columns),
        }
    }

    /// Bytes of a stored row.
    pub fn row_bytes(&self) -> usize {
        self.columns * self.stored_type.size()
    }

    /// Encode a block of rows into `stored`; returns row and column of the first finite number
    /// that is too large for the stored type.
    ///
    /// # Arguments
    /// `is_counted` is 1 for each row that counts for mean and deviations. `is_finite` is set to 1
    /// for each row without NaN and infinity and to 0 for others, which are stored without
    /// contributing to the statistics.
    ///
    /// # Panics
    /// The lengths do not match.
    pub fn encode(
        &mut self,
        rows: &[f32],
        is_counted: &[u8],
        is_finite: &mut [u8],
        stored: &mut [u8],
    ) -> Option<(usize, usize)> {
        let num_rows = is_finite.len();
        assert!(is_counted.len() == num_rows && rows.len() == num_rows * self.columns);
        assert_eq!(stored.len(), num_rows * self.row_bytes());
        if self.columns == 0 {
            is_finite.fill(1);
            return None;
        }
        let block = Block {
            rows,
            is_counted,
            is_finite,
            stored,
            encoder: self,
        };
        match block.encoder.backend {
            Backend::Portable => block.run::<false>(),
            Backend::Vector(_) => run_vectorized(block),
        }
    }

    /// Statistics of all rows so far.
    pub fn statistics(&mut self) -> Statistics<'_> {
        let (num_counted, mean, squares) = self.moments.result();
        Statistics {
            num_finite: self.num_finite,
            has_negative: self.has_negative,
            num_counted,
            mean,
            squares,
            square_error: &self.errors.sum_of_squares,
            largest_error: &self.errors.largest,
        }
    }
}

/// A block of rows, and where it is encoded.
struct Block<'a> {
    rows: &'a [f32],
    is_counted: &'a [u8],
    is_finite: &'a mut [u8],
    stored: &'a mut [u8],
    encoder: &'a mut Encoder,
}

impl VectorCode for Block<'_> {
    /// Row and column of the first finite number that is too large.
    type Output = Option<(usize, usize)>;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Self::Output {
        match self.encoder.stored_type {
            StoredType::F16 => self.encode(
                |value| f32_to_f16(value).to_le_bytes(),
                |bytes| f16_to_f32(u16::from_le_bytes(bytes)),
            ),
            StoredType::Bf16 => self.encode(
                |value| f32_to_bf16(value).to_le_bytes(),
                |bytes| bf16_to_f32(u16::from_le_bytes(bytes)),
            ),
            StoredType::F32 => self.encode(f32::to_le_bytes, f32::from_le_bytes),
        }
    }
}

impl Block<'_> {
    #[inline(always)]
    fn encode<const SIZE: usize>(
        self,
        store: impl Fn(f32) -> [u8; SIZE],
        read: impl Fn([u8; SIZE]) -> f32,
    ) -> Option<(usize, usize)> {
        let encoder = self.encoder;
        let mut too_large = None;
        let rows = self.rows.chunks_exact(encoder.columns);
        let stored = self
            .stored
            .as_chunks_mut()
            .0
            .chunks_exact_mut(encoder.columns);
        let flags = self.is_counted.iter().zip(self.is_finite);
        for (number, ((row, stored), (is_counted, is_finite))) in
            rows.zip(stored).zip(flags).enumerate()
        {
            let (mut largest, mut has_negative) = (0, false);
            for value in row {
                largest = largest.max(value.to_bits() & MAGNITUDE);
                has_negative |= *value < 0.0;
            }
            *is_finite = u8::from(largest <= LARGEST_FINITE);
            if *is_finite == 0 {
                for (value, stored) in row.iter().zip(stored) {
                    *stored = store(*value);
                }
                continue;
            }
            encoder.num_finite += 1;
            encoder.has_negative |= has_negative;
            if encoder.errors.store_row(row, stored, &store, &read) > LARGEST_FINITE {
                let column = row
                    .iter()
                    .position(|value| read(store(*value)).is_infinite());
                too_large = too_large.or(column.map(|column| (number, column)));
            }
            if *is_counted != 0 {
                encoder.moments.add(row);
            }
        }
        too_large
    }
}

impl RoundingErrors {
    /// Store a finite row and add its errors; returns the largest magnitude that is read back.
    #[inline(always)]
    fn store_row<const SIZE: usize>(
        &mut self,
        row: &[f32],
        stored: &mut [[u8; SIZE]],
        store: impl Fn(f32) -> [u8; SIZE],
        read: impl Fn([u8; SIZE]) -> f32,
    ) -> u32 {
        let mut largest_read = 0;
        let errors = self.sum_of_squares.iter_mut().zip(&mut self.largest);
        for ((value, stored), (sum_of_squares, largest)) in row.iter().zip(stored).zip(errors) {
            *stored = store(*value);
            let read = read(*stored);
            let error = (read - value).abs();
            *sum_of_squares += f64::from(error) * f64::from(error);
            *largest = if error > *largest { error } else { *largest };
            largest_read = largest_read.max(read.to_bits() & MAGNITUDE);
        }
        largest_read
    }
}

#[cfg(test)]
mod tests;
