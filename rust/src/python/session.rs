//! Shards, their headers, and sessions that assemble windows of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;

use super::gil::without_gil;
use super::slot::{Slot, copy_numbers};
use crate::format::{header, shard};
use crate::memory::{Access, RangeFile};
use crate::window;
use crate::window::backend::Backend;
use crate::window::gather::GreyLevels;
use crate::window::normalization::Normalization;

/// Name, number type, shape, first and last byte (exclusive, from the start of the data).
type TensorEntry = (String, &'static str, Vec<usize>, usize, usize);

/// The metadata, the tensors in the order of their bytes, and the bytes before the data.
type Header = (BTreeMap<String, String>, Vec<TensorEntry>, Vec<u8>);

/// Read and check the header of a shard.
#[pyfunction]
pub(super) fn read_header(py: Python<'_>, path: PathBuf) -> PyResult<Header> {
    let (header, head) = without_gil(py, move || {
        let file = RangeFile::open(&path, Access::Read)?;
        let mut buffer = Vec::new();
        header::read_head(&file, &mut buffer)?;
        let header = header::parse(&buffer, file.num_bytes(), &path)?;
        Ok((header, buffer))
    })?;
    let start = header.data_start;
    let tensors = header.tensors.into_iter();
    let mut entries: Vec<TensorEntry> = tensors
        .map(|(name, tensor)| {
            let (first, last) = (tensor.bytes.start - start, tensor.bytes.end - start);
            (name, tensor.dtype.name(), tensor.shape, first, last)
        })
        .collect();
    entries.sort_by_key(|(_, _, _, first, last)| (*first, *last));
    Ok((header.metadata, entries, head))
}

/// An open shard.
#[pyclass(frozen, module = "omnimouse_cli._native")]
pub(super) struct Shard(Arc<shard::Shard>);

#[pymethods]
impl Shard {
    #[new]
    #[pyo3(signature = (path, *, mapped=true))]
    fn new(py: Python<'_>, path: PathBuf, mapped: bool) -> PyResult<Self> {
        let access = if mapped { Access::Map } else { Access::Read };
        let shard = without_gil(py, move || shard::Shard::open(path.as_path(), access))?;
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

/// A shard and the normalization of its signals, ready to assemble windows.
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
        let normalization = Normalization {
            scale: copy_numbers("scale", scale)?,
            shift: Some(copy_numbers("shift", shift)?),
            grey_levels: GreyLevels::new(video_mean, video_std),
            channel_rows,
            num_channels,
        };
        let shard = Arc::clone(&shard.get().0);
        let session = window::Session::new(shard, normalization, Backend::choose(portable))?;
        Ok(Self(Arc::new(session)))
    }

    /// Fill a slot with the windows and neurons in its `grid_indices` and `neuron_index`.
    fn read(
        &self,
        py: Python<'_>,
        slot: &Bound<'_, Slot>,
        num_windows: usize,
        num_neurons: usize,
    ) -> PyResult<()> {
        let mut arrays = slot.borrow_mut().take()?;
        let (session, memory) = (&self.0, &mut arrays);
        let result = without_gil(py, move || {
            memory.memory().assemble(session, num_windows, num_neurons)
        });
        slot.borrow_mut().put(arrays);
        result
    }
}
