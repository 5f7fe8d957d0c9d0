//! Two seconds of one session, assembled in one pass over the mapped shard.

use std::sync::Arc;

use crate::convert::{bf16_to_f32, f16_to_f32, f32_at, u16_at};
use crate::error::{Error, Result};
use crate::header::Dtype;
use crate::hold::Clock;
use crate::shard::{Device, Screen, Shard};

/// Response samples and frames of a window.
pub const NUM_SAMPLES: usize = 60;
/// Behavior samples of a window.
pub const NUM_BEHAVIOR_SAMPLES: usize = 40;
/// Response samples and frames in a second.
pub const GRID_RATE_HZ: f64 = 30.0;
const BEHAVIOR_RATE_HZ: f64 = 20.0;
const NUM_GREY_LEVELS: usize = 256;

/// How the numbers of a session are scaled, and where its channels go.
#[derive(Debug)]
pub struct Scaling {
    /// Subtracted from each neuron's responses.
    pub shift: Vec<f32>,
    /// Divides each neuron's responses.
    pub scale: Vec<f32>,
    /// Grey level that becomes 0.
    pub video_mean: f32,
    /// Grey levels that become 1.
    pub video_std: f32,
    /// The output's channel of each of the session's, device by device; None leaves it out.
    pub channel_rows: Vec<Option<usize>>,
    /// Channels of the output.
    pub num_channels: usize,
}

/// A shard with everything that is needed to assemble windows of it.
#[derive(Debug)]
pub struct Session {
    shard: Arc<Shard>,
    scaling: Scaling,
    greys: Vec<f32>,
}

/// Where one window goes; signals that the session lacks are not written.
#[derive(Debug)]
pub struct Output<'a> {
    /// `NUM_SAMPLES x neurons`.
    pub responses: &'a mut [f32],
    /// `NUM_SAMPLES x height x width`.
    pub video: &'a mut [f32],
    /// `channels x NUM_BEHAVIOR_SAMPLES`.
    pub behavior: &'a mut [f32],
}

/// Lengths of the parts of one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// Numbers in `Output::responses`.
    pub responses: usize,
    /// Numbers in `Output::video`; 0 without a screen.
    pub video: usize,
    /// Numbers in `Output::behavior`; 0 without a device.
    pub behavior: usize,
}

impl Session {
    /// Join a shard and its scaling.
    ///
    /// # Errors
    /// The scaling is of another number of neurons or channels.
    pub fn new(shard: Arc<Shard>, scaling: Scaling) -> Result<Self> {
        let neurons = shard.responses.columns;
        let channels: usize = shard
            .devices
            .iter()
            .map(|device| device.channels.len())
            .sum();
        let refuse = |reason: String| Err(Error::request(shard.path(), reason));
        if scaling.shift.len() != neurons || scaling.scale.len() != neurons {
            return refuse(format!("`shift` and `scale` must have {neurons} values"));
        }
        if scaling.channel_rows.len() != channels {
            return refuse(format!("`channel_rows` must have {channels} values"));
        }
        let rows = scaling.num_channels;
        let mut taken = scaling.channel_rows.iter().flatten();
        if let Some(row) = taken.find(|row| **row >= rows) {
            return refuse(format!("`channel_rows` must be below {rows}: {row}"));
        }
        let greys = (0..=u8::MAX)
            .map(|grey| (f32::from(grey) - scaling.video_mean) / scaling.video_std)
            .collect();
        Ok(Self {
            shard,
            scaling,
            greys,
        })
    }

