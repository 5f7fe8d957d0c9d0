"""Traces of the cells of all planes, time x cell, with neuropil subtracted from fluorescence."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.suite2p.planes import Plane
from omnimouse_cli.recording.times import RegularTimes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neuropil:
    """How neuropil is subtracted.

    Args:
        coefficient: Share that is subtracted; 0 subtracts nothing.
        keeps_level: Whether only the deviation of the neuropil from its median is subtracted, so
            that F stays positive, as a baseline that is divided by must be.
    """

    coefficient: float
    keeps_level: bool
    _levels: dict[Path, NDArray[np.float32]] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return what follows on the name of the fluorescence."""
        if self.coefficient == 0:
            return ""
        what = "(Fneu - median Fneu)" if self.keeps_level else "Fneu"
        return f" - {self.coefficient:g} {what}"

    def level(self, plane: Plane) -> NDArray[np.float32]:
        """Return the median neuropil of each cell; reads the file of a plane once."""
        if plane.folder not in self._levels:
            stored = plane.traces["Fneu.npy"]
            medians = [
                np.median(stored.read_lines(plane.cells[cell : cell + 1], 0, plane.num_rows))
                for cell in range(len(plane.cells))
            ]
            self._levels[plane.folder] = np.array(medians, np.float32)
        return self._levels[plane.folder]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Traces:
    """One series of all planes on the clock of the responses.

    Args:
        planes: The planes, in column order.
        file: Name of the series' file.
        neuropil: How neuropil is subtracted.
        regular: The clock, and the source of each of its rows.
    """

    planes: tuple[Plane, ...]
    file: str
    neuropil: Neuropil
    regular: RegularTimes

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows `first` to `last` (excluded), float32; rows without a source are NaN."""
        return self.regular.read_rows(
            first, last, read_source=self._read_planes, num_columns=self.num_cells
        )

    @property
    def num_cells(self) -> int:
        """Number of cells in all planes."""
        return sum(len(plane.cells) for plane in self.planes)

    def _read_planes(self, low: int, high: int) -> NDArray[np.float32]:
        rows = np.empty((high - low, self.num_cells), np.float32)
        column = 0
        for plane in self.planes:
            after = column + len(plane.cells)
            rows[:, column:after] = self._read_plane(plane, low, high).T
            column = after
        return rows

    def _read_plane(self, plane: Plane, low: int, high: int) -> NDArray[np.float32]:
        traces = plane.traces[self.file].read_lines(plane.cells, low, high)
        traces = traces.astype(np.float32, copy=False)
        if self.neuropil.coefficient:
            neuropil = plane.traces["Fneu.npy"].read_lines(plane.cells, low, high)
            neuropil = neuropil.astype(np.float32, copy=False)
            if self.neuropil.keeps_level:
                neuropil -= self.neuropil.level(plane)[:, None]
            traces -= np.float32(self.neuropil.coefficient) * neuropil
        return traces
