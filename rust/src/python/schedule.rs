//! The order of batches.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::slot::copy_numbers;
use crate::loader::schedule::{self, Sampling, SessionWindows};
use crate::loader::window_table::WindowTable;

/// The order of all batches: a pure function of sessions, seed and number.
#[pyclass(frozen, module = "omnimouse_cli._native")]
pub(super) struct Schedule(pub(super) Arc<schedule::Schedule>);

#[pymethods]
impl Schedule {
    #[new]
    #[pyo3(signature = (sessions, *, stride_samples, batch_size, seed, balanced))]
    fn new(
        sessions: Vec<(String, Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        stride_samples: u32,
        batch_size: u32,
        seed: u64,
        balanced: bool,
    ) -> PyResult<Self> {
        let mut checked = Vec::with_capacity(sessions.len());
        for (session, first, count) in sessions {
            let (first, count) = (
                copy_numbers("first", &first)?,
                copy_numbers("count", &count)?,
            );
            let table = WindowTable::new(&first, &count, stride_samples)
                .map_err(|why| PyValueError::new_err(format!("session {session}: {why}")))?;
            checked.push(SessionWindows::new(&session, table));
        }
        let sampling = if balanced {
            Sampling::Balanced
        } else {
            Sampling::Proportional
        };
        schedule::Schedule::new(checked, sampling, batch_size, seed)
            .map(|schedule| Self(Arc::new(schedule)))
            .map_err(PyValueError::new_err)
    }

    /// Number of batches until every window of the longest session (balanced) or of all sessions
    /// (proportional) is drawn once.
    #[getter]
    fn batches_per_epoch(&self) -> u64 {
        self.0.batches_per_epoch()
    }

    /// Index of the session of a batch, and the grid indices of its windows.
    fn batch(&self, number: u64) -> (usize, Vec<i64>) {
        let batch = self.0.position(number);
        let mut grid_indices = vec![0; self.0.num_windows()];
        self.0.windows(batch, &mut grid_indices);
        (batch.session, grid_indices)
    }

    /// The neurons of one window of a batch, ascending.
    fn neurons(
        &self,
        number: u64,
        window: u64,
        population: usize,
        count: usize,
    ) -> PyResult<Vec<i64>> {
        if count > population {
            let message = format!("`count` must be at most {population}: {count}");
            return Err(PyValueError::new_err(message));
        }
        let mut chosen = vec![0; count];
        let batch = self.0.position(number);
        self.0.neurons(batch, window, population, &mut chosen);
        Ok(chosen)
    }
}
