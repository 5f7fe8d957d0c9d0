//! Matrix products of narrow matrices with what comes before and after them, rows by rows, while these are in the
//! cache: norm, projection and heads of attention; what was read, feed-forward and residuals.

mod entry;
mod panels;
mod read;
mod sums;
mod update;

pub use entry::{Entry, EntryGradients, backward_entry, forward_entry};
pub use read::Read;
pub use update::{Kept, Update, UpdateGradients, backward_update, forward_update};

use crate::blocks::Matrix;

/// Numbers that are worked on before the next rows are: they fit into a core's own cache.
const AT_ONCE: usize = 1 << 17;
/// Rows are cut into so many parts, each of which may be a thread's; gradients of weights are summed
/// part by part, so that threads change no bit.
const PARTS: usize = 16;

/// How many rows are worked on together, of so many numbers each.
fn rows_at_once(numbers: usize) -> usize {
    (AT_ONCE / numbers.max(1)).max(16)
}

/// Rows of a part; `unit` rows are never parted.
fn rows_of_part(rows: usize, unit: usize) -> usize {
    rows.div_ceil(unit).div_ceil(PARTS).max(1) * unit
}

/// A matrix from a row on.
fn from_row(matrix: Matrix<'_>, row: usize) -> Matrix<'_> {
    let start = (row * matrix.stride).min(matrix.data.len());
    Matrix {
        data: &matrix.data[start..],
        stride: matrix.stride,
    }
}

/// Numbers without gaps, as rows.
fn rows(data: &[f32], columns: usize) -> Matrix<'_> {
    Matrix {
        data,
        stride: columns,
    }
}
