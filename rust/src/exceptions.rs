//! The exceptions that Python sees.

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;

create_exception!(
    omnimouse_cli._native,
    ShardFormatError,
    PyValueError,
    "A shard that is damaged, cut short or of another version; the text names file and reason."
);
