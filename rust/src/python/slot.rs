//! Memory for one batch, allocated by Python and filled here.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::lines::Numbers;
use crate::memory::Exported;
use crate::window::{Output, Session, Workspace};

/// An array of numbers, of whichever type it was allocated.
pub(super) enum Array {
    F32(Exported<f32>),
    Bf16(Exported<u16>),
    U8(Exported<u8>),
}

impl Array {
    /// Take the memory of an array of float32 or of uint16, which holds bfloat16.
    fn floats(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Exported::new(name, object).map(Self::F32).or_else(|error| {
            match Exported::new(name, object) {
                Ok(array) => Ok(Self::Bf16(array)),
                Err(_) => Err(error),
            }
        })
    }

    /// Take that, or an array of uint8.
    fn greys(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::floats(name, object).or_else(|error| match Exported::new(name, object) {
            Ok(array) => Ok(Self::U8(array)),
            Err(_) => Err(error),
        })
    }

    fn numbers(&mut self) -> Numbers<'_> {
        match self {
            Self::F32(array) => Numbers::F32(array.as_mut_slice()),
            Self::Bf16(array) => Numbers::Bf16(array.as_mut_slice()),
            Self::U8(array) => Numbers::U8(array.as_mut_slice()),
        }
    }
}

/// The memory of one batch.
pub(super) struct Memory {
    pub(super) grid_indices: Exported<i64>,
    pub(super) neuron_index: Exported<i64>,
    responses: Array,
    video: Option<Array>,
    behavior: Option<Array>,
    workspace: Workspace,
}

impl Memory {
    /// Memory for what is read on the way.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        self.workspace.buffer()
    }

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
        let mut responses = self.responses.numbers();
        require_room(&responses, num_windows * lengths.responses, "responses")?;
        let mut video = optional(&mut self.video);
        require_room(&video, num_windows * lengths.video, "video")?;
        let mut behavior = optional(&mut self.behavior);
        require_room(&behavior, num_windows * lengths.behavior, "behavior")?;
        for (window, grid_index) in grid_indices.iter().enumerate() {
            let part = |length: usize| window * length..(window + 1) * length;
            let mut output = Output {
                responses: responses.part(part(lengths.responses)),
                video: video.part(part(lengths.video)),
                behavior: behavior.part(part(lengths.behavior)),
            };
            let neurons = &neuron_index[part(num_neurons)];
            session.assemble(*grid_index, neurons, &mut output, &mut self.workspace)?;
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
            responses: Array::floats("responses", responses)?,
            video: video
                .map(|object| Array::greys("video", object))
                .transpose()?,
            behavior: behavior
                .map(|object| Array::floats("behavior", object))
                .transpose()?,
            workspace: Workspace::default(),
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

fn optional(memory: &mut Option<Array>) -> Numbers<'_> {
    memory
        .as_mut()
        .map_or(Numbers::F32(&mut []), Array::numbers)
}

fn first<'a, T>(memory: &'a [T], length: usize, name: &str) -> Result<&'a [T]> {
    let found = memory.len();
    memory
        .get(..length)
        .ok_or_else(|| too_small(name, length, found))
}

fn require_room(memory: &Numbers, length: usize, name: &str) -> Result<()> {
    let found = memory.len();
    if found < length {
        return Err(too_small(name, length, found));
    }
    Ok(())
}

fn too_small(name: &str, length: usize, found: usize) -> Error {
    Error::Internal(format!(
        "`{name}` must have room for {length} numbers: {found}"
    ))
}
