//! Means and squared deviations of columns, in double precision, from rows that come in order.

use super::number::LANES;

/// Rows whose sums are taken together; the result depends on this, and not on the blocks.
const CHUNK_ROWS: usize = 256;

/// Sums over the rows of one chunk, taken from its first row so that none is much larger than the
/// spread.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) num_rows: usize,
    pub(super) shift: Vec<f64>,
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
}

/// Mean and sum of squared deviations of every column, of the rows that count.
#[derive(Debug)]
pub(super) struct Moments {
    num_rows: u64,
    means: Vec<f64>,
    squares: Vec<f64>,
    sums: Sums,
}

impl Moments {
    /// Moments of no rows yet.
    pub(super) fn new(columns: usize) -> Self {
        let zeros = || vec![0.0; columns.next_multiple_of(LANES)];
        Self {
            num_rows: 0,
            means: zeros(),
            squares: zeros(),
            sums: Sums {
                num_rows: 0,
                shift: zeros(),
                first: zeros(),
                second: zeros(),
            },
        }
    }

    /// Where at most so many rows are added that start with `row`; the rows must be added.
    #[inline(always)]
    pub(super) fn begin(&mut self, row: &[f32], num_rows: usize) -> (&mut Sums, usize) {
        let sums = &mut self.sums;
        if sums.num_rows == 0 {
            for (shift, value) in sums.shift.iter_mut().zip(row) {
                *shift = f64::from(*value);
            }
            sums.first.fill(0.0);
            sums.second.fill(0.0);
        }
        let num_rows = num_rows.min(CHUNK_ROWS - sums.num_rows);
        sums.num_rows += num_rows;
        (sums, num_rows)
    }

    /// End the chunk if it is full.
    #[inline(always)]
    pub(super) fn end(&mut self) {
        if self.sums.num_rows == CHUNK_ROWS {
            self.merge();
        }
    }

    /// Rows, means and squared deviations until now.
    pub(super) fn result(&mut self) -> (u64, &[f64], &[f64]) {
        self.merge();
        (self.num_rows, &self.means, &self.squares)
    }

    /// Add the chunk to what was there before (Chan et al. 1983).
    #[inline(always)]
    #[expect(clippy::cast_precision_loss, reason = "no recording has 2^53 rows")]
    fn merge(&mut self) {
        let sums = &mut self.sums;
        if sums.num_rows == 0 {
            return;
        }
        let (before, added) = (self.num_rows as f64, sums.num_rows as f64);
        let share = added / (before + added);
        let columns = self.means.iter_mut().zip(&mut self.squares);
        let sums_of = sums.shift.iter().zip(&sums.first).zip(&sums.second);
        for ((mean, squares), ((shift, first), second)) in columns.zip(sums_of) {
            let apart = shift + first / added - *mean;
            let within = (second - first * first / added).max(0.0);
            *mean += apart * share;
            *squares += within + apart * apart * before * share;
        }
        self.num_rows += sums.num_rows as u64;
        sums.num_rows = 0;
    }
}
