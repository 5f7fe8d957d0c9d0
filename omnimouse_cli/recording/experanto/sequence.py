"""A sequence device (responses, eye tracker, treadmill, ...) of a session folder."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.clock import read_clock
from omnimouse_cli.recording.experanto.meta import Meta, read_array
from omnimouse_cli.recording.experanto.rows import RowFile, open_rows
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS, Clock, Signal

_CHANNELS = {
    ("eye_tracker", 4): ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative"),
    ("eye_tracker", 2): ("pupil_x", "pupil_y"),
    ("treadmill", 1): ("running",),
}
_SAMPLED_BLOCKS = 16
_SAMPLED_ROWS = 32

_Columns = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedRows:
    """Rows whose columns were measured at different times, aligned to one clock.

    Args:
        rows: The stored rows.
        lag: int64 `(num_columns,)`: row r of the common clock is stored row r + lag of the column.
    """

    rows: RowFile
    lag: NDArray[np.int64]

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows `first` to `last` (excluded) of the common clock, float32."""
        stored = self.rows.read(first, last + int(self.lag.max(initial=0)))
        aligned = np.empty((last - first, self.rows.num_columns), np.float32)
        # There are few different lags; one fancy index would be as large as the block itself.
        for lag in np.unique(self.lag).tolist():
            columns = np.flatnonzero(self.lag == lag)
            aligned[:, columns] = stored[lag : lag + last - first, columns]
        return aligned


def open_sequence(folder: Path, meta: Meta) -> tuple[Signal, list[str]]:
    """Open a sequence device; at most a few hundred rows are read.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.

    Returns:
        The signal with its clock in absolute seconds, and notes for the user.

    Raises:
        RecordingError: The files disagree with meta.yml.
    """
    stored, notes = open_rows(folder, meta)
    if stored.num_rows == 0 or stored.num_columns == 0:
        raise RecordingError(
            f"{stored.path} is empty: {stored.num_rows} rows of {stored.num_columns} signals"
        )
    clock, clock_notes = read_clock(folder, meta, num_rows=stored.num_rows)
    mean, std, statistics_notes = _read_statistics(folder, stored)
    notes += [*clock_notes, *statistics_notes]
    if stored.dtype == np.uint8:
        notes.append(
            f"{folder.name}: stored as uint8 and used as it is (experanto would divide it by 255)"
        )
    rows: RowFile | ShiftedRows = stored
    if meta.flag("phase_shift_per_signal"):
        rows, clock, note = _align_columns(folder, stored, clock)
        notes.append(note)
    name, num_columns = folder.name, stored.num_columns
    numbered = tuple(f"{name}_{column}" for column in range(num_columns))
    signal = Signal(
        name=name,
        clock=clock,
        channels=() if name == "responses" else _CHANNELS.get((name, num_columns), numbered),
        num_channels=num_columns,
        read_rows=rows.read,
        file_mean=mean,
        file_std=std,
    )
    return signal, notes


def _align_columns(folder: Path, stored: RowFile, clock: Clock) -> tuple[ShiftedRows, Clock, str]:
    """Align columns that were measured `shift` seconds late to a common clock.

    At time t column k has the value of row floor((t - shift_k - start) * rate). The common clock
    starts with the latest column and ends when the first column runs out.
    """
    path = folder / "meta" / "phase_shifts.npy"
    if not path.is_file():
        raise RecordingError(
            f"{path} is missing, although meta.yml says `phase_shift_per_signal: true`",
            hint="add the file, or set `phase_shift_per_signal: false`",
        )
    shifts = read_array(path).astype(np.float64).reshape(-1)
    if shifts.size != stored.num_columns:
        raise RecordingError(
            f"{path} has {shifts.size} shifts, but `n_signals` is {stored.num_columns}"
        )
    if not np.isfinite(shifts).all():
        raise RecordingError(f"{path}: shift {int(np.argmin(np.isfinite(shifts)))} is not finite")
    latest = float(shifts.max())
    lead = np.floor((latest - shifts + HOLD_TOLERANCE_SECONDS) * clock.rate_hz)
    lag = lead.astype(np.int64)
    num_rows = stored.num_rows - int(lag.max())
    if num_rows < 1:
        raise RecordingError(
            f"{path}: shifts from {shifts.min():g} to {latest:g} s leave no row in common"
        )
    common = dataclasses.replace(
        clock, start_seconds=clock.start_seconds + latest, num_samples=num_rows
    )
    note = (
        f"{folder.name}: phase shifts from {shifts.min():g} to {latest:g} s were applied, which "
        f"drops {stored.num_rows - num_rows} of {stored.num_rows} rows"
    )
    return ShiftedRows(rows=stored, lag=lag), common, note


