//! One open shard: its header is checked, its signals are views into the mapped file.

use std::ops::Range;
use std::path::Path;

use crate::description::{self, Description};
use crate::error::{Error, Result};
use crate::header::{self, Dtype, Header, LENGTH_BYTES};
use crate::hold::Clock;
use crate::matrix::{Matrix, matrix};
use crate::memory::{Access, RangeFile};
use crate::screen::Screen;

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
    file: RangeFile,
}

impl Shard {
    /// Open the shard at `path`; only its header is read.
    ///
    /// # Errors
    /// The file does not exist, is no shard, is cut short or breaks a promise of the format.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let file = RangeFile::open(path, access)?;
        let damaged = |reason| Error::damaged(path, reason);
        let num_bytes = file.num_bytes();
        let start = 0..usize::try_from(num_bytes).map_or(LENGTH_BYTES, |n| n.min(LENGTH_BYTES));
        let mut buffer = Vec::new();
        let head = header::head_bytes(file.bytes(start, &mut buffer)?, num_bytes);
        let head = file.bytes(0..head.map_err(damaged)?, &mut buffer)?;
        let header = header::parse(head, num_bytes);
        file.check_pages()?;
        let header = header.map_err(damaged)?;
        let description = description::parse(&header.metadata).map_err(damaged)?;
        Self::checked(file, &header, description).map_err(damaged)
    }

    fn checked(
        file: RangeFile,
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

    /// The file, to be checked before and after something of it is read.
    pub fn file(&self) -> &RangeFile {
        &self.file
    }

    /// The bytes of some rows, which must exist; of the map, or read into `buffer`.
    ///
    /// # Errors
    /// The system refuses to read.
    pub fn rows<'a>(
        &'a self,
        matrix: &Matrix,
        rows: Range<usize>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        self.file.bytes(matrix.range(rows), buffer)
    }

    /// Ask the system to read some rows soon.
    pub fn advise(&self, matrix: &Matrix, rows: Range<usize>) {
        self.file.advise(matrix.range(rows));
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
