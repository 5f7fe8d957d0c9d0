//! Rows of numbers by item, head and token, in memory that Python allocated.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

const AXES: usize = 4;

/// Four dimensions of float32 that a Python object exports for reading, the last one without gaps.
pub(crate) struct ExportedHeads(PyBuffer<f32>);

impl ExportedHeads {
    /// Take the memory of `object`; its dimensions but the last may have any step forward.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<f32>::get(object)
            .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))?;
        let is_aligned = buffer.buf_ptr().cast::<f32>().is_aligned();
        let (shape, steps) = (buffer.shape(), buffer.strides());
        let has_rows = shape.len() == AXES
            && steps.iter().all(|step| *step >= 0 && step % 4 == 0)
            && (shape[AXES - 1] <= 1 || steps[AXES - 1] == 4);
        if !has_rows || !is_aligned {
            let message = format!("`{name}` must be four-dimensional, with rows without gaps");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// Items, heads, tokens and the width of a head.
    pub(crate) fn shape(&self) -> [usize; AXES] {
        std::array::from_fn(|axis| self.0.shape()[axis])
    }

    /// Numbers from one item, head and token to the next.
    pub(crate) fn strides(&self) -> [usize; AXES - 1] {
        std::array::from_fn(|axis| usize::try_from(self.0.strides()[axis]).unwrap_or(0) / 4)
    }

    /// From the first number to the last.
    pub(crate) fn as_slice(&self) -> &[f32] {
        let shape = self.shape();
        if shape.contains(&0) {
            return &[];
        }
        let strides = self.strides();
        let last: usize = (0..AXES - 1)
            .map(|axis| (shape[axis] - 1) * strides[axis])
            .sum();
        let start = self.0.buf_ptr().cast::<f32>().cast_const();
        // SAFETY: shape and strides, checked at construction, say that the exporter's memory
        // reaches from the first number, which is that at the lowest address as no step is
        // backward, to the last number of the last row, aligned; it stays in place until the
        // buffer is released, which `self` prevents. Nobody writes meanwhile:
        // `native.py` of `kernels/products` and `keys.py` of `kernels/attention` pass outputs that
        // they have just allocated, and torch's own rule forbids changing a tensor in use.
        unsafe { std::slice::from_raw_parts(start, last + shape[AXES - 1]) }
    }
}
