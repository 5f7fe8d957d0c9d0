//! Windows: two seconds of one session, assembled in one pass over its shard.

#[cfg(target_arch = "x86_64")]
pub mod avx2;
pub mod backend;
pub mod gather;
#[cfg(any(
    all(target_arch = "aarch64", target_endian = "little"),
    all(test, not(target_arch = "aarch64"))
))]
pub mod neon;
#[cfg(not(any(
    target_arch = "x86_64",
    all(target_arch = "aarch64", target_endian = "little")
)))]
pub mod no_vectors;
pub mod normalization;
pub mod selection;
pub mod shuffle_tables;

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::number::{f32_at, f64_at};
use crate::format::sample_and_hold::{Clock, lies_within};
use crate::format::screen::Screen;
use crate::format::shard::{Device, Shard};
use backend::Backend;
use gather::{OutputMemory, PackedRow, gather_responses};
use normalization::Normalization;
use selection::NeuronSelection;

/// Response samples and frames of a window.
pub const NUM_SAMPLES: usize = 60;
/// Behavior samples of a window.
pub const NUM_BEHAVIOR_SAMPLES: usize = 40;
/// Sampling rate of responses and frames in a window.
pub const GRID_RATE_HZ: f64 = 30.0;
const BEHAVIOR_RATE_HZ: f64 = 20.0;

/// A shard and the normalization of its signals, ready to assemble windows.
#[derive(Debug)]
pub struct Session {
    shard: Arc<Shard>,
    normalization: Normalization,
    backend: Backend,
}

/// Scratch memory that is reused from window to window.
#[derive(Debug, Default)]
pub struct WindowScratch {
    selection: NeuronSelection,
    packed: PackedRow,
    /// For bytes that are read from a file that is not mapped.
    pub buffer: Vec<u8>,
}

/// The memory of one window; signals that the session lacks are not written.
#[derive(Debug)]
pub struct Output<'a> {
    /// `NUM_SAMPLES x neurons`.
    pub responses: OutputMemory<'a>,
    /// `NUM_SAMPLES x height x width`.
    pub video: OutputMemory<'a>,
    /// `channels x NUM_BEHAVIOR_SAMPLES`; NaN where a sample is lost.
    pub behavior: OutputMemory<'a>,
}

/// Lengths of the arrays of one window.
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
    /// Prepare a shard.
    ///
    /// # Errors
    /// The normalization has another number of neurons or channels than the shard.
    pub fn new(shard: Arc<Shard>, normalization: Normalization, backend: Backend) -> Result<Self> {
        let normalization = normalization.checked(&shard)?;
        Ok(Self {
            shard,
            normalization,
            backend,
        })
    }

    /// The open shard.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    fn has_behavior(&self) -> bool {
        self.normalization.channel_rows.iter().any(Option::is_some)
    }

    /// Lengths of one window of `num_neurons` neurons.
    pub fn lengths(&self, num_neurons: usize) -> Lengths {
        let screen = self.shard.screen.as_ref();
        let behavior = self.normalization.num_channels * NUM_BEHAVIOR_SAMPLES;
        Lengths {
            responses: NUM_SAMPLES * num_neurons,
            video: screen.map_or(0, |screen| NUM_SAMPLES * screen.height * screen.width),
            behavior: if self.has_behavior() { behavior } else { 0 },
        }
    }

    /// Assemble the window that starts at `grid_index`, with `neurons` as its columns.
    ///
    /// # Errors
    /// The shard was truncated, the window lies outside a signal, or a neuron does not exist.
    pub fn assemble(
        &self,
        grid_index: i64,
        neurons: &[i64],
        output: &mut Output,
        scratch: &mut WindowScratch,
    ) -> Result<()> {
        self.shard.file().check_size()?;
        let selected = scratch.selection.select(neurons, &self.normalization);
        selected.map_err(|neuron| {
            let count = self.normalization.scale.len();
            let reason = format!("neuron {neuron} does not exist: there are {count}");
            Error::request(self.shard.path(), reason)
        })?;
        self.responses(grid_index, &mut output.responses, scratch)?;
        if let Some(screen) = &self.shard.screen {
            self.video(screen, grid_index, &mut output.video, &mut scratch.buffer)?;
        }
        if self.has_behavior() {
            let start = self.sample_seconds(grid_index, 0);
            self.behavior(start, &mut output.behavior, &mut scratch.buffer)?;
        }
        self.backend.finish();
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
        output: &mut OutputMemory,
        scratch: &mut WindowScratch,
    ) -> Result<()> {
        let (responses, clock) = (&self.shard.responses, &self.shard.clock);
        let mut rows = [0; NUM_SAMPLES];
        for (sample, row) in rows.iter_mut().enumerate() {
            let seconds = self.sample_seconds(grid_index, sample);
            *row = held(&self.shard, "responses", clock, seconds)?;
        }
        let WindowScratch {
            selection,
            packed,
            buffer,
        } = scratch;
        let first = rows[0];
        let whole = first..rows[NUM_SAMPLES - 1] + 1;
        let bytes = self.shard.rows(responses, whole, buffer)?;
        let length = responses.row_bytes();
        let mut writer = OutputRowWriter::new(output, selection.len());
        for row in rows {
            let offset = (row - first) * length;
            let stored = (&bytes[offset..offset + length], responses.dtype);
            writer.write(row, |out| {
                gather_responses(self.backend, stored, selection, packed, out);
            });
        }
        Ok(())
    }

    fn video(
        &self,
        screen: &Screen,
        grid_index: i64,
        output: &mut OutputMemory,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        let seconds = self.window_seconds(grid_index);
        let mut frames = [None; NUM_SAMPLES];
        screen.frames_at(self.shard.file(), &seconds, buffer, &mut frames)?;
        let mut writer = OutputRowWriter::new(output, screen.height * screen.width);
        for (frame, seconds) in frames.into_iter().zip(seconds) {
            let frame = frame.ok_or_else(|| outside(&self.shard, "screen", seconds))?;
            let stored = self.shard.rows(&screen.frames, frame..frame + 1, buffer)?;
            writer.write(frame, |out| {
                self.normalization
                    .grey_levels
                    .write(self.backend, stored, out);
            });
        }
        Ok(())
    }

    pub(crate) fn window_seconds(&self, grid_index: i64) -> [f64; NUM_SAMPLES] {
        std::array::from_fn(|sample| self.sample_seconds(grid_index, sample))
    }

    fn behavior(&self, start: f64, output: &mut OutputMemory, buffer: &mut Vec<u8>) -> Result<()> {
        // Memory is reused, and channels that this session lacks or drops are 0.
        output.fill(
            0..self.normalization.num_channels * NUM_BEHAVIOR_SAMPLES,
            |_| 0.0,
        );
        let mut rows = self.normalization.channel_rows.iter();
        for device in &self.shard.devices {
            let held_rows = held_rows(&self.shard, device, start, buffer)?;
            let whole = span(&held_rows).unwrap_or(0..0);
            let first = whole.start;
            let bytes = self.shard.rows(&device.values, whole, buffer)?;
            let width = device.channels.len();
            for (channel, row) in (0..width).zip(&mut rows) {
                let Some(row) = row else { continue };
                let (mean, std) = (device.mean[channel], device.std[channel]);
                let start = row * NUM_BEHAVIOR_SAMPLES;
                output.fill(start..start + NUM_BEHAVIOR_SAMPLES, |at| {
                    held_rows[at - start].map_or(f32::NAN, |row| {
                        let value = f32_at(bytes, (row - first) * width + channel);
                        #[expect(clippy::cast_possible_truncation, reason = "to single precision")]
                        let scaled = ((f64::from(value) - mean) / std) as f32;
                        scaled
                    })
                });
            }
        }
        Ok(())
    }
}

