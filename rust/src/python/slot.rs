//! Memory for one batch, allocated by Python and filled here.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::memory::Exported;
use crate::window::{Output, Session};

/// The memory of one batch.
pub(super) struct Memory {
    pub(super) grid_indices: Exported<i64>,
    pub(super) neuron_index: Exported<i64>,
    responses: Exported<f32>,
    video: Option<Exported<f32>>,
    behavior: Option<Exported<f32>>,
}

impl Memory {
    /// Assemble the first `num_windows` of the batch's windows, of `num_neurons` columns each.
    pub(super) fn assemble(
        &mut self,
        session: &Session,
        num_windows: usize,
        num_neurons: usize,
    ) -> Result<()> {
        let lengths = session.lengths(num_neurons);
        let grid_indices = first(self.grid_indices.as_slice(), num_windows, "grid_indices")?;
        let neurons = num_windows * num_neurons;
        let neuron_index = first(self.neuron_index.as_slice(), neurons, "neuron_index")?;
        let memory = self.responses.as_mut_slice();
        let responses = first_mut(memory, num_windows * lengths.responses, "responses")?;
        let memory = optional(&mut self.video);
        let video = first_mut(memory, num_windows * lengths.video, "video")?;
        let memory = optional(&mut self.behavior);
        let behavior = first_mut(memory, num_windows * lengths.behavior, "behavior")?;
        for grid_index in grid_indices {
            session.advise(*grid_index);
        }
        for (window, grid_index) in grid_indices.iter().enumerate() {
            let part = |length: usize| window * length..(window + 1) * length;
            let mut output = Output {
                responses: &mut responses[part(lengths.responses)],
                video: &mut video[part(lengths.video)],
                behavior: &mut behavior[part(lengths.behavior)],
            };
            session.assemble(*grid_index, &neuron_index[part(num_neurons)], &mut output)?;
        }
        Ok(())
    }
}

/// Memory for one batch: arrays that Python allocated.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct Slot {
    memory: Option<Memory>,
}

impl Slot {
    /// Take the memory away, until it is put back.
    pub(super) fn take(&mut self) -> PyResult<Memory> {
        self.memory
            .take()
            .ok_or_else(|| PyValueError::new_err("the slot is with a loader already"))
    }

    /// Put the memory back.
    pub(super) fn put(&mut self, memory: Memory) {
        self.memory = Some(memory);
    }
}

#[pymethods]
impl Slot {
    #[new]
    #[pyo3(signature = (*, grid_indices, neuron_index, responses, video=None, behavior=None))]
    fn new(
        grid_indices: &Bound<'_, PyAny>,
        neuron_index: &Bound<'_, PyAny>,
        responses: &Bound<'_, PyAny>,
        video: Option<&Bound<'_, PyAny>>,
        behavior: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let memory = Memory {
            grid_indices: Exported::new("grid_indices", grid_indices)?,
            neuron_index: Exported::new("neuron_index", neuron_index)?,
            responses: Exported::new("responses", responses)?,
            video: video
                .map(|object| Exported::new("video", object))
                .transpose()?,
            behavior: behavior
                .map(|object| Exported::new("behavior", object))
                .transpose()?,
        };
        Ok(Self {
            memory: Some(memory),
        })
    }
}

/// Copy the numbers of an array.
pub(super) fn numbers<T: Element>(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    PyBuffer::<T>::get(object)
        .and_then(|buffer| buffer.to_vec(object.py()))
        .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))
}

fn optional(memory: &mut Option<Exported<f32>>) -> &mut [f32] {
    memory.as_mut().map_or(&mut [], Exported::as_mut_slice)
}

fn first<'a, T>(memory: &'a [T], length: usize, name: &str) -> Result<&'a [T]> {
    let found = memory.len();
    memory
        .get(..length)
        .ok_or_else(|| too_small(name, length, found))
}

fn first_mut<'a, T>(memory: &'a mut [T], length: usize, name: &str) -> Result<&'a mut [T]> {
    let found = memory.len();
    memory
        .get_mut(..length)
        .ok_or_else(|| too_small(name, length, found))
}

fn too_small(name: &str, length: usize, found: usize) -> Error {
    Error::Internal(format!(
        "`{name}` must have room for {length} numbers: {found}"
    ))
}
