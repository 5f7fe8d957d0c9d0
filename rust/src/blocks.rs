//! Matrices in blocks that depend on their size alone, so that threads change no bit.

use std::sync::Mutex;

use crate::memory::together;

/// Elements of a block: enough for a thread to be worth it, few enough to share them evenly.
pub(crate) const BLOCK: usize = 1 << 16;
/// Below so many elements, one thread does it all.
pub(crate) const ALONE: usize = 1 << 17;
/// Row of a matrix without gaps, whatever its shape.
pub(crate) const FLAT_ROW: usize = 2048;

/// Rows of numbers, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    /// From the first number to the last.
    pub data: &'a [f32],
    /// Numbers from one row to the next.
    pub stride: usize,
}

impl<'a> Matrix<'a> {
    pub(crate) fn row(&self, row: usize, columns: usize) -> &'a [f32] {
        let start = row * self.stride;
        &self.data[start..(start + columns).min(self.data.len())]
    }
}

/// How matrices are cut.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    pub(crate) columns: usize,
    pub(crate) rows_per_block: usize,
}

pub(crate) fn cut(columns: usize) -> Cut {
    Cut {
        columns,
        rows_per_block: (BLOCK / columns.max(1)).max(1),
    }
}

pub(crate) fn flat(matrix: Matrix<'_>) -> Matrix<'_> {
    Matrix {
        data: matrix.data,
        stride: FLAT_ROW,
    }
}

/// Do all tasks, each by whichever thread is free.
pub(crate) fn share<T: Send>(tasks: Vec<T>, threads: usize, work: impl Fn(T) + Sync) {
    let threads = threads.min(tasks.len()).max(1);
    if threads == 1 {
        tasks.into_iter().for_each(work);
        return;
    }
    let queue = Mutex::new(tasks.into_iter());
    let next = || queue.lock().ok().and_then(|mut tasks| tasks.next());
    let drain = || {
        while let Some(task) = next() {
            work(task);
        }
    };
    together(threads, drain);
}
