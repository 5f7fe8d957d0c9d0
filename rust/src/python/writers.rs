//! Writers of tensors that Python passes in block by block.

use std::os::fd::RawFd;

use pyo3::buffer::Element;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::gil::without_gil;
use crate::memory::{ByteArray, RowArray, WritableArray, duplicate_descriptor};
use crate::window::backend::Backend;
use crate::write;
use crate::write::encode::{Encoder, StoredType};
use crate::write::file_writer::FileWriter;

/// Writes bytes and computes their checksum.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct ByteWriter(FileWriter);

#[pymethods]
impl ByteWriter {
    #[new]
    #[pyo3(signature = (descriptor, *, first_byte))]
    fn new(descriptor: RawFd, first_byte: u64) -> PyResult<Self> {
        let file = duplicate_descriptor(descriptor)?;
        Ok(Self(FileWriter::new(file, first_byte, 0)?))
    }

    /// Write the next bytes.
    #[pyo3(signature = (data, /))]
    fn write(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = ByteArray::new("data", data)?;
        without_gil(py, || {
            let mut buffer = self.0.buffer();
            buffer.clear();
            buffer.extend_from_slice(data.as_slice());
            self.0.write(buffer)
        })
    }

    /// Wait until all is written; returns the checksum as hexadecimal digits.
    fn finish(&mut self, py: Python<'_>) -> PyResult<String> {
        without_gil(py, || self.0.finish())
    }
}

/// Encodes and writes rows of responses, with their checksum and statistics.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct ResponseEncoder {
    writer: write::ResponseWriter,
    num_columns: usize,
}

#[pymethods]
impl ResponseEncoder {
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
        let stored_type = match dtype {
            "float16" => StoredType::F16,
            "bfloat16" => StoredType::Bf16,
            "float32" => StoredType::F32,
            _ => {
                let message = format!("`dtype` must be float16, bfloat16 or float32: {dtype}");
                return Err(PyValueError::new_err(message));
            }
        };
        let encoder = Encoder::new(Backend::choose(portable), stored_type, num_columns);
        let file = duplicate_descriptor(descriptor)?;
        let writer = write::ResponseWriter::new(encoder, file, first_byte, expected_rows)?;
        Ok(Self {
            writer,
            num_columns,
        })
    }

    /// Write a block; returns row and column of the first number that is too large.
    fn write(
        &mut self,
        py: Python<'_>,
        rows: &Bound<'_, PyAny>,
        is_counted: &Bound<'_, PyAny>,
        is_finite: &Bound<'_, PyAny>,
    ) -> PyResult<Option<(usize, usize)>> {
        let rows = RowArray::new("rows", rows)?;
        let is_counted = WritableArray::<u8>::new("is_counted", is_counted)?;
        let mut is_finite = WritableArray::<u8>::new("is_finite", is_finite)?;
        let (num_rows, num_columns) = rows.shape();
        if num_columns != self.num_columns || rows.stride() != num_columns {
            let required = self.num_columns;
            let message = format!("`rows` must have {required} columns and no gaps");
            return Err(PyValueError::new_err(message));
        }
        if is_counted.as_slice().len() != num_rows || is_finite.as_slice().len() != num_rows {
            let message = format!("`is_counted` and `is_finite` must have {num_rows} numbers");
            return Err(PyValueError::new_err(message));
        }
        without_gil(py, || {
            let is_counted = is_counted.as_slice();
            self.writer
                .write(rows.as_slice(), is_counted, is_finite.as_mut_slice())
        })
    }

    /// Wait until all is written; returns the checksum as hexadecimal digits.
    fn finish(&mut self, py: Python<'_>) -> PyResult<String> {
        without_gil(py, || self.writer.finish())
    }

    /// Write the statistics of the columns; returns the number of finite rows, how many of them
    /// are counted, and whether any number is below zero.
    fn statistics(
        &mut self,
        mean: &Bound<'_, PyAny>,
        squares: &Bound<'_, PyAny>,
        square_error: &Bound<'_, PyAny>,
        largest_error: &Bound<'_, PyAny>,
    ) -> PyResult<(u64, u64, bool)> {
        let statistics = self.writer.statistics();
        copy("mean", mean, &statistics.mean)?;
        copy("squares", squares, &statistics.squares)?;
        copy("square_error", square_error, &statistics.square_error)?;
        copy("largest_error", largest_error, &statistics.largest_error)?;
        Ok((
            statistics.num_finite,
            statistics.num_counted,
            statistics.has_negative,
        ))
    }
}

fn copy<T: Element>(name: &str, object: &Bound<'_, PyAny>, values: &[T]) -> PyResult<()> {
    let mut array = WritableArray::<T>::new(name, object)?;
    let array = array.as_mut_slice();
    if array.len() != values.len() {
        let message = format!("`{name}` must have {} numbers", values.len());
        return Err(PyValueError::new_err(message));
    }
    array.copy_from_slice(values);
    Ok(())
}
