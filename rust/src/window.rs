//! Two seconds of one session, assembled in one pass over its shard.

use std::ops::Range;
use std::sync::Arc;

use crate::columns::Columns;
use crate::convert::f32_at;
use crate::error::{Error, Result};
use crate::hold::Clock;
use crate::lines::{Numbers, Packed, Path, write_responses};
use crate::scaling::Scaling;
use crate::screen::Screen;
use crate::shard::{Device, Shard};

/// Response samples and frames of a window.
pub const NUM_SAMPLES: usize = 60;
/// Behavior samples of a window.
pub const NUM_BEHAVIOR_SAMPLES: usize = 40;
/// Response samples and frames in a second.
pub const GRID_RATE_HZ: f64 = 30.0;
const BEHAVIOR_RATE_HZ: f64 = 20.0;

/// A shard with everything that is needed to assemble windows of it.
#[derive(Debug)]
pub struct Session {
    shard: Arc<Shard>,
    scaling: Scaling,
    path: Path,
}

/// Memory that is used for one window after the other.
#[derive(Debug, Default)]
pub struct Workspace {
    columns: Columns,
    packed: Packed,
    buffer: Vec<u8>,
}

impl Workspace {
    /// Memory for what is read on the way.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

/// Where one window goes; signals that the session lacks are not written.
#[derive(Debug)]
pub struct Output<'a> {
    /// `NUM_SAMPLES x neurons`.
    pub responses: Numbers<'a>,
    /// `NUM_SAMPLES x height x width`.
    pub video: Numbers<'a>,
    /// `channels x NUM_BEHAVIOR_SAMPLES`.
    pub behavior: Numbers<'a>,
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
    /// Join a shard and its scaling; `path` says which instructions are used.
    ///
    /// # Errors
    /// The scaling is of another number of neurons or channels.
    pub fn new(shard: Arc<Shard>, scaling: Scaling, path: Path) -> Result<Self> {
        let scaling = scaling.checked(&shard)?;
        Ok(Self {
            shard,
            scaling,
            path,
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

    /// Assemble the window that starts at `grid_index`, with `neurons` as its columns.
    ///
    /// # Errors
    /// The shard shrank, the window lies outside a signal, or a neuron does not exist.
    pub fn assemble(
        &self,
        grid_index: i64,
        neurons: &[i64],
        output: &mut Output,
        workspace: &mut Workspace,
    ) -> Result<()> {
        self.shard.file().check_size()?;
        let chosen = workspace.columns.choose(neurons, &self.scaling);
        chosen.map_err(|neuron| {
            let count = self.scaling.scale.len();
            let reason = format!("neuron {neuron} does not exist: there are {count}");
            Error::request(self.shard.path(), reason)
        })?;
        self.responses(grid_index, &mut output.responses, workspace)?;
        if let Some(screen) = &self.shard.screen {
            self.video(screen, grid_index, &mut output.video, &mut workspace.buffer)?;
        }
        if self.has_behavior() {
            let start = self.sample_seconds(grid_index, 0);
            self.behavior(start, &mut output.behavior, &mut workspace.buffer)?;
        }
        self.path.finish();
        self.shard.file().check_pages()
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 samples are ten million years"
    )]
    pub(crate) fn sample_seconds(&self, grid_index: i64, sample: usize) -> f64 {
        self.shard.clock.start_seconds + (grid_index as f64 + sample as f64) / GRID_RATE_HZ
    }

    fn responses(
        &self,
        grid_index: i64,
        output: &mut Numbers,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let (responses, clock) = (&self.shard.responses, &self.shard.clock);
        let mut rows = [0; NUM_SAMPLES];
        for (sample, row) in rows.iter_mut().enumerate() {
            let seconds = self.sample_seconds(grid_index, sample);
            *row = held(&self.shard, "responses", clock, seconds)?;
        }
        let Workspace {
            columns,
            packed,
            buffer,
        } = workspace;
        let first = rows[0];
        let whole = first..rows[NUM_SAMPLES - 1] + 1;
        let bytes = self.shard.rows(responses, whole, buffer)?;
        let length = responses.row_bytes();
        let mut lines = Lines::new(output, columns.len());
        for row in rows {
            let place = (row - first) * length;
            let stored = (&bytes[place..place + length], responses.dtype);
            lines.write(row, |line| {
                write_responses(self.path, stored, columns, packed, line);
            });
        }
        Ok(())
    }

    fn video(
        &self,
        screen: &Screen,
        grid_index: i64,
        output: &mut Numbers,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let seconds = self.moments(grid_index);
        let mut frames = [None; NUM_SAMPLES];
        screen.frames_at(self.shard.file(), &seconds, buffer, &mut frames)?;
        let mut lines = Lines::new(output, screen.height * screen.width);
        for (frame, seconds) in frames.into_iter().zip(seconds) {
            let frame = frame.ok_or_else(|| outside(&self.shard, "screen", seconds))?;
            let stored = self.shard.rows(&screen.frames, frame..frame + 1, buffer)?;
            lines.write(frame, |line| {
                self.scaling.greys.write(self.path, stored, line);
            });
        }
        Ok(())
    }

    pub(crate) fn moments(&self, grid_index: i64) -> [f64; NUM_SAMPLES] {
        std::array::from_fn(|sample| self.sample_seconds(grid_index, sample))
    }

    fn behavior(&self, start: f64, output: &mut Numbers, buffer: &mut Vec<u8>) -> Result<()> {
        // Memory is reused, and channels that this session lacks or leaves out are 0.
        output.fill(0..self.scaling.num_channels * NUM_BEHAVIOR_SAMPLES, |_| 0.0);
        let mut rows = self.scaling.channel_rows.iter();
        for device in &self.shard.devices {
            let held_rows = held_rows(&self.shard, device, start)?;
            let first = held_rows[0];
            let whole = first..held_rows[NUM_BEHAVIOR_SAMPLES - 1] + 1;
            let bytes = self.shard.rows(&device.values, whole, buffer)?;
            let width = device.channels.len();
            for (channel, row) in (0..width).zip(&mut rows) {
                let Some(row) = row else { continue };
                let (mean, std) = (device.mean[channel], device.std[channel]);
                let line = row * NUM_BEHAVIOR_SAMPLES;
                output.fill(line..line + NUM_BEHAVIOR_SAMPLES, |place| {
                    let held_row = held_rows[place - line] - first;
                    let value = f32_at(bytes, held_row * width + channel);
                    #[expect(clippy::cast_possible_truncation, reason = "to single precision")]
                    let scaled = ((f64::from(value) - mean) / std) as f32;
                    scaled
                });
            }
        }
        Ok(())
    }
}

/// Lines of an output; one that shows the same row as the line before is copied from it.
struct Lines<'a, 'b> {
    output: &'a mut Numbers<'b>,
    length: usize,
    written: usize,
    last_row: Option<usize>,
}

impl<'a, 'b> Lines<'a, 'b> {
    fn new(output: &'a mut Numbers<'b>, length: usize) -> Self {
        Self {
            output,
            length,
            written: 0,
            last_row: None,
        }
    }

    fn write(&mut self, row: usize, fill: impl FnOnce(&mut Numbers)) {
        let place = self.written..self.written + self.length;
        if self.last_row == Some(row) {
            let before: Range<usize> = place.start - self.length..place.start;
            self.output.copy_within(before, place.start);
        } else {
            fill(&mut self.output.part(place.clone()));
        }
        self.last_row = Some(row);
        self.written = place.end;
    }
}

pub(crate) fn held_rows(
    shard: &Shard,
    device: &Device,
    start: f64,
) -> Result<[usize; NUM_BEHAVIOR_SAMPLES]> {
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
