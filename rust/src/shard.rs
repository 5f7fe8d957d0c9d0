//! One open shard: its header is checked, its signals are views into the mapped file.

use std::ops::Range;
use std::path::Path;

use crate::convert::{f64_at, i64_at};
use crate::description::{self, Description};
use crate::error::{Error, Result};
use crate::header::{self, Dtype, Header, Tensor};
use crate::hold::{self, Clock};
use crate::memory::MappedFile;

/// Rows of equal length at a place in the file.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// How the numbers are stored.
    pub dtype: Dtype,
    /// Numbers in a row.
    pub columns: usize,
    rows: usize,
    bytes: Range<usize>,
}

impl Matrix {
    fn row_range(&self, row: usize) -> Range<usize> {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let length = self.columns * self.dtype.size();
        let start = self.bytes.start + row * length;
        start..start + length
    }
}

/// The screen of a session.
#[derive(Debug)]
pub struct Screen {
    /// Rows of a frame.
    pub height: usize,
    /// Columns of a frame.
    pub width: usize,
    frames: Matrix,
    flip_seconds: Range<usize>,
    frame_index: Range<usize>,
    num_flips: usize,
}

/// One device that recorded behavior.
#[derive(Debug)]
pub struct Device {
    /// The signal's name.
    pub name: String,
    /// When the rows were measured.
    pub clock: Clock,
    /// Names of the columns.
    pub channels: Vec<String>,
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Standard deviation of each column.
    pub std: Vec<f64>,
    /// The rows.
    pub values: Matrix,
}

/// One open shard.
#[derive(Debug)]
pub struct Shard {
    /// Session key.
    pub session: String,
    /// When the responses were measured.
    pub clock: Clock,
    /// The responses, one row a sample.
    pub responses: Matrix,
    /// The screen, if one was recorded.
    pub screen: Option<Screen>,
    /// Devices that recorded behavior.
    pub devices: Vec<Device>,
    file: MappedFile,
}

impl Shard {
    /// Open the shard at `path`; only its header is read.
    ///
    /// # Errors
    /// The file does not exist, is no shard, is cut short or breaks a promise of the format.
    pub fn open(path: &Path) -> Result<Self> {
        let file = MappedFile::open(path)?;
        let damaged = |reason| Error::damaged(path, reason);
        let header = header::parse(file.bytes()).map_err(damaged)?;
        let description = description::parse(&header.metadata).map_err(damaged)?;
        Self::checked(file, &header, description).map_err(damaged)
    }

    fn checked(
        file: MappedFile,
        header: &Header,
        description: Description,
    ) -> std::result::Result<Self, String> {
        let responses = description.responses;
        let rows = responses.clock.num_samples;
        let kinds = [Dtype::F16, Dtype::Bf16, Dtype::F32];
        Ok(Self {
            session: description.session,
            clock: responses.clock,
            responses: matrix(header, "responses", &kinds, &[rows, responses.num_neurons])?,
            screen: description
                .screen
                .map(|screen| Screen::checked(header, &screen))
                .transpose()?,
            devices: description
                .behavior
                .into_iter()
                .map(|device| Device::checked(header, device))
                .collect::<std::result::Result<_, _>>()?,
            file,
        })
    }

    /// Where the shard was when it was opened.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Check that the file is still as long as it was.
    ///
    /// # Errors
    /// It is shorter, or cannot be asked.
    pub fn check_size(&self) -> Result<()> {
        self.file.check_size()
    }

    /// The bytes of one row; the row must exist.
    pub fn row<'a>(&'a self, matrix: &Matrix, row: usize) -> &'a [u8] {
        &self.file.bytes()[matrix.row_range(row)]
    }

    /// Ask the system to read the rows from `first` to `last`, both included, soon.
    pub fn advise(&self, matrix: &Matrix, first: usize, last: usize) {
        let start = matrix.row_range(first).start;
        self.file.advise(start, matrix.row_range(last).end - start);
    }

    /// The frame that is on the screen at `seconds`; none before the first flip.
    ///
    /// # Errors
    /// The shard names a frame that it does not have.
    pub fn frame_at(&self, screen: &Screen, seconds: f64) -> Result<Option<usize>> {
        let bytes = self.file.bytes();
        let times = &bytes[screen.flip_seconds.clone()];
        let Some(flip) = hold::flip(screen.num_flips, |flip| f64_at(times, flip), seconds) else {
            return Ok(None);
        };
        let index = i64_at(&bytes[screen.frame_index.clone()], flip);
        usize::try_from(index)
            .ok()
            .filter(|frame| *frame < screen.frames.rows)
            .map(Some)
            .ok_or_else(|| {
                let rows = screen.frames.rows;
                let reason = format!("flip {flip} shows frame {index} of {rows}");
                Error::damaged(self.path(), reason)
            })
    }

    /// The grey levels of one frame; the frame must exist.
    pub fn frame<'a>(&'a self, screen: &Screen, frame: usize) -> &'a [u8] {
        self.row(&screen.frames, frame)
    }
}

impl Screen {
    fn checked(header: &Header, screen: &description::Screen) -> std::result::Result<Self, String> {
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
            frames: Matrix {
                dtype: Dtype::U8,
                columns: height * width,
                rows,
                bytes: frames.bytes.clone(),
            },
            num_flips: flips.shape[0],
            flip_seconds: flips.bytes.clone(),
            frame_index: index.bytes.clone(),
        })
    }
}

impl Device {
    fn checked(header: &Header, device: description::Device) -> std::result::Result<Self, String> {
        let name = format!("behavior.{}", device.name);
        let shape = [device.clock.num_samples, device.channels.len()];
        Ok(Self {
            values: matrix(header, &name, &[Dtype::F32], &shape)?,
            name: device.name,
            clock: device.clock,
            channels: device.channels,
            mean: device.mean,
            std: device.std,
        })
    }
}

fn tensor<'a>(
    header: &'a Header,
    name: &str,
    kinds: &[Dtype],
) -> std::result::Result<&'a Tensor, String> {
    let tensor = header
        .tensors
        .get(name)
        .ok_or_else(|| format!("it has no tensor {name}"))?;
    if !kinds.contains(&tensor.dtype) {
        return Err(format!(
            "tensor {name} is {:?}, not {kinds:?}",
            tensor.dtype
        ));
    }
    Ok(tensor)
}

fn matrix(
    header: &Header,
    name: &str,
    kinds: &[Dtype],
    shape: &[usize; 2],
) -> std::result::Result<Matrix, String> {
    let tensor = tensor(header, name, kinds)?;
    if tensor.shape != shape {
        let found = &tensor.shape;
        return Err(format!(
            "tensor {name} has shape {found:?}, its description {shape:?}"
        ));
    }
    Ok(Matrix {
        dtype: tensor.dtype,
        columns: shape[1],
        rows: shape[0],
        bytes: tensor.bytes.clone(),
    })
}
