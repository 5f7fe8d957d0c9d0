//! Rows of numbers in memory that Python allocated.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Rows of float32 that a Python object exports for reading, each without gaps.
pub(crate) struct ExportedRows(PyBuffer<f32>);

impl ExportedRows {
    /// Take the memory of `object`, which must have two dimensions and no gaps in its rows.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<f32>::get(object)
            .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))?;
        let is_aligned = buffer.buf_ptr().cast::<f32>().is_aligned();
        let has_rows = match (buffer.shape(), buffer.strides()) {
            ([rows, columns], [step, inner]) => {
                let touching = isize::try_from(4 * *columns).is_ok_and(|row| *step >= row);
                (*columns <= 1 || *inner == 4) && (*rows <= 1 || touching && step % 4 == 0)
            }
            _ => false,
        };
        if !has_rows || !is_aligned {
            let message = format!("`{name}` must be rows of numbers side by side");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.0.shape()[0], self.0.shape()[1])
    }

    /// Numbers from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        let (rows, columns) = self.shape();
        let step = usize::try_from(self.0.strides()[0]).unwrap_or(0) / 4;
        if rows <= 1 { columns } else { step }
    }

    /// From the first number of the first row to the last of the last row.
    pub(crate) fn as_slice(&self) -> &[f32] {
        let (rows, columns) = self.shape();
        if rows == 0 || columns == 0 {
            return &[];
        }
        let length = (rows - 1) * self.stride() + columns;
        let start = self.0.buf_ptr().cast::<f32>().cast_const();
        // SAFETY: shape and strides, checked at construction, say that the exporter's memory
        // reaches from the first row's first number to the last row's last, aligned; it stays
        // in place until the buffer is released, which `self` prevents. Nobody writes
        // meanwhile: `native.py` of `kernels/dendrite`, `rows` and `products` pass outputs that
        // they have just allocated, and torch's own rule forbids changing a tensor that is in use;
        // `omnimouse_cli/shard/responses.py` passes a block that it has just read.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}
