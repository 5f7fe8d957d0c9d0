//! Files that Python opened.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Another handle of a file that Python has open, which stays open as long as this one.
pub(crate) fn opened_by_python(descriptor: RawFd) -> PyResult<File> {
    if descriptor < 0 {
        let message = format!("`descriptor` must be that of an open file: {descriptor}");
        return Err(PyValueError::new_err(message));
    }
    // SAFETY: the number is not negative; that a file is open under it for as long as this call
    // is promised by `omnimouse_cli/shard/write.py`, which asks its stream for it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
    Ok(File::from(borrowed.try_clone_to_owned()?))
}
