//! The background loader: slots go in, filled batches come out in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use super::gil::released;
use super::schedule::Schedule;
use super::session::Session;
use super::slot::{Memory, Slot};
use super::source::{Numbers, Source};
use crate::prefetch::Prefetcher;

/// A slot's memory on its way through the threads, and which slot it belongs to.
type Job = (u64, Memory);

/// One batch: its number, the index of its session, its neurons per window, and its slot.
type Batch = (u64, usize, usize, Py<Slot>);

/// Threads that fill slots ahead of their reader.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct Loader {
    // Declared before the slots, so that the threads have ended when the slots are dropped.
    prefetcher: Option<Prefetcher<Job, (usize, usize)>>,
    slots: BTreeMap<u64, Py<Slot>>,
    num_given: u64,
    numbers: Numbers,
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
            let message = "a loader needs a step, and the sessions of its schedule";
            return Err(PyValueError::new_err(message));
        }
        let numbers = Numbers {
            first: first_batch,
            step,
        };
        let source = Source::new(schedule, sessions, max_neurons, numbers, read_ahead_bytes);
        let prefetcher = Prefetcher::new(threads, move |ticket, job: &mut Job| {
            source.fill(ticket, &mut job.1)
        })?;
        Ok(Self {
            prefetcher: Some(prefetcher),
            slots: BTreeMap::new(),
            num_given: 0,
            numbers,
        })
    }

    /// Give a slot to be filled; its arrays must not be touched until it comes back.
    fn give(&mut self, slot: Py<Slot>, py: Python<'_>) -> PyResult<()> {
        let prefetcher = running(self.prefetcher.as_ref())?;
        let memory = slot.borrow_mut(py).take()?;
        let identity = self.num_given;
        self.num_given += 1;
        self.slots.insert(identity, slot);
        prefetcher.give((identity, memory));
        Ok(())
    }

    /// Wait for the next batch; None when the time passes first.
    fn take(&mut self, timeout_seconds: f64, py: Python<'_>) -> PyResult<Option<Batch>> {
        let prefetcher = running(self.prefetcher.as_ref())?;
        let timeout = Duration::try_from_secs_f64(timeout_seconds)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let Some(delivery) = released(py, || Ok(prefetcher.take(timeout)))? else {
            return Ok(None);
        };
        let (identity, memory) = delivery.slot;
        let slot = self.slots.remove(&identity);
        let slot = slot.ok_or_else(|| PyRuntimeError::new_err("a slot came back twice"))?;
        slot.borrow_mut(py).put(memory);
        let (session, num_neurons) = delivery.result?;
        Ok(Some((
            self.numbers.at(delivery.ticket),
            session,
            num_neurons,
            slot,
        )))
    }

    /// End the threads and let go of the slots.
    fn close(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Some(prefetcher) = self.prefetcher.take() {
            released(py, move || {
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
        let message = "the loader's threads did not survive a fork";
        Err(PyRuntimeError::new_err(message))
    }
}
