//! The order of batches, as Python may ask for it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::slot::numbers;
use crate::schedule::{self, Sampling, Source};
use crate::table::WindowTable;

/// The order of all batches: a pure function of sessions, seed and number.
#[pyclass(frozen, module = "omnimouse_cli._native")]
pub(super) struct Schedule(pub(super) Arc<schedule::Schedule>);

#[pymethods]
impl Schedule {
    #[new]
    #[pyo3(signature = (sources, *, stride_samples, batch_size, seed, balanced))]
    fn new(
        sources: Vec<(String, Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        stride_samples: u32,
        batch_size: u32,
        seed: u64,
        balanced: bool,
    ) -> PyResult<Self> {
        let mut checked = Vec::with_capacity(sources.len());
        for (session, first, count) in sources {
            let (first, count) = (numbers("first", &first)?, numbers("count", &count)?);
            let table = WindowTable::new(&first, &count, stride_samples)
                .map_err(|why| PyValueError::new_err(format!("session {session}: {why}")))?;
            checked.push(Source::new(&session, table));
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

    /// Batches in which the longest session (balanced) or all (proportional) are drawn once.
    #[getter]
    fn batches_per_epoch(&self) -> u64 {
        self.0.batches_per_epoch()
    }

    /// Which session a batch is of, and the grid indices of its windows.
    fn batch(&self, number: u64) -> (usize, Vec<i64>) {
        let place = self.0.place(number);
        let mut grid_indices = vec![0; window_count(&self.0)];
        self.0.windows(place, &mut grid_indices);
        (place.session, grid_indices)
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
        let place = self.0.place(number);
        self.0.neurons(place, window, population, &mut chosen);
        Ok(chosen)
    }
}

/// Windows of a batch.
pub(super) fn window_count(schedule: &schedule::Schedule) -> usize {
    usize::try_from(schedule.batch_size()).expect("batches fit into memory")
}
