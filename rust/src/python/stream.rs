//! Tensors on their way into a shard, as Python hands them over block by block.

use std::os::fd::RawFd;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::gil::released;
use crate::encode::{Encoder, Kind};
use crate::lines::Path;
use crate::memory::{Exported, ExportedBytes, ExportedRows, opened_by_python};
use crate::sink::Sink;
use crate::stream::RowStream;

/// Writes and sums bytes.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct ByteStream(Sink);

#[pymethods]
impl ByteStream {
    #[new]
    #[pyo3(signature = (descriptor, *, first_byte))]
    fn new(descriptor: RawFd, first_byte: u64) -> PyResult<Self> {
        Ok(Self(Sink::new(
            opened_by_python(descriptor)?,
            first_byte,
            0,
        )?))
    }

    /// Write bytes after those before.
    #[pyo3(signature = (data, /))]
    fn write(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = ExportedBytes::new("data", data)?;
        released(py, || {
            let mut buffer = self.0.buffer();
            buffer.clear();
            buffer.extend_from_slice(data.as_slice());
            self.0.write(buffer)
        })
    }

    /// Wait for the checksum of all that was written.
    fn finish(&mut self, py: Python<'_>) -> PyResult<String> {
        released(py, || self.0.finish())
    }
}

/// Encodes, writes and sums rows of responses, and remembers what they tell.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct ResponseStream {
    stream: RowStream,
    num_columns: usize,
}

#[pymethods]
impl ResponseStream {
    #[new]
    #[pyo3(signature = (
        descriptor, *, first_byte, dtype, num_columns, expected_rows=0, portable=false
    ))]
    fn new(
        descriptor: RawFd,
        first_byte: u64,
        dtype: &str,
        num_columns: usize,
        expected_rows: u64,
        portable: bool,
    ) -> PyResult<Self> {
        let kind = match dtype {
            "float16" => Kind::F16,
            "bfloat16" => Kind::Bf16,
            "float32" => Kind::F32,
            _ => return Err(wrong(format!("responses are not stored as {dtype}"))),
        };
        let path = if portable {
            Path::Portable
        } else {
            Path::best()
        };
        let encoder = Encoder::new(path, kind, num_columns);
        let file = opened_by_python(descriptor)?;
        let stream = RowStream::new(encoder, file, first_byte, expected_rows)?;
        Ok(Self {
            stream,
            num_columns,
        })
    }

    /// Store a block; gives row and column of the first number that does not fit.
    fn feed(
        &mut self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        counted: &Bound<'_, PyAny>,
        finite: &Bound<'_, PyAny>,
    ) -> PyResult<Option<(usize, usize)>> {
        let rows = ExportedRows::new("rows", rows)?;
        let counted = Exported::<u8>::new("counted", counted)?;
        let mut finite = Exported::<u8>::new("finite", finite)?;
        let (num_rows, num_columns) = rows.shape();
        if num_columns != self.num_columns || rows.stride() != num_columns {
            let wanted = self.num_columns;
            return Err(wrong(format!(
                "`rows` must have {wanted} columns and no gaps"
            )));
        }
        if counted.as_slice().len() != num_rows || finite.as_slice().len() != num_rows {
            let message = format!("`counted` and `finite` must have {num_rows} numbers");
            return Err(wrong(message));
        }
        released(py, || {
            let counted = counted.as_slice();
            self.stream
                .feed(rows.as_slice(), counted, finite.as_mut_slice())
        })
    }

    /// Wait for the checksum of all that was stored.
    fn finish(&mut self, py: Python<'_>) -> PyResult<String> {
        released(py, || self.stream.finish())
    }

    /// Write what the columns have told; gives the rows that are finite, those of them that
    /// count, and whether any number is below zero.
    fn facts(
        &mut self,
        mean: &Bound<'_, PyAny>,
        squares: &Bound<'_, PyAny>,
        square_error: &Bound<'_, PyAny>,
        largest_error: &Bound<'_, PyAny>,
    ) -> PyResult<(u64, u64, bool)> {
        let facts = self.stream.facts();
        copy("mean", mean, facts.mean)?;
        copy("squares", squares, facts.squares)?;
        copy("square_error", square_error, facts.square_error)?;
        copy("largest_error", largest_error, &facts.largest_error)?;
        Ok((facts.num_finite, facts.num_counted, facts.negative))
    }
}

fn copy<T: pyo3::buffer::Element>(
    name: &str,
    object: &Bound<'_, PyAny>,
    values: &[T],
) -> PyResult<()> {
    let mut array = Exported::<T>::new(name, object)?;
    let array = array.as_mut_slice();
    if array.len() != values.len() {
        let wanted = values.len();
        return Err(wrong(format!("`{name}` must have {wanted} numbers")));
    }
    array.copy_from_slice(values);
    Ok(())
}

fn wrong(message: String) -> PyErr {
    PyValueError::new_err(message)
}
