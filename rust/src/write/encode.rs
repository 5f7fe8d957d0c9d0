//! Responses rounded to their stored type, with statistics of each column from the same pass.
//!
//! The results do not depend on the processor or on how the rows are cut into blocks.

#![expect(
    clippy::inline_always,
    reason = "only inlined loops are compiled for vector instructions"
)]

use super::moments::Moments;
use crate::format::number::{bf16_to_f32, f32_to_bf16, round_to_f16};
use crate::memory::{VectorCode, run_vectorized};
use crate::window::backend::Backend;

/// Bits of the largest finite number.
const LARGEST_FINITE: u32 = f32::MAX.to_bits();
/// Columns whose statistics stay in the L1 cache while they are updated with some rows.
const GROUP_COLUMNS: usize = 256;
/// Rows that are encoded before the next columns.
const GROUP_ROWS: usize = 16;
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

/// The statistics of some neighboring columns.
#[derive(Debug)]
struct ColumnGroup {
    moments: Moments,
    square_error: Vec<f64>,
    /// Bits of numbers that are not negative, whose order is that of the numbers.
    largest_error: Vec<u32>,
}

/// Statistics of all rows; lists have one value for each column.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Number of rows without NaN and infinity.
    pub num_finite: u64,
    /// Whether any number in those rows is below zero.
    pub has_negative: bool,
    /// Number of those rows that are counted.
    pub num_counted: u64,
    /// Means of the counted rows.
    pub mean: Vec<f64>,
    /// Sums of squared deviations from the mean.
    pub squares: Vec<f64>,
    /// Sums of squared rounding errors of the finite rows.
    pub square_error: Vec<f64>,
    /// Largest absolute rounding errors of the finite rows.
    pub largest_error: Vec<f32>,
}

/// Encodes rows that come in order, and collects their statistics.
#[derive(Debug)]
pub struct Encoder {
    backend: Backend,
    stored_type: StoredType,
    columns: usize,
    num_finite: u64,
    has_negative: bool,
    groups: Vec<ColumnGroup>,
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
            groups: (0..columns)
                .step_by(GROUP_COLUMNS)
                .map(|first| ColumnGroup::new(GROUP_COLUMNS.min(columns - first)))
                .collect(),
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
    pub fn statistics(&mut self) -> Statistics {
        let mut statistics = Statistics {
            num_finite: self.num_finite,
            has_negative: self.has_negative,
            ..Statistics::default()
        };
        for group in &mut self.groups {
            let (num_counted, mean, squares) = group.moments.result();
            statistics.num_counted = num_counted;
            statistics.mean.extend(mean);
            statistics.squares.extend(squares);
            statistics.square_error.extend(&group.square_error);
            let largest_error = group.largest_error.iter().copied();
            statistics
                .largest_error
                .extend(largest_error.map(f32::from_bits));
        }
        statistics
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
            StoredType::F16 => self.encode(|value| {
                let (bits, read_back) = round_to_f16(value);
                (bits.to_le_bytes(), read_back)
            }),
            StoredType::Bf16 => self.encode(|value| {
                let bits = f32_to_bf16(value);
                (bits.to_le_bytes(), bf16_to_f32(bits))
            }),
            StoredType::F32 => self.encode(|value| (value.to_le_bytes(), value)),
        }
    }
}

impl Block<'_> {
    /// Encode with `round`, which returns the stored bytes and the number that they stand for.
    #[inline(always)]
    fn encode<const SIZE: usize>(
        self,
        round: impl Fn(f32) -> ([u8; SIZE], f32),
    ) -> Option<(usize, usize)> {
        let columns = self.encoder.columns;
        let encoder = self.encoder;
        let stored = self.stored.as_chunks_mut().0;
        let mut read_back = [0.0; GROUP_COLUMNS];
        let mut largest = 0;
        for first_row in (0..self.is_finite.len()).step_by(GROUP_ROWS) {
            let rows = first_row..self.is_finite.len().min(first_row + GROUP_ROWS);
            for row in rows.clone() {
                let (is_finite, has_negative) = check_row(&self.rows[row * columns..][..columns]);
                self.is_finite[row] = is_finite.into();
                encoder.num_finite += u64::from(is_finite);
                encoder.has_negative |= is_finite && has_negative;
            }
            for (number, group) in encoder.groups.iter_mut().enumerate() {
                for row in rows.clone() {
                    let first = row * columns + number * GROUP_COLUMNS;
                    let range = first..first + group.square_error.len();
                    let (values, stored) = (&self.rows[range.clone()], &mut stored[range]);
                    let read_back = &mut read_back[..values.len()];
                    let outputs = stored.iter_mut().zip(&mut *read_back);
                    for (value, (stored, read_back)) in values.iter().zip(outputs) {
                        (*stored, *read_back) = round(*value);
                    }
                    if self.is_finite[row] == 0 {
                        continue;
                    }
                    largest = group.add_errors(values, read_back).max(largest);
                    if self.is_counted[row] != 0 {
                        group.moments.add(values);
                    }
                }
            }
        }
        if largest <= LARGEST_FINITE {
            return None;
        }
        let rows = self.rows.chunks_exact(columns).zip(self.is_finite);
        rows.enumerate()
            .filter(|(_, (_, is_finite))| **is_finite == 1)
            .find_map(|(number, (row, _))| {
                let is_too_large = |value: &f32| round(*value).1.is_infinite();
                let column = row.iter().position(is_too_large)?;
                Some((number, column))
            })
    }
}

/// Whether a row has neither NaN nor infinity, and whether it has a number below zero.
#[inline(always)]
fn check_row(row: &[f32]) -> (bool, bool) {
    let (mut largest, mut has_negative) = (0, false);
    for value in row {
        largest = largest.max(value.to_bits() & MAGNITUDE);
        has_negative |= *value < 0.0;
    }
    (largest <= LARGEST_FINITE, has_negative)
}

impl ColumnGroup {
    fn new(columns: usize) -> Self {
        Self {
            moments: Moments::new(columns),
            square_error: vec![0.0; columns],
            largest_error: vec![0; columns],
        }
    }

    /// Add the rounding errors of a finite row; returns the bits of the largest magnitude that is
    /// read back.
    #[inline(always)]
    fn add_errors(&mut self, row: &[f32], read_back: &[f32]) -> u32 {
        let mut largest = 0;
        let errors = self.square_error.iter_mut().zip(&mut self.largest_error);
        for ((value, read_back), (square_error, largest_error)) in
            row.iter().zip(read_back).zip(errors)
        {
            let error = (read_back - value).abs();
            *square_error += f64::from(error) * f64::from(error);
            *largest_error = error.to_bits().max(*largest_error);
            largest = largest.max(read_back.to_bits() & MAGNITUDE);
        }
        largest
    }
}

#[cfg(test)]
mod tests;
