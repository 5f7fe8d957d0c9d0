"""Rows of the responses of all planes, read lazily in whole chunks."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.responses import Plane, clock_offset
from omnimouse_cli.recording.nwb.series import Scale, response_clock, scale_of
from omnimouse_cli.recording.nwb.tree import Node, open_tree
from omnimouse_cli.recording.recording import Signal
from omnimouse_cli.recording.times import RegularTimes

# Blocks of float32 rows have at least this size, and at most that.
_BLOCK_BYTES, _MAX_BLOCK_BYTES = 4 * 2**20, 32 * 2**20
# Chunks with more rows than a block has, as those of one ROI each, are decompressed anew for every
# block. So many float32 rows are then kept in memory at once.
_KEPT_BYTES = 128 * 2**20
# Values are converted to float32 in pieces of this size.
_RAW_BYTES = 32 * 2**20
# ROIs without a value are looked for in this many rows, at so many places, before all are read.
_PROBE_ROWS, _NUM_PROBES = 16, 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlaneRows:
    """How the rows of one plane are read; holds no open file.

    Args:
        file: The file of the data.
        path: Path of the data inside it.
        is_transposed: Whether the data are `(roi, time)`.
        scale: Factor and offset of the stored values.
        columns: int64 `(neurons,)`: columns of the data that are read, in order of the neurons.
        chunk_rows: Rows of a chunk of the data; 1 without chunks.
        chunk_columns: Columns of a chunk of the data; 1 without chunks.
        item_bytes: Bytes of a stored value.
    """

    file: Path
    path: str
    is_transposed: bool
    scale: Scale
    columns: NDArray[np.int64]
    chunk_rows: int
    chunk_columns: int
    item_bytes: int

    def read(self, data: Node, first: int, last: int) -> NDArray[np.float32]:
        """Return rows of the file, float32 `(last - first, neurons)`.

        Args:
            data: The dataset, in a file that is open.
            first: First row.
            last: Row after the last.
        """
        low, high = int(self.columns.min()), int(self.columns.max()) + 1
        wanted = max(1, _RAW_BYTES // max(1, (last - first) * self.item_bytes))
        step = max(1, wanted // self.chunk_columns) * self.chunk_columns
        rows = np.empty((last - first, len(self.columns)), dtype=np.float32)
        start = low - low % self.chunk_columns
        for begin in range(start, high, step):
            end = min(begin + step, high)
            here = (self.columns >= begin) & (self.columns < end)
            if not here.any():
                continue
            self._read_columns(data, (first, last), (max(begin, low), end), here, rows)
        return rows

    def _read_columns(
        self,
        data: Node,
        rows: tuple[int, int],
        columns: tuple[int, int],
        here: NDArray[np.bool_],
        result: NDArray[np.float32],
    ) -> None:
        """Read neighbouring columns, and write those that are neurons to their places."""
        (first, last), (low, high) = rows, columns
        if len(data.shape) == 1:
            block = data[first:last][:, None]
        elif self.is_transposed:
            block = data[low:high, first:last].T
        else:
            block = data[first:last, low:high]
        wanted = self.columns[here] - low
        if len(wanted) != high - low or not (np.diff(wanted) == 1).all():
            # Indexing in numpy: HDF5 selects single columns a hundred times slower.
            block = block[:, wanted]
        if not self.scale.is_identity:
            factor = self.scale.factor
            factor = factor[self.columns[here]] if len(factor) > 1 else factor
            block = block * factor + self.scale.offset
        # What does not fit into float32 becomes infinite, which is an error where it is stored.
        with np.errstate(over="ignore"):
            places = np.flatnonzero(here)
            if places[-1] - places[0] + 1 == len(places):
                # A slice is copied several times faster than a list of columns.
                result[:, places[0] : places[-1] + 1] = block
            else:
                result[:, places] = block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Population:
    """The responses of all planes on one clock.

    Args:
        signal: The responses.
        times: float64: times of the rows of the first plane, as the file has them.
        gaps: float64 `(gaps, 2)`, seconds.
        delay_seconds: float32 `(neurons,)`: time from a row to the scan; None if unknown.
        num_silent: Number of ROIs that have no value and are excluded.
        kept: For each plane, bool `(columns,)`: which columns of the data are neurons.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    signal: Signal
    times: NDArray[np.float64]
    gaps: NDArray[np.float64]
    delay_seconds: NDArray[np.float32] | None
    num_silent: int
    kept: tuple[NDArray[np.bool_], ...]
    notes: tuple[str, ...]


