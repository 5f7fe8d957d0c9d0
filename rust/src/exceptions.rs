//! The exceptions that Python sees.

use pyo3::create_exception;
use pyo3::exceptions::PyValueError;

create_exception!(
    omnimouse_cli._native,
    ShardFormatError,
    PyValueError,
    "A file that is no shard, damaged or cut short; the text names file and reason."
);
create_exception!(
    omnimouse_cli._native,
    LaterVersionError,
    ShardFormatError,
    "A shard of a later format version; the text names the file and both versions."
);
