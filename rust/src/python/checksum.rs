//! The checksum of bytes that Python passes in.

use pyo3::prelude::*;

use super::gil::without_gil;
use crate::format::checksum::{self, CHECKSUM_BYTES};
use crate::memory::ByteArray;

/// A running checksum of bytes that come in order.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct Checksum(checksum::Checksum);

#[pymethods]
impl Checksum {
    #[new]
    fn new() -> Self {
        Self(checksum::Checksum::default())
    }

    /// Add bytes.
    #[pyo3(signature = (data, /))]
    fn update(&mut self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = ByteArray::new("data", data)?;
        without_gil(py, || {
            self.0.update(data.as_slice());
            Ok(())
        })
    }

    /// The checksum of all bytes added so far.
    fn digest(&self) -> [u8; CHECKSUM_BYTES] {
        self.0.bytes()
    }

    /// The checksum in hexadecimal digits.
    fn hexdigest(&self) -> String {
        self.0.digits()
    }
}