def open_population(planes: tuple[Plane, ...], rate_hz: float | None) -> Population:
    """Return the responses of all planes, one column per kept ROI, plane after plane.

    Args:
        planes: The series, in a file that is open.
        rate_hz: Rate where the file has none, as the user says.

    Raises:
        RecordingError: The times fit no regular clock, or no ROI is left.
    """
    notes: list[str] = []
    regular, delays = _common_clock(planes, rate_hz, notes)
    kept, num_silent = [], 0
    parts = []
    for plane in planes:
        scale = scale_of(plane.node, len(plane.rois.rows))
        notes.extend(scale.notes)
        num_unwritten = plane.data.num_unwritten_chunks
        if num_unwritten:
            notes.append(
                f"{plane.data.path}: {num_unwritten} chunks are not in the file and are read as "
                "its fill value; a copy may be incomplete"
            )
        is_kept = plane.rois.is_kept.copy()
        columns = np.flatnonzero(is_kept)
        silent = _silent_columns(_plane_rows(plane, scale, columns), plane)
        is_kept[silent] = False
        num_silent += len(silent)
        kept.append(is_kept)
        if is_kept.any():
            parts.append(_plane_rows(plane, scale, np.flatnonzero(is_kept)))
    if not parts:
        raise RecordingError(
            f"{planes[0].node.where}: no ROI is left as a neuron",
            hint="look at the columns of the table of ROIs, or name another series: --series",
        )
    num_neurons = sum(len(part.columns) for part in parts)
    signal = Signal(
        name="responses",
        clock=regular.clock,
        channels=(),
        num_channels=num_neurons,
        read_rows=_RowReader(tuple(parts), regular).read,
        rows_per_block=_rows_per_block(parts, regular.clock.num_samples),
    )
    delay = [np.full(int(part.sum()), value) for part, value in zip(kept, delays, strict=True)]
    return Population(
        signal=signal,
        times=planes[0].times[: int(regular.source_row.max()) + 1],
        gaps=regular.gaps,
        delay_seconds=np.concatenate(delay).astype(np.float32) if any(delays) else None,
        num_silent=num_silent,
        kept=tuple(kept),
        notes=tuple(notes),
    )


def _common_clock(
    planes: tuple[Plane, ...], rate_hz: float | None, notes: list[str]
) -> tuple[RegularTimes, list[float]]:
    """Return the clock of the earliest plane, cut to the shortest, and each plane's delay."""
    offsets = [0.0]
    for plane in planes[1:]:
        offset = clock_offset(planes[0], plane)
        assert offset is not None, "planes with other clocks are refused before"
        offsets.append(offset)
    # Differences below a millisecond are rounding, not the scan.
    delays = [offset - min(offsets) if np.ptp(offsets) > 1e-3 else 0.0 for offset in offsets]
    first = planes[int(np.argmin(offsets))]
    num_rows = min(len(plane.times) for plane in planes)
    longest = max(len(plane.times) for plane in planes)
    if longest > num_rows:
        notes.append(f"planes have {num_rows} to {longest} rows: cut to {num_rows}")
    regular = response_clock(first.node, first.times[:num_rows], rate_hz)
    notes.extend(regular.notes)
    if any(delays):
        notes.append(f"planes are scanned up to {max(delays):.4f} s after the first one")
    return regular, delays


