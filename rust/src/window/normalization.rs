//! The normalization of a session's signals, and the output channels of its behavior.

use super::gather::GreyLevels;
use crate::error::{Error, Result};
use crate::format::shard::Shard;

/// The normalization of a session's signals, and the output channels of its behavior.
#[derive(Debug)]
pub struct Normalization {
    /// Divides each neuron's responses.
    pub scale: Vec<f32>,
    /// Subtracted from each neuron's responses before the division; None for zeros.
    pub shift: Option<Vec<f32>>,
    /// The normalization of frames.
    pub grey_levels: GreyLevels,
    /// The output channel of each channel of the session, device by device; None drops it.
    pub channel_rows: Vec<Option<usize>>,
    /// Number of output channels.
    pub num_channels: usize,
}

impl Normalization {
    /// Check the sizes against a shard; a shift of zeros becomes None.
    ///
    /// # Errors
    /// The numbers of neurons or channels differ.
    pub fn checked(self, shard: &Shard) -> Result<Self> {
        let neurons = shard.responses.columns;
        let channels: usize = shard
            .devices
            .iter()
            .map(|device| device.channels.len())
            .sum();
        let refuse = |reason: String| Err(Error::request(shard.path(), reason));
        let shifts = self.shift.as_ref().map_or(neurons, Vec::len);
        if shifts != neurons || self.scale.len() != neurons {
            return refuse(format!("`shift` and `scale` must have {neurons} values"));
        }
        if self.channel_rows.len() != channels {
            return refuse(format!("`channel_rows` must have {channels} values"));
        }
        let rows = self.num_channels;
        let mut taken = self.channel_rows.iter().flatten();
        if let Some(row) = taken.find(|row| **row >= rows) {
            return refuse(format!("`channel_rows` must be below {rows}: {row}"));
        }
        let is_zero = |shift: &Vec<f32>| shift.iter().all(|shift| *shift == 0.0);
        Ok(Self {
            shift: self.shift.filter(|shift| !is_zero(shift)),
            ..self
        })
    }
}
