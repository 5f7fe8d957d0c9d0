//! Mean and sum of squared deviations of each column, in double precision.

#![expect(
    clippy::inline_always,
    reason = "only inlined loops are compiled for vector instructions"
)]

/// Rows that are summed before they are merged; the result depends on this and not on the blocks.
const CHUNK_ROWS: usize = 256;

/// Mean and sum of squared deviations of each column of rows that are added in order.
#[derive(Debug)]
pub(super) struct Moments {
    num_rows: u64,
    mean: Vec<f64>,
    squares: Vec<f64>,
    chunk: Chunk,
}

/// Sums over the latest rows of deviations from the first of them, so that no sum is much larger
/// than the spread.
#[derive(Debug)]
struct Chunk {
    num_rows: usize,
    first_row: Vec<f64>,
    sum: Vec<f64>,
    sum_of_squares: Vec<f64>,
}

impl Moments {
    pub(super) fn new(columns: usize) -> Self {
        let zeros = || vec![0.0; columns];
        Self {
            num_rows: 0,
            mean: zeros(),
            squares: zeros(),
            chunk: Chunk {
                num_rows: 0,
                first_row: zeros(),
                sum: zeros(),
                sum_of_squares: zeros(),
            },
        }
    }

    /// Add a row.
    #[inline(always)]
    pub(super) fn add(&mut self, row: &[f32]) {
        let chunk = &mut self.chunk;
        if chunk.num_rows == 0 {
            for (first, value) in chunk.first_row.iter_mut().zip(row) {
                *first = f64::from(*value);
            }
            chunk.sum.fill(0.0);
            chunk.sum_of_squares.fill(0.0);
        }
        let sums = chunk.sum.iter_mut().zip(&mut chunk.sum_of_squares);
        for (((sum, sum_of_squares), first), value) in sums.zip(&chunk.first_row).zip(row) {
            let deviation = f64::from(*value) - first;
            *sum += deviation;
            *sum_of_squares += deviation * deviation;
        }
        chunk.num_rows += 1;
        if chunk.num_rows == CHUNK_ROWS {
            self.merge();
        }
    }

    /// Number of rows, their means and sums of squared deviations.
    pub(super) fn result(&mut self) -> (u64, &[f64], &[f64]) {
        self.merge();
        (self.num_rows, &self.mean, &self.squares)
    }

    /// Merge the chunk with the rows before it (Chan et al. 1983).
    #[expect(clippy::cast_precision_loss, reason = "no recording has 2^53 rows")]
    fn merge(&mut self) {
        let chunk = &mut self.chunk;
        if chunk.num_rows == 0 {
            return;
        }
        let (before, added) = (self.num_rows as f64, chunk.num_rows as f64);
        let share = added / (before + added);
        let columns = self.mean.iter_mut().zip(&mut self.squares);
        let sums = chunk
            .first_row
            .iter()
            .zip(&chunk.sum)
            .zip(&chunk.sum_of_squares);
        for ((mean, squares), ((first, sum), sum_of_squares)) in columns.zip(sums) {
            let difference = first + sum / added - *mean;
            let within = (sum_of_squares - sum * sum / added).max(0.0);
            *mean += difference * share;
            *squares += within + difference * difference * before * share;
        }
        self.num_rows += chunk.num_rows as u64;
        chunk.num_rows = 0;
    }
}
