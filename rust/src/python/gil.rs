//! Releasing the GIL, for everything that touches a disk, waits or loops over samples.

use pyo3::prelude::*;

use crate::error::Result;

/// Run `work` without the GIL.
pub(super) fn without_gil<T, W>(py: Python<'_>, work: W) -> PyResult<T>
where
    T: Send,
    W: FnOnce() -> Result<T> + Send,
{
    py.detach(work).map_err(PyErr::from)
}
