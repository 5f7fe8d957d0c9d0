//! Writing a shard's large tensors: responses are encoded, and all bytes written and summed by a
//! second thread.

pub mod encode;
pub mod file_writer;
pub mod moments;

use std::fs::File;

use crate::error::Result;
use encode::{Encoder, Statistics};
use file_writer::FileWriter;

/// Encodes rows of responses, while a second thread writes them and computes their checksum.
#[derive(Debug)]
pub struct ResponseWriter {
    encoder: Encoder,
    file: FileWriter,
}

impl ResponseWriter {
    /// Write to `file` from byte `position` on; space for `expected_rows` rows is reserved.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn new(encoder: Encoder, file: File, position: u64, expected_rows: u64) -> Result<Self> {
        let expected_bytes = expected_rows.saturating_mul(encoder.row_bytes() as u64);
        Ok(Self {
            encoder,
            file: FileWriter::new(file, position, expected_bytes)?,
        })
    }

    /// Write a block of rows as `Encoder::encode` does; a block that does not fit is not written.
    ///
    /// # Errors
    /// The file cannot be written; errors of the last blocks are reported by `finish`.
    ///
    /// # Panics
    /// The lengths do not match.
    pub fn write(
        &mut self,
        rows: &[f32],
        is_counted: &[u8],
        is_finite: &mut [u8],
    ) -> Result<Option<(usize, usize)>> {
        let mut stored = self.file.buffer();
        stored.resize(is_finite.len() * self.encoder.row_bytes(), 0);
        let too_large = self
            .encoder
            .encode(rows, is_counted, is_finite, &mut stored);
        if too_large.is_none() {
            self.file.write(stored)?;
        }
        Ok(too_large)
    }

    /// Wait until all is written; returns the checksum of all stored bytes.
    ///
    /// # Errors
    /// The file cannot be written, or the writer is finished already.
    pub fn finish(&mut self) -> Result<String> {
        self.file.finish()
    }

    /// Statistics of all rows so far.
    pub fn statistics(&mut self) -> Statistics {
        self.encoder.statistics()
    }
}
