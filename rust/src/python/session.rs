//! Shards, and sessions that assemble windows of them.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::gil::released;
use super::slot::{Slot, numbers};
use crate::lines::{Greys, Path};
use crate::memory::Access;
use crate::scaling::Scaling;
use crate::shard;
use crate::window;

/// An open shard.
#[pyclass(frozen, module = "omnimouse_cli._native")]
pub(super) struct Shard(Arc<shard::Shard>);

#[pymethods]
impl Shard {
    #[new]
    #[pyo3(signature = (path, *, mapped=true))]
    fn new(py: Python<'_>, path: PathBuf, mapped: bool) -> PyResult<Self> {
        let access = if mapped { Access::Map } else { Access::Read };
        let shard = released(py, move || shard::Shard::open(path.as_path(), access))?;
        Ok(Self(Arc::new(shard)))
    }

    /// Session key.
    #[getter]
    fn session(&self) -> &str {
        &self.0.session
    }

    /// Columns of the responses.
    #[getter]
    fn num_neurons(&self) -> usize {
        self.0.responses.columns
    }

    /// Height and width of a frame; None without a screen.
    #[getter]
    fn frame_shape(&self) -> Option<(usize, usize)> {
        let screen = self.0.screen.as_ref();
        screen.map(|screen| (screen.height, screen.width))
    }

    /// Behavior channels, device by device.
    #[getter]
    fn channels(&self) -> Vec<String> {
        let devices = self.0.devices.iter();
        devices.flat_map(|device| device.channels.clone()).collect()
    }
}

/// A shard with its scaling, ready to assemble windows.
#[pyclass(frozen, module = "omnimouse_cli._native")]
pub(super) struct Session(pub(super) Arc<window::Session>);

#[pymethods]
impl Session {
    #[new]
    #[pyo3(signature = (
        shard, *, shift, scale, video_mean, video_std, channel_rows, num_channels, portable=false
    ))]
    #[expect(clippy::too_many_arguments, reason = "named in Python")]
    fn new(
        shard: &Bound<'_, Shard>,
        shift: &Bound<'_, PyAny>,
        scale: &Bound<'_, PyAny>,
        video_mean: f32,
        video_std: f32,
        channel_rows: Vec<Option<usize>>,
        num_channels: usize,
        portable: bool,
    ) -> PyResult<Self> {
        let path = if portable {
            Path::Portable
        } else {
            Path::best()
        };
        let scaling = Scaling {
            scale: numbers("scale", scale)?,
            shift: Some(numbers("shift", shift)?),
            greys: Greys::new(video_mean, video_std),
            channel_rows,
            num_channels,
        };
        let session = window::Session::new(Arc::clone(&shard.get().0), scaling, path)?;
        Ok(Self(Arc::new(session)))
    }

    /// Fill a slot with the windows and neurons that its own `grid_indices` and `neuron_index` name.
    fn read(
        &self,
        py: Python<'_>,
        slot: &Bound<'_, Slot>,
        num_windows: usize,
        num_neurons: usize,
    ) -> PyResult<()> {
        let mut memory = slot.borrow_mut().take()?;
        let session = &self.0;
        let (memory, result) = released(py, || {
            let result = memory.assemble(session, num_windows, num_neurons);
            Ok((memory, result))
        })?;
        slot.borrow_mut().put(memory);
        Ok(result?)
    }
}
