"""Fixtures of the NWB tests: small files written with h5py."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")

RATE_HZ = 10.0


class NwbFile:
    """An NWB 2 file that is being written; `close` it before it is read."""

    def __init__(self, path: Path, *, version: str = "2.7.0", session_id: str = "s1-of-m1") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = h5py.File(path, "w")
        self.file.attrs["nwb_version"] = version
        self.file.attrs["neurodata_type"] = "NWBFile"
        self.file["session_start_time"] = "2024-03-05T10:00:00+00:00"
        self.file["general/session_id"] = session_id
        self.file["general/subject/subject_id"] = "m1"

    def group(self, path: str, neurodata_type: str | None = None, **attributes: Any) -> Any:
        """Create a group, or give an existing one a type and attributes."""
        group = self.file.require_group(path)
        if neurodata_type is not None:
            group.attrs["neurodata_type"] = neurodata_type
        for name, value in attributes.items():
            group.attrs[name] = value
        return group

    def series(
        self,
        path: str,
        data: Any,
        *,
        times: Any = None,
        rate: float | None = RATE_HZ,
        start: float = 0.0,
        neurodata_type: str = "TimeSeries",
        unit: str = "n.a.",
        chunks: Any = None,
        **attributes: Any,
    ) -> Any:
        """Write a time series; without `times` it has a starting time and a rate."""
        group = self.group(path, neurodata_type)
        dataset = group.create_dataset("data", data=np.asarray(data), chunks=chunks)
        dataset.attrs["unit"] = unit
        for name, value in attributes.items():
            dataset.attrs[name] = value
        if times is not None:
            group["timestamps"] = np.asarray(times, dtype=np.float64)
        elif rate is not None:
            group["starting_time"] = start
            group["starting_time"].attrs["rate"] = rate
        return group

    def table(
        self, path: str, num_rows: int, *, ids: Any = None, plane: str | None = None, **columns: Any
    ) -> Any:
        """Write a table of ROIs, with a link to an imaging plane."""
        group = self.group(path, "PlaneSegmentation", colnames=list(columns) or [""])
        group["id"] = np.arange(num_rows) if ids is None else np.asarray(ids)
        for name, values in columns.items():
            group[name] = values
        if plane is not None:
            self.group(f"general/optophysiology/{plane}", "ImagingPlane")
            group["imaging_plane"] = h5py.SoftLink(f"/general/optophysiology/{plane}")
        return group

    def responses(
        self,
        path: str,
        data: Any,
        *,
        rows: Any = None,
        table: str = "processing/ophys/ImageSegmentation/PlaneSegmentation",
        container: str = "Fluorescence",
        **options: Any,
    ) -> Any:
        """Write a RoiResponseSeries whose columns are rows of a table, which must exist."""
        self.group(path.rpartition("/")[0], container)
        group = self.series(path, data, neurodata_type="RoiResponseSeries", **options)
        rows = np.arange(np.shape(data)[1]) if rows is None else np.asarray(rows)
        group["rois"] = rows
        group["rois"].attrs["neurodata_type"] = "DynamicTableRegion"
        group["rois"].attrs["table"] = self.file[table].ref
        return group

    def close(self) -> Path:
        """Close the file and return its path."""
        self.file.close()
        return self.path


@pytest.fixture
def new_nwb(tmp_path: Path) -> Iterator[Callable[..., NwbFile]]:
    """`new_nwb(name)` begins a file in the test's folder."""
    files = []

    def begin(name: str = "m1.nwb", **options: Any) -> NwbFile:
        files.append(NwbFile(tmp_path / name, **options))
        return files[-1]

    yield begin
    for file in files:
        file.file.close()


@pytest.fixture
def activity() -> np.ndarray:
    """Distinct positive numbers, float64 `(40, 5)`."""
    return np.random.default_rng(1).gamma(2.0, size=(40, 5)).round(4)


@pytest.fixture
def simple_nwb(new_nwb: Callable[..., NwbFile], activity: np.ndarray) -> NwbFile:
    """A file with dF/F of five ROIs at 10 Hz; open, for a test to add to."""
    file = new_nwb()
    file.table("processing/ophys/ImageSegmentation/PlaneSegmentation", 5)
    file.responses("processing/ophys/DfOverF/RoiResponseSeries", activity, container="DfOverF")
    return file
