"""A sequence device (responses, eye tracker, treadmill, ...) of a session folder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.channels import Channels, name_channels
from omnimouse_cli.recording.experanto.clock import DeviceClock, read_clock
from omnimouse_cli.recording.experanto.files import read_array
from omnimouse_cli.recording.experanto.rows import RowFile, SampledRows, open_rows
from omnimouse_cli.recording.experanto.shifts import (
    AppliedShifts,
    HeldColumns,
    ShiftedRows,
    applies_shifts,
    apply_shifts,
)
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.recording import Clock, Content, ResponseKind, Signal
from omnimouse_cli.text import pluralize

RESPONSES = "responses"

_SAMPLED_BLOCKS = 16
_SAMPLED_ROWS = 32
# Whole numbers are raw fluorescence if nearly every neuron is always above zero and most have a
# mean that is large, and large against their standard deviation. Counts of spikes are not.
_LEAST_POSITIVE_SHARE = 0.9
_LEAST_FLUORESCENCE = 20.0
_LEAST_MEAN_IN_STD = 1.5

_Columns = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceDevice:
    """A sequence device in absolute seconds.

    Args:
        signal: The signal; its clock is in absolute seconds.
        stored_rate_hz: Rate of the stored rows.
        is_resampled: Whether rows are not the stored ones, because of phase shifts.
        delay_seconds: float32 `(columns,)`: how late each column was measured; None if unknown.
        response_kind: What responses are, if the stored numbers say so.
        content: What the device holds and is taken for.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    signal: Signal
    stored_rate_hz: float
    is_resampled: bool
    delay_seconds: NDArray[np.float32] | None
    response_kind: ResponseKind | None
    content: Content
    notes: tuple[str, ...]


def open_sequence(folder: Path, meta: Meta, *, grid_start: float | None = None) -> SequenceDevice:
    """Open a sequence device; at most a few thousand rows are read.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.
        grid_start: A time of the grid of windows, in absolute seconds; None for the responses, with
            which the grid begins.

    Raises:
        RecordingError: The files disagree with meta.yml.
    """
    stored, notes = open_rows(folder, meta)
    if stored.num_rows == 0 or stored.num_columns == 0:
        raise RecordingError(
            f"{stored.path} is empty: {stored.num_rows} rows of "
            f"{pluralize(stored.num_columns, 'signal')}"
        )
    device = read_clock(folder, meta, num_rows=stored.num_rows, num_columns=stored.num_columns)
    mean, std, statistics_notes = _read_statistics(folder, stored)
    notes += [*device.notes, *statistics_notes]
    name, num_columns = folder.name, stored.num_columns
    if stored.dtype == np.uint8:
        notes.append(
            f"{name}: stored as uint8 and used as it is (experanto would divide it by 255)"
        )
    shifted = _align_columns(folder, meta, stored, device, grid_start)
    rows: RowFile | SampledRows | ShiftedRows | HeldColumns
    rows, clock = _sampled(stored, device), device.clock
    if shifted is not None:
        rows, clock = shifted.rows, shifted.clock
        notes.append(shifted.note)
    elif (folder / "meta" / "phase_shifts.npy").is_file():
        notes.append(
            f"{name}: meta/phase_shifts.npy is not applied, because meta.yml does not say "
            "`phase_shift_per_signal: true`"
        )
    channels, kind = None, None
    if name == RESPONSES:
        kind, kind_notes = _find_response_kind(stored)
        notes += kind_notes
    else:
        channels = name_channels(name, meta, stored)
        notes += channels.notes
    factor = 1.0 if channels is None else channels.factor
    signal = Signal(
        name=name,
        clock=clock,
        channels=() if channels is None else channels.names,
        num_channels=num_columns,
        read_rows=rows.read if factor == 1 else partial(_read_scaled, rows.read, factor),
        file_mean=None if mean is None else mean * factor,
        file_std=None if std is None else std * factor,
        units=() if channels is None else channels.units,
        source_units=() if channels is None else channels.source_units,
    )
    return SequenceDevice(
        signal=signal,
        stored_rate_hz=device.clock.rate_hz,
        is_resampled=shifted is not None and shifted.is_resampled,
        delay_seconds=None if shifted is None else shifted.shifts.astype(np.float32),
        response_kind=kind,
        content=_describe(stored, device.clock, channels, kind),
        notes=tuple(notes),
    )


def _sampled(stored: RowFile, device: DeviceClock) -> RowFile | SampledRows:
    if device.source_row is None:
        return stored
    return SampledRows(rows=stored, source_row=device.source_row)


def _align_columns(
    folder: Path, meta: Meta, stored: RowFile, device: DeviceClock, grid_start: float | None
) -> AppliedShifts | None:
    """Apply phase shifts; None without them."""
    if not applies_shifts(meta):
        return None
    # Behavior is read at times that lie on the grid of twice the rate of the responses.
    rate_hz = RESPONSE_RATE_HZ if grid_start is None else 2 * RESPONSE_RATE_HZ
    return apply_shifts(
        folder,
        _sampled(stored, device),
        device.clock,
        grid_rate_hz=rate_hz,
        grid_start=grid_start,
    )


def _read_scaled(
    read_rows: Callable[[int, int], NDArray[np.float32]], factor: float, first: int, last: int
) -> NDArray[np.float32]:
    return read_rows(first, last) * np.float32(factor)


def _find_response_kind(rows: RowFile) -> tuple[ResponseKind | None, list[str]]:
    """Return `fluorescence` for whole numbers that look like it, with a note."""
    if rows.dtype.kind not in "iu":
        return None, []
    sample = _sample_rows(rows)
    mean, std = sample.mean(0), sample.std(0)
    is_positive = (sample > 0).all(0)
    is_large = (mean >= _LEAST_FLUORESCENCE) & (mean >= _LEAST_MEAN_IN_STD * std)
    if is_positive.mean() < _LEAST_POSITIVE_SHARE or is_large.mean() < 0.5:
        return None, []
    note = (
        f"responses: stored as {rows.dtype}, all far above zero (mean {np.median(mean):.0f}): "
        "taken for raw fluorescence; --response-kind says otherwise"
    )
    return "fluorescence", [note]


def _describe(
    rows: RowFile, clock: Clock, channels: Channels | None, kind: ResponseKind | None
) -> Content:
    columns = pluralize(rows.num_columns, "neuron" if channels is None else "channel")
    what = f"{rows.dtype}, {pluralize(rows.num_rows, 'row')} x {columns}, {clock.rate_hz:.6g} Hz"
    use = "responses" if kind is None else f"responses ({kind})"
    if channels is not None:
        use = f"behavior: {', '.join(channels.names)}"
    return Content(path=f"{rows.path.parent.name}/{rows.path.name}", what=what, use=use)


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


def _sample_rows(rows: RowFile) -> NDArray[np.float64]:
    """Read a few hundred rows, spread over the recording."""
    last_start = max(rows.num_rows - _SAMPLED_ROWS, 0)
    starts = np.unique(np.linspace(0, last_start, _SAMPLED_BLOCKS).astype(int)).tolist()
    blocks = [rows.read(start, min(start + _SAMPLED_ROWS, rows.num_rows)) for start in starts]
    return np.concatenate(blocks).astype(np.float64)


def _sample_statistics(rows: RowFile) -> tuple[_Columns, _Columns]:
    sample = _sample_rows(rows)
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
