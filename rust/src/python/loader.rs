//! The background loader: slots are submitted, filled batches are received in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::gil::without_gil;
use super::schedule::Schedule;
use super::session::Session;
use super::slot::{BatchArrays, Slot};
use crate::loader::batch::{BatchNumbers, BatchSource};
use crate::loader::prefetch::Prefetcher;

/// The identity of a slot, and its arrays.
type Job = (u64, BatchArrays);

/// One batch: its number, the index of its session, its neurons per window, and its slot.
type Batch = (u64, usize, usize, Py<Slot>);

/// Threads that fill slots ahead of their reader.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct Loader {
    // Declared before the slots, so that the threads have ended when the slots are dropped.
    prefetcher: Option<Prefetcher<Job, (usize, usize)>>,
    slots: BTreeMap<u64, Py<Slot>>,
    num_submitted: u64,
    numbers: BatchNumbers,
}

#[pymethods]
impl Loader {
    #[new]
    #[pyo3(signature = (
        schedule, sessions, *, max_neurons, first_batch, step, threads, read_ahead_bytes=0
    ))]
    fn new(
        schedule: &Bound<'_, Schedule>,
        sessions: Vec<Py<Session>>,
        max_neurons: usize,
        first_batch: u64,
        step: u64,
        threads: usize,
        read_ahead_bytes: u64,
    ) -> PyResult<Self> {
        let schedule = Arc::clone(&schedule.get().0);
        let sessions: Vec<_> = sessions
            .into_iter()
            .map(|session| Arc::clone(&session.get().0))
            .collect();
        if sessions.len() != schedule.num_sessions() || step == 0 {
            let message = "`step` must be positive, and `sessions` those of the schedule";
            return Err(PyValueError::new_err(message));
        }
        let numbers = BatchNumbers {
            first: first_batch,
            step,
        };
        let source = BatchSource::new(schedule, sessions, max_neurons, numbers, read_ahead_bytes);
        let prefetcher = Prefetcher::new(threads, move |ticket, job: &mut Job| {
            source.fill(ticket, &mut job.1.memory())
        })?;
        Ok(Self {
            prefetcher: Some(prefetcher),
            slots: BTreeMap::new(),
            num_submitted: 0,
            numbers,
        })
    }

    /// Submit a slot to be filled; its arrays must not be used until it is received again.
    fn submit(&mut self, slot: Py<Slot>, py: Python<'_>) -> PyResult<()> {
        let prefetcher = running(self.prefetcher.as_ref())?;
        let arrays = slot.borrow_mut(py).take()?;
        let identity = self.num_submitted;
        self.num_submitted += 1;
        self.slots.insert(identity, slot);
        prefetcher.submit((identity, arrays));
        Ok(())
    }

    /// Wait for the next batch; None when the time passes first.
    fn receive(&mut self, timeout_seconds: f64, py: Python<'_>) -> PyResult<Option<Batch>> {
        let prefetcher = running(self.prefetcher.as_ref())?;
        let timeout = Duration::try_from_secs_f64(timeout_seconds)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let Some(delivery) = without_gil(py, || Ok(prefetcher.receive(timeout)))? else {
            return Ok(None);
        };
        let (identity, arrays) = delivery.slot;
        let slot = self.slots.remove(&identity);
        let slot = slot.ok_or_else(|| PyRuntimeError::new_err("a slot was received twice"))?;
        slot.borrow_mut(py).put(arrays);
        let (session, num_neurons) = delivery.result?;
        Ok(Some((
            self.numbers.at(delivery.ticket),
            session,
            num_neurons,
            slot,
        )))
    }

    /// Join the threads and release the slots.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Some(prefetcher) = self.prefetcher.take() {
            without_gil(py, move || {
                drop(prefetcher);
                Ok(())
            })?;
        }
        self.slots.clear();
        Ok(())
    }
}

fn running<T: Send + 'static>(
    prefetcher: Option<&Prefetcher<Job, T>>,
) -> PyResult<&Prefetcher<Job, T>> {
    let prefetcher = prefetcher.ok_or_else(|| PyRuntimeError::new_err("the loader is closed"))?;
    if prefetcher.is_owner() {
        Ok(prefetcher)
    } else {
        let message = "the loader was made in another process, before a fork";
        Err(PyRuntimeError::new_err(message))
    }
}
