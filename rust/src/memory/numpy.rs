//! `NumPy` arrays, bytes and file descriptors that Python passes in, as slices and files of Rust.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A contiguous, writable array; its memory stays in place for as long as this lives.
pub(crate) struct WritableArray<T: Element>(PyBuffer<T>);

impl<T: Element> WritableArray<T> {
    /// Borrow the memory of `object`.
    ///
    /// # Errors
    /// It is not contiguous, not writable or of another type than `T`; the text names the argument.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = get_buffer(name, object)?;
        if buffer.readonly() || !buffer.is_c_contiguous() {
            let message = format!("`{name}` must be contiguous and writable");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// The values.
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

    /// The values, for writing.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        match self.0.as_slice_ptr() {
            // SAFETY: as above, with `&mut self` in place of `&self`; that the memory is
            // writable was checked at construction.
            Some(mut memory) => unsafe { memory.as_mut() },
            None => &mut [],
        }
    }
}

/// Contiguous bytes for reading: `bytes` or an array of uint8.
pub(crate) struct ByteArray(PyBuffer<u8>);

impl ByteArray {
    /// Borrow the memory of `object`.
    ///
    /// # Errors
    /// It is not contiguous, or not bytes; the text names the argument.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = get_buffer(name, object)?;
        if !buffer.is_c_contiguous() {
            let message = format!("`{name}` must be contiguous");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// The bytes.
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

/// A float32 array `(rows, columns)` for reading; each row is contiguous, rows may lie apart.
pub(crate) struct RowArray(PyBuffer<f32>);

impl RowArray {
    /// Borrow the memory of `object`.
    ///
    /// # Errors
    /// It has not two dimensions, or gaps within its rows; the text names the argument.
    pub(crate) fn new(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let buffer = get_buffer::<f32>(name, object)?;
        let is_aligned = buffer.buf_ptr().cast::<f32>().is_aligned();
        let has_rows = match (buffer.shape(), buffer.strides()) {
            ([rows, columns], [step, inner]) => {
                let is_apart = isize::try_from(4 * *columns).is_ok_and(|row| *step >= row);
                (*columns <= 1 || *inner == 4) && (*rows <= 1 || is_apart && step % 4 == 0)
            }
            _ => false,
        };
        if !has_rows || !is_aligned {
            let message = format!("`{name}` must have two dimensions and contiguous rows");
            return Err(PyValueError::new_err(message));
        }
        Ok(Self(buffer))
    }

    /// Rows and columns.
    pub(crate) fn shape(&self) -> (usize, usize) {
        (self.0.shape()[0], self.0.shape()[1])
    }

    /// Numbers from the start of one row to the start of the next.
    pub(crate) fn stride(&self) -> usize {
        let (rows, columns) = self.shape();
        let step = usize::try_from(self.0.strides()[0]).unwrap_or(0) / 4;
        if rows <= 1 { columns } else { step }
    }

    /// All numbers from the first of the first row to the last of the last row.
    pub(crate) fn as_slice(&self) -> &[f32] {
        let (rows, columns) = self.shape();
        if rows == 0 || columns == 0 {
            return &[];
        }
        let length = (rows - 1) * self.stride() + columns;
        let start = self.0.buf_ptr().cast::<f32>().cast_const();
        // SAFETY: shape and strides, checked at construction, state that the exporter's memory
        // reaches from the first row's first number to the last row's last, aligned; it stays
        // in place until the buffer is released, which `self` prevents. Nobody writes
        // meanwhile: `omnimouse_cli/kernels/dendrite/native.py` passes outputs that it has just
        // allocated, and torch's own rule forbids changing a tensor that is in use;
        // `omnimouse_cli/shard/responses.py` passes a block that it has just read.
        unsafe { std::slice::from_raw_parts(start, length) }
    }
}

fn get_buffer<T: Element>(name: &str, object: &Bound<'_, PyAny>) -> PyResult<PyBuffer<T>> {
    PyBuffer::get(object).map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))
}

/// Duplicate the descriptor of a file that Python has open, so that it may be closed there.
///
/// # Errors
/// The number is negative, or the system has no more descriptors.
pub(crate) fn duplicate_descriptor(descriptor: RawFd) -> PyResult<File> {
    if descriptor < 0 {
        let message = format!("`descriptor` must be that of an open file: {descriptor}");
        return Err(PyValueError::new_err(message));
    }
    // SAFETY: the number is not negative; that a file is open under it for as long as this call
    // is guaranteed by `omnimouse_cli/shard/write.py`, which passes the descriptor of its stream.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}