def _read_statistics(
    folder: Path, rows: RowFile
) -> tuple[_Columns | None, _Columns | None, list[str]]:
    """Read meta/means.npy and meta/stds.npy as `(num_columns,)`, if they are plausible.

    Shapes `(n,)`, `(n, 1)` and `(1, n)` all occur, and one exporter wrote the means into stds.npy.

    Args:
        folder: The device's folder.
        rows: Its data, of which a few hundred rows are read to check the statistics.

    Returns:
        Means, standard deviations (None where absent or not usable), and notes for the user.
    """
    notes: list[str] = []
    mean = _read_columns(folder / "meta" / "means.npy", rows.num_columns, notes)
    # The experanto library reads stds.npy, its documentation says std.npy.
    names = ("stds.npy", "std.npy")
    path = next(
        (folder / "meta" / name for name in names if (folder / "meta" / name).is_file()), None
    )
    std = None if path is None else _read_columns(path, rows.num_columns, notes)
    if std is not None and path is not None:
        fault = _find_fault(mean, std, rows)
        if fault is not None:
            notes.append(f"{folder.name}: meta/{path.name} {fault} and is not used")
            std = None
    return mean, std, notes


def _read_columns(path: Path, num_columns: int, notes: list[str]) -> _Columns | None:
    if not path.is_file():
        return None
    stored = read_array(path)
    if stored.size != num_columns or max(stored.shape, default=1) != num_columns:
        notes.append(
            f"{path.parent.parent.name}: meta/{path.name} has shape {stored.shape} for "
            f"{num_columns} signals and is not used"
        )
        return None
    return stored.reshape(-1).astype(np.float64)


def _find_fault(mean: _Columns | None, std: _Columns, rows: RowFile) -> str | None:
    """Return why `std` cannot be standard deviations of the rows; None if it can."""
    if bool((std < 0).any()):
        return "has negative values"
    if mean is not None and np.array_equal(mean, std) and bool((std != 0).any()):
        return "holds the means"
    sampled_mean, sampled_std = _sample_statistics(rows)
    off_std, off_mean = _log_distance(std, sampled_std), _log_distance(std, np.abs(sampled_mean))
    # Statistics of the sampled rows are exact to about 20 %; only a clear difference is a fault.
    if off_mean < 0.2 and off_std > 0.5:
        return "looks like the means of the data, not their standard deviations"
    return None


def _sample_statistics(rows: RowFile) -> tuple[_Columns, _Columns]:
    last_start = max(rows.num_rows - _SAMPLED_ROWS, 0)
    starts = np.unique(np.linspace(0, last_start, _SAMPLED_BLOCKS).astype(int)).tolist()
    blocks = [rows.read(start, min(start + _SAMPLED_ROWS, rows.num_rows)) for start in starts]
    sample = np.concatenate(blocks).astype(np.float64)
    is_finite = np.isfinite(sample)
    count = np.maximum(is_finite.sum(0), 1)
    mean = np.where(is_finite, sample, 0).sum(0) / count
    variance = np.where(is_finite, (sample - mean) ** 2, 0).sum(0) / count
    return mean, np.sqrt(variance)


def _log_distance(one: _Columns, other: _Columns) -> float:
    """Return the logarithm of the median factor between two sets of positive numbers."""
    both = (one > 0) & (other > 0)
    if not both.any():
        return float("inf")
    return float(np.median(np.abs(np.log(one[both] / other[both]))))
