//! The checksum of bytes that Python holds.

use pyo3::prelude::*;

use super::gil::released;
use crate::checksum::{CHECKSUM_BYTES, Checksum as Sum};
use crate::memory::ExportedBytes;

/// Takes the checksum of bytes that come in order.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct Checksum(Sum);

#[pymethods]
impl Checksum {
    #[new]
    fn new() -> Self {
        Self(Sum::default())
    }

    /// Add bytes.
    #[pyo3(signature = (data, /))]
    fn update(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = ExportedBytes::new("data", data)?;
        released(py, || {
            self.0.update(data.as_slice());
            Ok(())
        })
    }

    /// The checksum of all bytes until now.
    fn digest(&self) -> [u8; CHECKSUM_BYTES] {
        self.0.bytes()
    }

    /// The same in hexadecimal digits.
    fn hexdigest(&self) -> String {
        self.0.digits()
    }
}