class _RowReader:
    """Reads rows of all planes; opens the files in each read."""

    def __init__(self, parts: tuple[PlaneRows, ...], regular: RegularTimes) -> None:
        self._parts = parts
        self._regular = regular
        row_bytes = 4 * sum(len(part.columns) for part in parts)
        chunk_rows = max(part.chunk_rows for part in parts)
        at_most = max(1, _KEPT_BYTES // row_bytes)
        # Whole chunks, if they fit.
        self._num_kept = at_most - at_most % chunk_rows if chunk_rows <= at_most else at_most
        if chunk_rows * row_bytes <= _MAX_BLOCK_BYTES:
            self._num_kept = 0
        self._kept_first, self._kept = 0, np.empty((0, 0), dtype=np.float32)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows, float32 `(last - first, neurons)`; NaN in gaps."""
        if last - first >= self._num_kept:
            return self._read(first, last)
        if first < self._kept_first or last > self._kept_first + len(self._kept):
            # Rows are read in order, so that the next ones follow.
            self._kept = np.empty((0, 0), dtype=np.float32)
            num_rows = self._regular.clock.num_samples
            self._kept = self._read(first, min(first + self._num_kept, num_rows))
            self._kept_first = first
        return self._kept[first - self._kept_first : last - self._kept_first].copy()

    def _read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows of all planes; those of one plane without a copy."""
        blocks = []
        (file,) = {part.file for part in self._parts}
        with open_tree(file) as root:
            for part in self._parts:
                data = root.get(part.path)
                if data is None:
                    raise RecordingError(
                        f"{part.file}: {part.path} is no longer there",
                        hint="the file was changed while it was read; run again",
                    )
                rows = self._regular.read_rows(
                    first,
                    last,
                    read_source=partial(part.read, data),
                    num_columns=len(part.columns),
                )
                blocks.append(rows)
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)


def _plane_rows(plane: Plane, scale: Scale, columns: NDArray[np.int64]) -> PlaneRows:
    data = plane.data
    chunks = (1, 1) if data.chunks is None else (*data.chunks, 1)[:2]
    chunk_rows, chunk_columns = chunks[::-1] if plane.is_transposed else chunks
    return PlaneRows(
        file=data.file,
        path=data.path,
        is_transposed=plane.is_transposed,
        scale=scale,
        columns=columns,
        chunk_rows=chunk_rows,
        chunk_columns=chunk_columns,
        item_bytes=data.dtype.itemsize,
    )


def _rows_per_block(parts: list[PlaneRows], num_rows: int) -> int:
    """Return how many rows are read at once: whole chunks, as many as fit into memory."""
    row_bytes = 4 * sum(len(part.columns) for part in parts)
    chunk_rows = max(part.chunk_rows for part in parts)
    at_most = max(1, _MAX_BLOCK_BYTES // row_bytes)
    wanted = max(1, _BLOCK_BYTES // row_bytes)
    if chunk_rows > at_most:
        # Equal parts of a chunk, so that none reaches into the next one.
        return min(num_rows, -(-chunk_rows // -(-chunk_rows // at_most)))
    return min(num_rows, at_most, chunk_rows * max(1, wanted // chunk_rows))


def _silent_columns(rows: PlaneRows, plane: Plane) -> NDArray[np.int64]:
    """Return the columns that have no finite value at all, as ROIs outside the field of view."""
    if not len(rows.columns):
        return rows.columns
    data, num_rows = plane.data, len(plane.times)
    is_silent = np.ones(len(rows.columns), dtype=np.bool_)
    for start in np.linspace(0, max(0, num_rows - _PROBE_ROWS), _NUM_PROBES).astype(int):
        if is_silent.any():
            values = rows.read(data, int(start), min(int(start) + _PROBE_ROWS, num_rows))
            is_silent &= ~np.isfinite(values).any(axis=0)
    step = _rows_per_block([rows], num_rows)
    for start in range(0, num_rows, step):
        if not is_silent.any():
            break
        values = rows.read(data, start, min(start + step, num_rows))
        is_silent &= ~np.isfinite(values).any(axis=0)
    return rows.columns[is_silent]
