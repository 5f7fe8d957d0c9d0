"""Columns of a device that were measured at different times, each held at its own time."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.files import read_array
from omnimouse_cli.recording.experanto.rows import RowFile, SampledRows
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.recording import Clock

# Against the rounding of a whole number of rows to just below it.
_TOLERANCE_SECONDS = 1e-9
# Shifts this close to whole rows, in rows, are whole rows.
_WHOLE_ROW = 1e-5
# A clock that runs this much apart from the grid by its end, in rows, is the grid.
_EQUAL_ROWS = 1e-3
_ROUNDING_ROWS = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedRows:
    """Rows whose columns lie whole rows apart, on their common clock.

    Args:
        rows: The stored rows.
        lag: int64 `(num_columns,)`: row r of the common clock is stored row r + lag of the column.
    """

    rows: RowFile | SampledRows
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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldColumns:
    """Rows of a grid, in which each column has its latest value (sample-and-hold).

    At time t column k has the value of stored row floor((t - shift_k - start) * rate).

    Args:
        rows: The stored rows.
        clock: Their clock, on which column k is measured `shifts[k]` seconds late.
        shifts: float64 `(num_columns,)`, seconds.
        offset_seconds: Time from the first stored row to the first row of the grid, which is not
            the difference of absolute times because these resolve .24 microseconds only.
        grid_rate_hz: Rate of the grid.
    """

    rows: RowFile | SampledRows
    clock: Clock
    shifts: NDArray[np.float64]
    offset_seconds: float
    grid_rate_hz: float

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows `first` to `last` (excluded) of the grid, float32."""
        if first == last:
            return np.empty((0, self.rows.num_columns), np.float32)
        seconds = np.arange(first, last) / self.grid_rate_hz
        seconds += self.offset_seconds + _TOLERANCE_SECONDS
        places = (seconds[:, None] - self.shifts) * self.clock.rate_hz
        source = np.floor(places, out=places).astype(np.int64)
        first_stored, last_stored = int(source[0].min()), int(source[-1].max()) + 1
        source -= first_stored
        return np.take_along_axis(self.rows.read(first_stored, last_stored), source, axis=0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AppliedShifts:
    """Rows on one clock for all columns.

    Args:
        rows: The rows.
        clock: Their clock, in absolute seconds.
        shifts: float64 `(num_columns,)`: how late each column was measured, in seconds.
        is_resampled: Whether rows are those of the grid and not the stored ones.
        note: What was done, for the user.
    """

    rows: ShiftedRows | HeldColumns
    clock: Clock
    shifts: NDArray[np.float64]
    is_resampled: bool
    note: str


def apply_shifts(
    folder: Path,
    rows: RowFile | SampledRows,
    clock: Clock,
    *,
    grid_rate_hz: float,
    grid_start: float | None = None,
) -> AppliedShifts:
    """Put columns that were measured `shift` seconds late on one clock.

    Windows are read on a grid. Stored rows are kept if every time of the grid then has the values
    that the experanto library gives: where the shifts are whole rows or the rows have the grid's
    rate. Otherwise a shift below one row would be lost, and each column is held on the grid.

    Args:
        folder: The device's folder, with meta/phase_shifts.npy.
        rows: The rows as stored.
        clock: Their clock, in absolute seconds.
        grid_rate_hz: Rate of the grid.
        grid_start: A time of the grid, in absolute seconds; None if it begins with these rows.

    Raises:
        RecordingError: The file is missing, does not fit the columns, or leaves no row.
    """
    shifts = _read_shifts(folder / "meta" / "phase_shifts.npy", rows.num_columns)
    earliest, latest = float(shifts.min()), float(shifts.max())
    start = clock.start_seconds + latest
    note = f"{folder.name}: phase shifts from {earliest:g} to {latest:g} s were applied, which "
    lead = (latest - shifts) * clock.rate_hz
    drift = abs(clock.rate_hz / grid_rate_hz - 1) * clock.num_samples
    is_whole = bool((np.abs(lead - np.rint(lead)) <= _WHOLE_ROW).all())
    if is_whole or (grid_start is None and drift <= _EQUAL_ROWS):
        tolerance = _WHOLE_ROW if is_whole else _TOLERANCE_SECONDS * clock.rate_hz
        lag = np.floor(lead + tolerance).astype(np.int64)
        num_rows = clock.num_samples - int(lag.max())
        _require_rows(num_rows, folder, shifts)
        return AppliedShifts(
            rows=ShiftedRows(rows=rows, lag=lag),
            clock=dataclasses.replace(clock, start_seconds=start, num_samples=num_rows),
            shifts=shifts,
            is_resampled=False,
            note=f"{note}drops {clock.num_samples - num_rows} of {clock.num_samples} rows",
        )
    offset = latest
    if grid_start is not None:
        before = (start - grid_start) * grid_rate_hz
        # At most a ten-thousandth of a row later, so that rounding gives no time before `latest`.
        start = grid_start + math.ceil(before + _ROUNDING_ROWS) / grid_rate_hz
        offset = start - clock.start_seconds
    # Seconds from the first grid time to the end of the last row of the earliest column.
    span = clock.num_samples / clock.rate_hz + earliest - offset
    num_rows = math.ceil((span - 2 * _TOLERANCE_SECONDS) * grid_rate_hz)
    _require_rows(num_rows, folder, shifts)
    return AppliedShifts(
        rows=HeldColumns(
            rows=rows,
            clock=clock,
            shifts=shifts,
            offset_seconds=offset,
            grid_rate_hz=grid_rate_hz,
        ),
        clock=Clock(start_seconds=start, rate_hz=grid_rate_hz, num_samples=num_rows),
        shifts=shifts,
        is_resampled=True,
        note=f"{note}are no whole rows of {clock.rate_hz:g} Hz: each column is held at its own "
        f"time on a clock of {grid_rate_hz:g} Hz, {num_rows / clock.num_samples:.2f} times the "
        "stored rows",
    )


def applies_shifts(meta: Meta) -> bool:
    """Return whether a device states that its columns were measured at different times."""
    return bool(meta.flag("phase_shift_per_signal"))


def _read_shifts(path: Path, num_columns: int) -> NDArray[np.float64]:
    if not path.is_file():
        raise RecordingError(
            f"{path} is missing, although meta.yml says `phase_shift_per_signal: true`",
            hint="add the file, or set `phase_shift_per_signal: false`",
        )
    shifts = read_array(path).astype(np.float64).reshape(-1)
    if shifts.size != num_columns:
        raise RecordingError(f"{path} has {shifts.size} shifts, but `n_signals` is {num_columns}")
    if not np.isfinite(shifts).all():
        raise RecordingError(f"{path}: shift {int(np.argmin(np.isfinite(shifts)))} is not finite")
    return shifts


def _require_rows(num_rows: int, folder: Path, shifts: NDArray[np.float64]) -> None:
    if num_rows < 1:
        raise RecordingError(
            f"{folder / 'meta' / 'phase_shifts.npy'}: shifts from {shifts.min():g} to "
            f"{shifts.max():g} s leave no row in common"
        )
