//! The one way out of the GIL: whatever touches a disk, waits or loops over samples goes through it.

use pyo3::prelude::*;

use crate::error::Result;

/// Run `work` without the GIL.
pub(super) fn released<T, W>(py: Python<'_>, work: W) -> PyResult<T>
where
    T: Send,
    W: FnOnce() -> Result<T> + Send,
{
    py.detach(work).map_err(PyErr::from)
}
