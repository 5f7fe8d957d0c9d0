//! Arrays and bytes that Python allocated, as Rust's slices.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Memory that a Python object exports for writing, held for as long as this lives.
pub(crate) struct Exported<T: Element>(PyBuffer<T>);

impl<T: Element> Exported<T> {
    /// Take the memory of `object`, which must be contiguous, writable and of type `T`.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<T>::get(object)
            .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            let message = format!("`{name}` must be contiguous and writable");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// The memory.
    pub(crate) fn as_slice(&self) -> &[T] {
        match self.0.as_slice_ptr() {
            // SAFETY: the exporter keeps the memory in place until the buffer is released,
            // which `self` prevents. Nobody writes meanwhile: within this crate `&self`
            // excludes it, `omnimouse_cli/batch/loader.py` hands a slot's memory to its callers
            // only while the slot is not with the loader, and `omnimouse_cli/shard/responses.py`
            // passes arrays that nobody else has.
            Some(memory) => unsafe { memory.as_ref() },
            None => &[],
        }
    }

    /// The memory, for writing.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match self.0.as_slice_ptr() {
            // SAFETY: as above, with `&mut self` in place of `&self`; that the memory is
            // writable was checked at construction.
            Some(mut memory) => unsafe { memory.as_mut() },
            None => &mut [],
        }
    }
}

/// Bytes that a Python object exports for reading, held for as long as this lives.
pub(crate) struct ExportedBytes(PyBuffer<u8>);

impl ExportedBytes {
    /// Take the memory of `object`, which must be contiguous bytes: `bytes`, an array of uint8, ...
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = PyBuffer::<u8>::get(object)
            .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))?;
        if !buffer.is_c_contiguous() {
            let message = format!("`{name}` must be contiguous");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// The memory.
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self.0.as_slice_ptr() {
            // SAFETY: the exporter keeps the memory in place until the buffer is released, which
            // `self` prevents. Nobody writes meanwhile: `omnimouse_cli/shard/screen.py` passes
            // frames that it has just read and that nobody else has, and others pass `bytes`.
            Some(memory) => unsafe { memory.as_ref() },
            None => &[],
        }
    }
}
