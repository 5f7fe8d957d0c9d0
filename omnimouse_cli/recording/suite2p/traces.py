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
        num_cells = sum(len(plane.cells) for plane in self.planes)
        rows = self.regular.source_row[first:last]
        present = rows >= 0
        result = np.full((last - first, num_cells), np.nan, np.float32)
        if not present.any():
            return result
        low, high = int(rows[present].min()), int(rows[present].max()) + 1
        column = 0
        for plane in self.planes:
            traces = self._read_plane(plane, low, high).T
            columns = slice(column, column + len(plane.cells))
            # A fancy index on both sides takes several times as long.
            if present.all():
                result[:, columns] = traces
            else:
                result[present, columns] = traces[rows[present] - low]
            column += len(plane.cells)
        return result

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
