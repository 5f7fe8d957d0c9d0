//! The screen of a session: distinct frames, and the flips that show them.

use std::ops::Range;

use super::description;
use super::header::{Dtype, Header};
use super::number::{f64_at, i64_at};
use super::sample_and_hold::{FlipCursor, latest_flip};
use super::shard::{RowTensor, find_tensor};
use crate::error::{Error, Result};
use crate::memory::RangeFile;

/// The screen of a session.
#[derive(Debug)]
pub struct Screen {
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// The distinct frames.
    pub frames: RowTensor,
    flip_seconds: Range<usize>,
    frame_index: Range<usize>,
    num_flips: usize,
}

impl Screen {
    /// Find the tensors of the screen.
    ///
    /// # Errors
    /// One is missing, or has another type or shape than the description.
    pub(super) fn new(
        header: &Header,
        screen: &description::Screen,
    ) -> std::result::Result<Self, String> {
        let (height, width) = (screen.frame_height, screen.frame_width);
        let frames = find_tensor(header, "screen.frames", &[Dtype::U8])?;
        let rows = match frames.shape[..] {
            [rows, h, w] if (h, w) == (height, width) => rows,
            _ => {
                let shape = &frames.shape;
                return Err(format!(
                    "tensor `screen.frames` has shape {shape:?}, not (frames, {height}, {width})"
                ));
            }
        };
        let flips = find_tensor(header, "screen.flip_seconds", &[Dtype::F64])?;
        let index = find_tensor(header, "screen.frame_index", &[Dtype::I64])?;
        if flips.shape.len() != 1 || flips.shape != index.shape {
            return Err(format!(
                "tensors `screen.flip_seconds` {:?} and `screen.frame_index` {:?} differ in length",
                flips.shape, index.shape
            ));
        }
        Ok(Self {
            height,
            width,
            frames: RowTensor::new(frames, rows, height * width),
            num_flips: flips.shape[0],
            flip_seconds: flips.bytes.clone(),
            frame_index: index.bytes.clone(),
        })
    }

    /// Ask the system to read the flips soon.
    pub fn advise_flips(&self, file: &RangeFile) {
        file.advise(self.flip_seconds.clone());
        file.advise(self.frame_index.clone());
    }

    /// Look up the frames that are on the screen at ascending times; None before the first flip.
    ///
    /// # Errors
    /// A flip shows a frame that does not exist, or the file cannot be read.
    pub fn frames_at(
        &self,
        file: &RangeFile,
        seconds: &[f64],
        buffer: &mut Vec<u8>,
        frames: &mut [Option<usize>],
    ) -> Result<()> {
        let (Some(begin), Some(end)) = (seconds.first(), seconds.last()) else {
            return Ok(());
        };
        let first = self.flip_at(file, *begin, buffer)?;
        let last = self.flip_at(file, *end, buffer)?.map_or(0, |flip| flip + 1);
        // In a damaged shard the times may not be ascending, and the last flip before the first.
        let first = first.unwrap_or(0);
        let flips = first..last.max(first);
        let times = file.bytes(sublist(&self.flip_seconds, &flips), buffer)?;
        // `frames` holds the flips, counted from the first one, until the frames are known.
        let mut cursor = FlipCursor::new(flips.len(), |flip| f64_at(times, flip));
        for (frame, seconds) in frames.iter_mut().zip(seconds) {
            *frame = cursor.latest(*seconds);
        }
        let index = file.bytes(sublist(&self.frame_index, &flips), buffer)?;
        for frame in frames.iter_mut() {
            *frame = match *frame {
                Some(flip) => Some(self.frame(file, i64_at(index, flip), flips.start + flip)?),
                None => None,
            };
        }
        Ok(())
    }

    fn flip_at(
        &self,
        file: &RangeFile,
        seconds: f64,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<usize>> {
        let mut result = Ok(());
        let flip = latest_flip(
            self.num_flips,
            |flip| {
                let time = sublist(&self.flip_seconds, &(flip..flip + 1));
                match file.bytes(time, buffer) {
                    Ok(bytes) => f64_at(bytes, 0),
                    Err(error) => {
                        result = Err(error);
                        f64::INFINITY
                    }
                }
            },
            seconds,
        );
        result.map(|()| flip)
    }

    fn frame(&self, file: &RangeFile, index: i64, flip: usize) -> Result<usize> {
        usize::try_from(index)
            .ok()
            .filter(|frame| *frame < self.frames.rows)
            .ok_or_else(|| {
                let rows = self.frames.rows;
                let reason = format!("flip {flip} shows frame {index} of {rows}");
                Error::damaged(file.path(), reason)
            })
    }
}

/// The bytes of some numbers of a list of 64-bit numbers.
fn sublist(list: &Range<usize>, numbers: &Range<usize>) -> Range<usize> {
    const SIZE: usize = 8;
    list.start + numbers.start * SIZE..list.start + numbers.end * SIZE
}
