//! The classes and functions that Python sees; they convert arguments and results.

mod checksum;
mod dendrite;
mod gil;
mod loader;
mod schedule;
mod session;
mod slot;
mod writers;

use pyo3::prelude::*;

use crate::exceptions::{LaterVersionError, ShardFormatError};

/// Shards, read and written, the background loader and the dendritic function.
#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::checksum::Checksum;
    #[pymodule_export]
    use super::dendrite::{dendrite_backward, dendrite_forward};
    #[pymodule_export]
    use super::loader::Loader;
    #[pymodule_export]
    use super::schedule::Schedule;
    #[pymodule_export]
    use super::session::{Session, Shard, read_header};
    #[pymodule_export]
    use super::slot::Slot;
    #[pymodule_export]
    use super::writers::{ByteWriter, ResponseEncoder};

    use super::{Bound, LaterVersionError, PyModule, PyModuleMethods, PyResult, ShardFormatError};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        module.add("ShardFormatError", py.get_type::<ShardFormatError>())?;
        module.add("LaterVersionError", py.get_type::<LaterVersionError>())
    }
}
