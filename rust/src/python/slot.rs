//! The memory of one batch, as arrays that Python allocated.

use pyo3::buffer::{Element, PyBuffer};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::loader::batch::BatchMemory;
use crate::memory::WritableArray;
use crate::window::WindowScratch;
use crate::window::gather::OutputMemory;

/// An output array of one of the number types that windows can be written in.
pub(super) enum OutputArray {
    F32(WritableArray<f32>),
    Bf16(WritableArray<u16>),
    U8(WritableArray<u8>),
}

impl OutputArray {
    /// Borrow an array of float32, or of uint16 for the bits of bfloat16.
    fn floats(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        WritableArray::new(name, object)
            .map(Self::F32)
            .or_else(|error| match WritableArray::new(name, object) {
                Ok(array) => Ok(Self::Bf16(array)),
                Err(_) => Err(error),
            })
    }

    /// Borrow such an array, or one of uint8.
    fn frames(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::floats(name, object).or_else(|error| match WritableArray::new(name, object) {
            Ok(array) => Ok(Self::U8(array)),
            Err(_) => Err(error),
        })
    }

    fn memory(&mut self) -> OutputMemory<'_> {
        match self {
            Self::F32(array) => OutputMemory::F32(array.as_mut_slice()),
            Self::Bf16(array) => OutputMemory::Bf16(array.as_mut_slice()),
            Self::U8(array) => OutputMemory::U8(array.as_mut_slice()),
        }
    }
}

/// The arrays of one batch.
pub(super) struct BatchArrays {
    grid_indices: WritableArray<i64>,
    neuron_index: WritableArray<i64>,
    responses: OutputArray,
    video: Option<OutputArray>,
    behavior: Option<OutputArray>,
    scratch: WindowScratch,
}

impl BatchArrays {
    /// The arrays as memory of a batch.
    pub(super) fn memory(&mut self) -> BatchMemory<'_> {
        BatchMemory {
            grid_indices: self.grid_indices.as_mut_slice(),
            neuron_index: self.neuron_index.as_mut_slice(),
            responses: self.responses.memory(),
            video: optional(&mut self.video),
            behavior: optional(&mut self.behavior),
            scratch: &mut self.scratch,
        }
    }
}

/// Memory for one batch: arrays that Python allocated.
#[pyclass(module = "omnimouse_cli._native")]
pub(super) struct Slot {
    arrays: Option<BatchArrays>,
}

impl Slot {
    /// Take the arrays away, until they are put back.
    pub(super) fn take(&mut self) -> PyResult<BatchArrays> {
        self.arrays
            .take()
            .ok_or_else(|| PyValueError::new_err("the slot is with a loader already"))
    }

    /// Put the arrays back.
    pub(super) fn put(&mut self, arrays: BatchArrays) {
        self.arrays = Some(arrays);
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
        let arrays = BatchArrays {
            grid_indices: WritableArray::new("grid_indices", grid_indices)?,
            neuron_index: WritableArray::new("neuron_index", neuron_index)?,
            responses: OutputArray::floats("responses", responses)?,
            video: video
                .map(|object| OutputArray::frames("video", object))
                .transpose()?,
            behavior: behavior
                .map(|object| OutputArray::floats("behavior", object))
                .transpose()?,
            scratch: WindowScratch::default(),
        };
        Ok(Self {
            arrays: Some(arrays),
        })
    }
}

fn optional(array: &mut Option<OutputArray>) -> OutputMemory<'_> {
    array
        .as_mut()
        .map_or(OutputMemory::F32(&mut []), OutputArray::memory)
}

/// Copy the numbers of an array.
pub(super) fn copy_numbers<T: Element>(name: &str, object: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    PyBuffer::<T>::get(object)
        .and_then(|buffer| buffer.to_vec(object.py()))
        .map_err(|error| PyValueError::new_err(format!("`{name}`: {error}")))
}
