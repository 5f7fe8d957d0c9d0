"""A sequence device (responses, eye tracker, treadmill, ...) of a session folder."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.clock import DeviceClock, read_clock
from omnimouse_cli.recording.experanto.meta import Meta, read_array
from omnimouse_cli.recording.experanto.rows import RowFile, open_rows
from omnimouse_cli.recording.experanto.statistics import read_statistics
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS, Signal

_CHANNELS = {
    ("eye_tracker", 4): ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative"),
    ("eye_tracker", 2): ("pupil_x", "pupil_y"),
    ("treadmill", 1): ("running",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftedRows:
    """Rows whose columns were measured at different moments, brought to one clock.

    Args:
        rows: As stored.
        lag: int64 `(num_columns,)`: row r of the common clock is stored row r + lag of the column.
    """

    rows: RowFile
    lag: NDArray[np.int64]

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Read rows `first` to `last` (excluded) of the common clock, float32."""
        stored = self.rows.read(first, last + int(self.lag.max(initial=0)))
        aligned = np.empty((last - first, self.rows.num_columns), np.float32)
        # Few distinct lags: slices of columns need no index as large as the block itself.
        for lag in np.unique(self.lag).tolist():
            columns = np.flatnonzero(self.lag == lag)
            aligned[:, columns] = stored[lag : lag + last - first, columns]
        return aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceDevice:
    """A sequence device before the recording's origin is known.

    Args:
        name: Name of its folder.
        meta: Its meta.yml.
        clock: When its rows were measured, absolute.
        rows: Its rows on that clock.
        num_columns: Channels.
        file_mean: The file's own mean per channel, if any.
        file_std: The file's own standard deviation per channel, if any.
        notes: For the user.
    """

    name: str
    meta: Meta
    clock: DeviceClock
    rows: RowFile | ShiftedRows
    num_columns: int
    file_mean: NDArray[np.float64] | None
    file_std: NDArray[np.float64] | None
    notes: tuple[str, ...]

    def since(self, origin_seconds: float) -> Signal:
        """Give the device's signal in seconds from the recording's origin."""
        return Signal(
            name=self.name,
            clock=self.clock.since(origin_seconds),
            channels=() if self.name == "responses" else channel_names(self.name, self.num_columns),
            num_channels=self.num_columns,
            read_rows=self.rows.read,
            file_mean=self.file_mean,
            file_std=self.file_std,
        )


def channel_names(device: str, num_columns: int) -> tuple[str, ...]:
    """Name the columns of a behavior device: the published layout, else numbered."""
    numbered = tuple(f"{device}_{column}" for column in range(num_columns))
    return _CHANNELS.get((device, num_columns), numbered)


def open_sequence(folder: Path, meta: Meta) -> SequenceDevice:
    """Open a sequence device; reads a few hundred rows at most.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.

    Raises:
        RecordingError: The folder is not what meta.yml promises.
    """
    stored, notes = open_rows(folder, meta)
    if stored.num_rows == 0 or stored.num_columns == 0:
        raise RecordingError(
            f"{stored.path} is empty: {stored.num_rows} rows of {stored.num_columns} signals"
        )
    clock, clock_notes = read_clock(folder, meta, num_rows=stored.num_rows)
    mean, std, statistics_notes = read_statistics(folder, stored)
    notes += [*clock_notes, *statistics_notes]
    if stored.dtype == np.uint8:
        notes.append(
            f"{folder.name}: stored as uint8 and used as it is (experanto would divide it by 255)"
        )
    rows: RowFile | ShiftedRows = stored
    if meta.flag("phase_shift_per_signal"):
        rows, clock, shift_note = _shifted(folder, stored, clock)
        notes.append(shift_note)
    return SequenceDevice(
        name=folder.name,
        meta=meta,
        clock=clock,
        rows=rows,
        num_columns=stored.num_columns,
        file_mean=mean,
        file_std=std,
        notes=tuple(notes),
    )


def _shifted(
    folder: Path, stored: RowFile, clock: DeviceClock
) -> tuple[ShiftedRows, DeviceClock, str]:
    """Bring columns that were measured `shift` seconds late to the clock that all of them share.

    At time t column k holds row floor((t - shift_k - start) * rate). The common clock starts when
    the latest column does and ends when the first column runs out.
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
    common = DeviceClock(start=clock.start + latest, rate_hz=clock.rate_hz, num_rows=num_rows)
    note = (
        f"{folder.name}: phase shifts from {shifts.min():g} to {latest:g} s were applied; "
        f"{stored.num_rows - num_rows} of {stored.num_rows} rows are lost to them"
    )
    return ShiftedRows(rows=stored, lag=lag), common, note
