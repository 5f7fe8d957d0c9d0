//! The screen of a session: distinct frames, and which of them is shown when.

use std::ops::Range;

use crate::convert::{f64_at, i64_at};
use crate::description;
use crate::error::{Error, Result};
use crate::header::{Dtype, Header};
use crate::hold;
use crate::matrix::{Matrix, tensor};
use crate::memory::RangeFile;

/// The screen of a session.
#[derive(Debug)]
pub struct Screen {
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    /// The distinct frames.
    pub frames: Matrix,
    flip_seconds: Range<usize>,
    frame_index: Range<usize>,
    num_flips: usize,
}

impl Screen {
    /// Find the screen that a description promises.
    ///
    /// # Errors
    /// The promise that is broken.
    pub fn checked(
        header: &Header,
        screen: &description::Screen,
    ) -> std::result::Result<Self, String> {
        let (height, width) = (screen.frame_height, screen.frame_width);
        let frames = tensor(header, "screen.frames", &[Dtype::U8])?;
        let rows = match frames.shape[..] {
            [rows, h, w] if (h, w) == (height, width) => rows,
            _ => {
                let shape = &frames.shape;
                return Err(format!(
                    "screen.frames has shape {shape:?}, not {height} x {width}"
                ));
            }
        };
        let flips = tensor(header, "screen.flip_seconds", &[Dtype::F64])?;
        let index = tensor(header, "screen.frame_index", &[Dtype::I64])?;
        if flips.shape.len() != 1 || flips.shape != index.shape {
            return Err(format!(
                "screen.flip_seconds {:?} and screen.frame_index {:?} are not of one length",
                flips.shape, index.shape
            ));
        }
        Ok(Self {
            height,
            width,
            frames: Matrix::new(frames, rows, height * width),
            num_flips: flips.shape[0],
            flip_seconds: flips.bytes.clone(),
            frame_index: index.bytes.clone(),
        })
    }

    /// Ask the system to read soon which frame is on the screen when.
    pub fn advise_flips(&self, file: &RangeFile) {
        file.advise(self.flip_seconds.clone());
        file.advise(self.frame_index.clone());
    }

    /// The frames that are on the screen at ascending moments; none before the first flip.
    ///
    /// # Errors
    /// The shard names a frame that it does not have, or the system refuses to read.
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
        // In a damaged shard times may go back, and the last be before the first.
        let first = first.unwrap_or(0);
        let flips = first..last.max(first);
        let times = file.bytes(part(&self.flip_seconds, &flips), buffer)?;
        // Until the frame is known, its flip's place takes its place.
        let mut flip = hold::Flips::new(flips.len(), |flip| f64_at(times, flip));
        for (frame, seconds) in frames.iter_mut().zip(seconds) {
            *frame = flip.at(*seconds);
        }
        let index = file.bytes(part(&self.frame_index, &flips), buffer)?;
        for frame in frames.iter_mut() {
            *frame = match *frame {
                Some(place) => Some(self.frame(file, i64_at(index, place), flips.start + place)?),
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
        let mut refusal = Ok(());
        let flip = hold::flip(
            self.num_flips,
            |flip| {
                let time = part(&self.flip_seconds, &(flip..flip + 1));
                match file.bytes(time, buffer) {
                    Ok(bytes) => f64_at(bytes, 0),
                    Err(error) => {
                        refusal = Err(error);
                        f64::INFINITY
                    }
                }
            },
            seconds,
        );
        refusal.map(|()| flip)
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

/// The bytes of some 64-bit numbers of a list.
fn part(list: &Range<usize>, numbers: &Range<usize>) -> Range<usize> {
    const SIZE: usize = 8;
    list.start + numbers.start * SIZE..list.start + numbers.end * SIZE
}
