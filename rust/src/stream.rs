//! Responses on their way into a shard: encoded, written and summed in one pass.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::digest::Digest;
use crate::encode::{Encoder, Facts};
use crate::error::{Error, Result};

/// Writes rows at a place of a file, while a second thread takes their checksum.
#[derive(Debug)]
pub struct RowStream {
    encoder: Encoder,
    digest: Digest,
    file: File,
    position: u64,
}

impl RowStream {
    /// Rows go to `file`, from byte `position` on.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn new(encoder: Encoder, file: File, position: u64) -> Result<Self> {
        Ok(Self {
            encoder,
            digest: Digest::new()?,
            file,
            position,
        })
    }

    /// Take a block as `Encoder::feed` does; what does not fit is not written.
    ///
    /// # Errors
    /// The file cannot be written.
    ///
    /// # Panics
    /// The lengths do not fit each other.
    pub fn feed(
        &mut self,
        rows: &[f32],
        counted: &[u8],
        finite: &mut [u8],
    ) -> Result<Option<(usize, usize)>> {
        let mut stored = self.digest.buffer();
        stored.resize(finite.len() * self.encoder.row_bytes(), 0);
        let refused = self.encoder.feed(rows, counted, finite, &mut stored);
        if refused.is_some() {
            return Ok(refused);
        }
        let stored = Arc::new(stored);
        self.digest.update(Arc::clone(&stored))?;
        self.file
            .write_all_at(&stored, self.position)
            .map_err(Error::Write)?;
        self.position += stored.len() as u64;
        Ok(None)
    }

    /// The checksum of all stored bytes, after the last block.
    ///
    /// # Errors
    /// It was asked for before.
    pub fn finish(&mut self) -> Result<String> {
        self.digest.finish()
    }

    /// What the rows have told.
    pub fn facts(&mut self) -> Facts<'_> {
        self.encoder.facts()
    }
}