    /// The open shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    fn has_behavior(&self) -> bool {
        self.scaling.channel_rows.iter().any(Option::is_some)
    }

    /// Lengths of one window of `num_neurons` neurons.
    pub fn lengths(&self, num_neurons: usize) -> Lengths {
        let screen = self.shard.screen.as_ref();
        let behavior = self.scaling.num_channels * NUM_BEHAVIOR_SAMPLES;
        Lengths {
            responses: NUM_SAMPLES * num_neurons,
            video: screen.map_or(0, |screen| NUM_SAMPLES * screen.height * screen.width),
            behavior: if self.has_behavior() { behavior } else { 0 },
        }
    }

    /// Ask the system to read a window's responses soon, in one go.
    pub fn advise(&self, grid_index: i64) {
        let clock = &self.shard.clock;
        let row = |sample| clock.row(self.sample_seconds(grid_index, sample));
        if let (Some(first), Some(last)) = (row(0), row(NUM_SAMPLES - 1)) {
            self.shard.advise(&self.shard.responses, first, last);
        }
    }

    /// Assemble the window that starts at `grid_index`, with `neurons` as its columns.
    ///
    /// # Errors
    /// The shard shrank, the window lies outside a signal, or a neuron does not exist.
    pub fn assemble(&self, grid_index: i64, neurons: &[i64], output: &mut Output) -> Result<()> {
        self.shard.check_size()?;
        let columns = self.columns(neurons)?;
        self.responses(grid_index, &columns, output.responses)?;
        if let Some(screen) = &self.shard.screen {
            self.video(screen, grid_index, output.video)?;
        }
        if self.has_behavior() {
            let start = self.sample_seconds(grid_index, 0);
            self.behavior(start, output.behavior)?;
        }
        Ok(())
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 samples are ten million years"
    )]
    fn sample_seconds(&self, grid_index: i64, sample: usize) -> f64 {
        self.shard.clock.start_seconds + (grid_index as f64 + sample as f64) / GRID_RATE_HZ
    }

    fn columns(&self, neurons: &[i64]) -> Result<Vec<Column>> {
        let scaling = &self.scaling;
        let column = |neuron: &i64| {
            let index = usize::try_from(*neuron).ok()?;
            Some(Column {
                index,
                shift: *scaling.shift.get(index)?,
                scale: scaling.scale[index],
            })
        };
        neurons
            .iter()
            .map(|neuron| {
                column(neuron).ok_or_else(|| {
                    let count = scaling.shift.len();
                    let reason = format!("neuron {neuron} does not exist: there are {count}");
                    Error::request(self.shard.path(), reason)
                })
            })
            .collect()
    }

    fn responses(&self, grid_index: i64, columns: &[Column], output: &mut [f32]) -> Result<()> {
        let responses = &self.shard.responses;
        let mut lines = Lines::new(output, columns.len());
        for sample in 0..NUM_SAMPLES {
            let seconds = self.sample_seconds(grid_index, sample);
            let row = held(&self.shard, "responses", &self.shard.clock, seconds)?;
            lines.write(row, |line| {
                let bytes = self.shard.row(responses, row);
                match responses.dtype {
                    Dtype::F16 => gather(columns, line, |at| f16_to_f32(u16_at(bytes, at))),
                    Dtype::Bf16 => gather(columns, line, |at| bf16_to_f32(u16_at(bytes, at))),
                    _ => gather(columns, line, |at| f32_at(bytes, at)),
                }
            });
        }
        Ok(())
    }

    fn video(&self, screen: &Screen, grid_index: i64, output: &mut [f32]) -> Result<()> {
        let greys: &[f32; NUM_GREY_LEVELS] = self.greys[..]
            .try_into()
            .map_err(|_| Error::Internal("the table of grey levels is incomplete".into()))?;
        let mut lines = Lines::new(output, screen.height * screen.width);
        for sample in 0..NUM_SAMPLES {
            let seconds = self.sample_seconds(grid_index, sample);
            let frame = self.shard.frame_at(screen, seconds)?;
            let frame = frame.ok_or_else(|| outside(&self.shard, "screen", seconds))?;
            lines.write(frame, |line| {
                for (out, grey) in line.iter_mut().zip(self.shard.frame(screen, frame)) {
                    *out = greys[usize::from(*grey)];
                }
            });
        }
        Ok(())
    }

    fn behavior(&self, start: f64, output: &mut [f32]) -> Result<()> {
        // Memory is reused, and channels that this session lacks or leaves out are 0.
        output.fill(0.0);
        let mut rows = self.scaling.channel_rows.iter();
        for device in &self.shard.devices {
            let held_rows = held_rows(&self.shard, device, start)?;
            for (channel, row) in (0..device.channels.len()).zip(&mut rows) {
                let Some(row) = row else { continue };
                let (mean, std) = (device.mean[channel], device.std[channel]);
                let first = row * NUM_BEHAVIOR_SAMPLES;
                let line = &mut output[first..first + NUM_BEHAVIOR_SAMPLES];
                for (out, held_row) in line.iter_mut().zip(held_rows) {
                    let value = f32_at(self.shard.row(&device.values, held_row), channel);
                    #[expect(clippy::cast_possible_truncation, reason = "to single precision")]
                    let scaled = ((f64::from(value) - mean) / std) as f32;
                    *out = scaled;
                }
            }
        }
        Ok(())
    }
}

struct Column {
    index: usize,
    shift: f32,
    scale: f32,
}

/// Lines of an output; one that shows the same row as the line before is copied from it.
struct Lines<'a> {
    output: &'a mut [f32],
    length: usize,
    written: usize,
    last_row: Option<usize>,
}

impl<'a> Lines<'a> {
    fn new(output: &'a mut [f32], length: usize) -> Self {
        Self {
            output,
            length,
            written: 0,
            last_row: None,
        }
    }

    fn write(&mut self, row: usize, fill: impl FnOnce(&mut [f32])) {
        let place = self.written..self.written + self.length;
        if self.last_row == Some(row) {
            let before = place.start - self.length..place.start;
            self.output.copy_within(before, place.start);
        } else {
            fill(&mut self.output[place.clone()]);
        }
        self.last_row = Some(row);
        self.written = place.end;
    }
}

#[inline]
fn gather(columns: &[Column], line: &mut [f32], value: impl Fn(usize) -> f32) {
    for (out, column) in line.iter_mut().zip(columns) {
        *out = (value(column.index) - column.shift) / column.scale;
    }
}

fn held_rows(shard: &Shard, device: &Device, start: f64) -> Result<[usize; NUM_BEHAVIOR_SAMPLES]> {
    let mut rows = [0; NUM_BEHAVIOR_SAMPLES];
    for (sample, row) in rows.iter_mut().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a few samples")]
        let seconds = start + sample as f64 / BEHAVIOR_RATE_HZ;
        *row = held(shard, &device.name, &device.clock, seconds)?;
    }
    Ok(rows)
}

fn held(shard: &Shard, signal: &str, clock: &Clock, seconds: f64) -> Result<usize> {
    clock
        .row(seconds)
        .ok_or_else(|| outside(shard, signal, seconds))
}

fn outside(shard: &Shard, signal: &str, seconds: f64) -> Error {
    let reason = format!("a window asks for {signal} at {seconds:.3} s, which it does not have");
    Error::request(shard.path(), reason)
}
