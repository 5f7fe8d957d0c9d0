//! The face that Python sees: each file converts one class, and computes nothing itself.

mod checksum;
mod dendrite;
mod dendrite_table;
mod entry;
mod gil;
mod heads;
mod keys;
mod loader;
mod rows;
mod schedule;
mod session;
mod slot;
mod source;
mod stream;
mod update;
mod weights;

use pyo3::prelude::*;

use crate::exceptions::ShardFormatError;

/// Shards, written and memory-mapped, the background loader, dendritic units, products and work on rows.
#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::checksum::Checksum;
    #[pymodule_export]
    use super::dendrite::{dendrite_backward, dendrite_forward};
    #[pymodule_export]
    use super::dendrite_table::{dendrite_table_backward, dendrite_table_forward};
    #[pymodule_export]
    use super::entry::{entry_backward, entry_forward};
    #[pymodule_export]
    use super::keys::{keys_backward, keys_forward};
    #[pymodule_export]
    use super::loader::Loader;
    #[pymodule_export]
    use super::rows::{gate_backward, gate_forward, norm_backward, norm_forward};
    #[pymodule_export]
    use super::schedule::Schedule;
    #[pymodule_export]
    use super::session::{Session, Shard};
    #[pymodule_export]
    use super::slot::Slot;
    #[pymodule_export]
    use super::stream::{ByteStream, ResponseStream};
    #[pymodule_export]
    use super::update::{update_backward, update_forward};

    use super::{Bound, PyModule, PyModuleMethods, PyResult, ShardFormatError};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let class = module.py().get_type::<ShardFormatError>();
        module.add("ShardFormatError", class)
    }
}
