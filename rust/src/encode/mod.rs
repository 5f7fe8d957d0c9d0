//! Responses in their stored type, block by block, and what is learned of them meanwhile.
//!
//! Whatever the processor has and however the rows are cut into blocks, the result is the same.

#![expect(
    clippy::inline_always,
    reason = "instructions are inlined only into what is compiled for them"
)]

mod moments;
mod number;
mod run;
#[cfg(test)]
mod tests;

use crate::convert::{f32_to_bf16, f32_to_f16};
use crate::lines::Path;
use crate::memory::{Accelerated, accelerated_widest};
use moments::Moments;
use number::{INFINITE, LANES, MAGNITUDE};
use run::Block;

/// The types that responses are stored in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IEEE 754 half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Single precision.
    F32,
}

impl Kind {
    /// Bytes of a stored number.
    pub fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }

    /// Whether a finite number becomes infinite when it is stored.
    fn is_too_large(self, number: f32) -> bool {
        match self {
            Self::F16 => f32_to_f16(number) & 0x7fff == 0x7c00,
            Self::Bf16 => f32_to_bf16(number) & 0x7fff == 0x7f80,
            Self::F32 => number.to_bits() & MAGNITUDE == INFINITE,
        }
    }
}

/// What rows without NaN and infinity have told; of each column, the vectors of whole lanes.
#[derive(Debug)]
struct Learned {
    num_finite: u64,
    negative: bool,
    overflow: bool,
    square_error: Vec<f64>,
    /// Bits of single-precision numbers.
    largest_error: Vec<u32>,
}

/// What all rows have told, per column where it says so.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Rows without NaN and infinity.
    pub num_finite: u64,
    /// Whether any number of theirs is below zero.
    pub negative: bool,
    /// Of those rows, how many count.
    pub num_counted: u64,
    /// Means of the rows that count, per column.
    pub mean: &'a [f64],
    /// Sums of squared deviations from them, per column.
    pub squares: &'a [f64],
    /// Sums of squared rounding errors, per column.
    pub square_error: &'a [f64],
    /// Largest rounding errors, per column.
    pub largest_error: Vec<f32>,
}

/// Stores rows that come in order, and remembers what they tell.
#[derive(Debug)]
pub struct Encoder {
    run: fn(Block<'_>),
    kind: Kind,
    columns: usize,
    learned: Learned,
    moments: Moments,
}

impl Encoder {
    /// Start with no rows; `path` says which instructions are used.
    pub fn new(path: Path, kind: Kind, columns: usize) -> Self {
        let whole = columns.next_multiple_of(LANES);
        Self {
            run: match path {
                Path::Portable => |block| block.run::<false>(),
                Path::Vector(_) => |block| accelerated_widest(block),
            },
            kind,
            columns,
            learned: Learned {
                num_finite: 0,
                negative: false,
                overflow: false,
                square_error: vec![0.0; whole],
                largest_error: vec![0; whole],
            },
            moments: Moments::new(columns),
        }
    }

    /// Bytes of a stored row.
    pub fn row_bytes(&self) -> usize {
        self.columns * self.kind.size()
    }

    /// Store a block; give row and column of the first number that is finite and does not fit.
    ///
    /// `counted` says of each row whether it counts for the moments. `finite` gets 1 for each row
    /// without NaN and infinity, and 0 for others, which are stored and tell nothing.
    ///
    /// # Panics
    /// The lengths do not fit each other.
    pub fn feed(
        &mut self,
        rows: &[f32],
        counted: &[u8],
        finite: &mut [u8],
        stored: &mut [u8],
    ) -> Option<(usize, usize)> {
        let num_rows = finite.len();
        assert!(counted.len() == num_rows && rows.len() == num_rows * self.columns);
        assert_eq!(stored.len(), num_rows * self.row_bytes());
        if self.columns == 0 {
            finite.fill(1);
            return None;
        }
        let block = Block {
            kind: self.kind,
            columns: self.columns,
            rows,
            counted,
            finite: &mut *finite,
            stored,
            learned: &mut self.learned,
            moments: &mut self.moments,
        };
        (self.run)(block);
        if !self.learned.overflow {
            return None;
        }
        let rows = rows.chunks_exact(self.columns).zip(finite).enumerate();
        let mut whole = rows.filter(|(_, (_, finite))| **finite == 1);
        whole.find_map(|(number, (row, _))| {
            let column = row.iter().position(|value| self.kind.is_too_large(*value));
            column.map(|column| (number, column))
        })
    }

    /// What all rows until now have told.
    pub fn facts(&mut self) -> Facts<'_> {
        let (num_counted, mean, squares) = self.moments.result();
        let largest = &self.learned.largest_error[..self.columns];
        Facts {
            num_finite: self.learned.num_finite,
            negative: self.learned.negative,
            num_counted,
            mean: &mean[..self.columns],
            squares: &squares[..self.columns],
            square_error: &self.learned.square_error[..self.columns],
            largest_error: largest.iter().copied().map(f32::from_bits).collect(),
        }
    }
}
