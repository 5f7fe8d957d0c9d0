//! How the numbers of a session are scaled, and where its channels go.

use crate::error::{Error, Result};
use crate::lines::Greys;
use crate::shard::Shard;

/// How the numbers of a session are scaled, and where its channels go.
#[derive(Debug)]
pub struct Scaling {
    /// Divides each neuron's responses.
    pub scale: Vec<f32>,
    /// Subtracted from each neuron's responses before; none where nothing is.
    pub shift: Option<Vec<f32>>,
    /// What becomes of grey levels.
    pub greys: Greys,
    /// The output's channel of each of the session's, device by device; None leaves it out.
    pub channel_rows: Vec<Option<usize>>,
    /// Channels of the output.
    pub num_channels: usize,
}

impl Scaling {
    /// Check that the scaling is of a shard's neurons and channels, and leave out what does nothing.
    ///
    /// # Errors
    /// It is of another number of them.
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
