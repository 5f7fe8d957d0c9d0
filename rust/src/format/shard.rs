//! An open shard: its checked header, and its signals as rows of the file.

use std::ops::Range;
use std::path::Path;

use super::description::{self, Description};
use super::header::{self, Dtype, Header, Tensor};
use super::sample_and_hold::Clock;
use super::screen::Screen;
use crate::error::{Error, Result};
use crate::memory::{Access, RangeFile};

/// A tensor as rows of equal length.
#[derive(Clone, Debug)]
pub struct RowTensor {
    /// Number type.
    pub dtype: Dtype,
    /// Numbers in a row.
    pub columns: usize,
    /// Number of rows.
    pub rows: usize,
    bytes: Range<usize>,
}

impl RowTensor {
    /// View a tensor as `rows` rows of `columns` numbers, which must be all its numbers.
    pub(super) fn new(tensor: &Tensor, rows: usize, columns: usize) -> Self {
        Self {
            dtype: tensor.dtype,
            columns,
            rows,
            bytes: tensor.bytes.clone(),
        }
    }

    /// Bytes of one row.
    pub fn row_bytes(&self) -> usize {
        self.columns * self.dtype.size()
    }

    /// The bytes of some rows in the file.
    ///
    /// # Panics
    /// The rows do not exist.
    pub fn range(&self, rows: Range<usize>) -> Range<usize> {
        assert!(rows.end <= self.rows, "rows {rows:?} of {}", self.rows);
        let offset = |row: usize| self.bytes.start + row * self.row_bytes();
        offset(rows.start)..offset(rows.end)
    }
}

/// One behavior device.
#[derive(Debug)]
pub struct Device {
    /// The signal's name.
    pub name: String,
    /// Sample times of the rows.
    pub clock: Clock,
    /// Names of the columns.
    pub channels: Vec<String>,
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Standard deviation of each column.
    pub std: Vec<f64>,
    /// The samples.
    pub values: RowTensor,
    /// Half-open intervals of the time in which samples are valid, ascending, in seconds.
    pub valid: RowTensor,
}

/// An open shard.
#[derive(Debug)]
pub struct Shard {
    /// Session key.
    pub session: String,
    /// Sample times of the responses.
    pub clock: Clock,
    /// The responses, `(samples, neurons)`.
    pub responses: RowTensor,
    /// The screen; None if none was recorded.
    pub screen: Option<Screen>,
    /// Behavior devices.
    pub devices: Vec<Device>,
    file: RangeFile,
}

impl Shard {
    /// Open the shard at `path`; only its header is read.
    ///
    /// # Errors
    /// The file does not exist, is no shard, is damaged or cut short.
    pub fn open(path: &Path, access: Access) -> Result<Self> {
        let file = RangeFile::open(path, access)?;
        let mut buffer = Vec::new();
        let head = header::read_head(&file, &mut buffer)?;
        let header = header::parse(head, file.num_bytes(), path);
        // Missing pages read as zeros, which is a better reason than a header that makes no sense.
        file.check_pages()?;
        let header = header?;
        description::parse(&header.metadata)
            .and_then(|description| Self::new(file, &header, description))
            .map_err(|reason| Error::damaged(path, reason))
    }

    fn new(
        file: RangeFile,
        header: &Header,
        description: Description,
    ) -> std::result::Result<Self, String> {
        let responses = description.responses;
        let shape = [responses.clock.num_samples, responses.num_neurons];
        let dtypes = [Dtype::F16, Dtype::Bf16, Dtype::F32];
        let screen = description.screen;
        let devices = description.behavior.into_iter();
        Ok(Self {
            session: description.session,
            clock: responses.clock,
            responses: find_rows(header, "responses", &dtypes, shape)?,
            screen: screen
                .map(|screen| Screen::new(header, &screen))
                .transpose()?,
            devices: devices
                .map(|device| Device::new(header, device))
                .collect::<std::result::Result<_, _>>()?,
            file,
        })
    }

    /// The path that was opened.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The file, to be checked before and after it is read.
    pub fn file(&self) -> &RangeFile {
        &self.file
    }

    /// The bytes of some rows, which must exist: in the map, or read into `buffer`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn rows<'a>(
        &'a self,
        tensor: &RowTensor,
        rows: Range<usize>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<&'a [u8]> {
        self.file.bytes(tensor.range(rows), buffer)
    }

    /// Ask the system to read some rows soon.
    pub fn advise(&self, tensor: &RowTensor, rows: Range<usize>) {
        self.file.advise(tensor.range(rows));
    }
}

impl Device {
    fn new(header: &Header, device: description::Device) -> std::result::Result<Self, String> {
        let name = format!("behavior.{}", device.name);
        let shape = [device.clock.num_samples, device.channels.len()];
        Ok(Self {
            values: find_rows(header, &name, &[Dtype::F32], shape)?,
            valid: find_intervals(header, &format!("valid.{}", device.name))?,
            name: device.name,
            clock: device.clock,
            channels: device.channels,
            mean: device.mean,
            std: device.std,
        })
    }
}

/// Find a tensor of one of some types.
pub(super) fn find_tensor<'a>(
    header: &'a Header,
    name: &str,
    dtypes: &[Dtype],
) -> std::result::Result<&'a Tensor, String> {
    let tensor = header.tensors.get(name);
    let tensor = tensor.ok_or_else(|| format!("tensor `{name}` is missing"))?;
    if !dtypes.contains(&tensor.dtype) {
        let found = tensor.dtype.name();
        return Err(format!(
            "tensor `{name}` has the type {found}, not {dtypes:?}"
        ));
    }
    Ok(tensor)
}

fn find_rows(
    header: &Header,
    name: &str,
    dtypes: &[Dtype],
    shape: [usize; 2],
) -> std::result::Result<RowTensor, String> {
    let tensor = find_tensor(header, name, dtypes)?;
    if tensor.shape != shape {
        let found = &tensor.shape;
        return Err(format!(
            "tensor `{name}` has shape {found:?}, its description {shape:?}"
        ));
    }
    Ok(RowTensor::new(tensor, shape[0], shape[1]))
}

fn find_intervals(header: &Header, name: &str) -> std::result::Result<RowTensor, String> {
    let tensor = find_tensor(header, name, &[Dtype::F64])?;
    match tensor.shape[..] {
        [rows, 2] => Ok(RowTensor::new(tensor, rows, 2)),
        _ => Err(format!(
            "tensor `{name}` has shape {:?}, not (intervals, 2)",
            tensor.shape
        )),
    }
}