/// Writes the rows of an output, one per sample; where consecutive samples hold the same stored
/// row, the output row before is copied.
struct OutputRowWriter<'a, 'b> {
    output: &'a mut OutputMemory<'b>,
    length: usize,
    written: usize,
    last_stored_row: Option<usize>,
}

impl<'a, 'b> OutputRowWriter<'a, 'b> {
    fn new(output: &'a mut OutputMemory<'b>, length: usize) -> Self {
        Self {
            output,
            length,
            written: 0,
            last_stored_row: None,
        }
    }

    fn write(&mut self, stored_row: usize, fill: impl FnOnce(&mut OutputMemory)) {
        let range = self.written..self.written + self.length;
        if self.last_stored_row == Some(stored_row) {
            let before: Range<usize> = range.start - self.length..range.start;
            self.output.copy_within(before, range.start);
        } else {
            fill(&mut self.output.range(range.clone()));
        }
        self.last_stored_row = Some(stored_row);
        self.written = range.end;
    }
}

/// The rows of a device that are held at the behavior samples of a window; None where the sample is
/// lost: at times in which the device is not valid.
pub(crate) fn held_rows(
    shard: &Shard,
    device: &Device,
    start: f64,
    buffer: &mut Vec<u8>,
) -> Result<[Option<usize>; NUM_BEHAVIOR_SAMPLES]> {
    let num_intervals = device.valid.rows;
    let edges = shard.rows(&device.valid, 0..num_intervals, buffer)?;
    let mut rows = [None; NUM_BEHAVIOR_SAMPLES];
    for (sample, row) in rows.iter_mut().enumerate() {
        #[expect(clippy::cast_precision_loss, reason = "a few samples")]
        let seconds = start + sample as f64 / BEHAVIOR_RATE_HZ;
        if lies_within(num_intervals, |edge| f64_at(edges, edge), seconds) {
            *row = device.clock.row(seconds);
        }
    }
    Ok(rows)
}

/// All rows from the first to the last that is held; None if none is.
pub(crate) fn span(held_rows: &[Option<usize>]) -> Option<Range<usize>> {
    let mut held = held_rows.iter().flatten();
    let first = *held.next()?;
    Some(first..held.next_back().map_or(first, |last| *last) + 1)
}

fn held(shard: &Shard, signal: &str, clock: &Clock, seconds: f64) -> Result<usize> {
    clock
        .row(seconds)
        .ok_or_else(|| outside(shard, signal, seconds))
}

fn outside(shard: &Shard, signal: &str, seconds: f64) -> Error {
    let reason = format!("a window needs {signal} at {seconds:.3} s, outside the recording");
    Error::request(shard.path(), reason)
}
