//! Responses on their way into a shard: encoded, written and summed in one pass.

use std::fs::File;

use crate::encode::{Encoder, Facts};
use crate::error::Result;
use crate::sink::Sink;

/// Encodes rows, while a second thread writes them and takes their checksum.
#[derive(Debug)]
pub struct RowStream {
    encoder: Encoder,
    sink: Sink,
}

impl RowStream {
    /// Rows go to `file`, from byte `position` on, `expected_rows` of them.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(encoder: Encoder, file: File, position: u64, expected_rows: u64) -> Result<Self> {
        let expected_bytes = expected_rows.saturating_mul(encoder.row_bytes() as u64);
        Ok(Self {
            encoder,
            sink: Sink::new(file, position, expected_bytes)?,
        })
    }

    /// Take a block as `Encoder::feed` does; what does not fit is not written.
    ///
    /// # Errors
    /// The file cannot be written; of the last blocks only `finish` knows.
    ///
    /// # Panics
    /// The lengths do not fit each other.
    pub fn feed(
        &mut self,
        rows: &[f32],
        counted: &[u8],
        finite: &mut [u8],
    ) -> Result<Option<(usize, usize)>> {
        let mut stored = self.sink.buffer();
        stored.resize(finite.len() * self.encoder.row_bytes(), 0);
        let refused = self.encoder.feed(rows, counted, finite, &mut stored);
        if refused.is_none() {
            self.sink.write(stored)?;
        }
        Ok(refused)
    }

    /// Wait until all is written; gives the checksum of all stored bytes, after the last block.
    ///
    /// # Errors
    /// The file cannot be written, or this was asked for before.
    pub fn finish(&mut self) -> Result<String> {
        self.sink.finish()
    }

    /// What the rows have told.
    pub fn facts(&mut self) -> Facts<'_> {
        self.encoder.facts()
    }
}
