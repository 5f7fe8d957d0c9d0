"""Time series of an NWB file: their data, unit and times."""

import re
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.nwb.tree import Node
from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.recording.times import (
    RegularTimes,
    hold_on_grid,
    regular_times,
    require_scan_rate,
    require_span,
    require_times,
    true_runs,
)
from omnimouse_cli.text import pluralize

# Times beyond this are counted from 1970, not from the start of the session.
_MAX_SESSION_SECONDS = 1e8
# A clock whose rate changes slowly: this share of its steps differs from the median by less than
# that share of it, and a sample is held no farther from its time than this share of a period.
_MIN_DRIFTING_SAMPLES, _MIN_REGULAR_SHARE, _STEP_TOLERANCE = 100, 0.95, 0.2
_MAX_SHARE_OF_PERIOD = 0.75
_NUMBERS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scale:
    """Factor and offset that turn stored values into values of the stated unit.

    Args:
        factor: float64, one for all columns or one per column.
        offset: Added after multiplication.
        notes: What was replaced, for the user.
    """

    factor: NDArray[np.float64]
    offset: float
    notes: tuple[str, ...] = ()

    @property
    def is_identity(self) -> bool:
        """Whether stored values need no change."""
        return bool((self.factor == 1.0).all()) and self.offset == 0.0


def is_series(node: Node) -> bool:
    """Return whether a group is a time series: it has `data` and a clock."""
    if node.is_dataset:
        return False
    data = node.get("data")
    if data is None or not data.is_dataset:
        return False
    return node.get("timestamps") is not None or node.get("starting_time") is not None


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Return a key that sorts numbers within text by value.

    Example:
        >>> sorted(["plane10", "plane2"], key=natural_key)
        ['plane2', 'plane10']
    """
    parts = _NUMBERS.split(text)
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts)


def unit_of(node: Node) -> str:
    """Return the unit of a time series as its file states it; empty if unknown."""
    data = node.get("data")
    unit = "" if data is None else data.attributes.get("unit", data.attributes.get("units", ""))
    unit = unit.strip() if isinstance(unit, str) else ""
    return "" if unit.lower() in ("unknown", "n/a", "na", "n.a.", "none", "no unit") else unit


def scale_of(node: Node, num_columns: int = 1) -> Scale:
    """Return `conversion`, `channel_conversion` and `offset` of a time series.

    Args:
        node: The time series.
        num_columns: Number of columns of its data.

    Raises:
        RecordingError: The conversion is zero, or `channel_conversion` does not fit the columns.
    """
    data = node.get("data")
    assert data is not None, "a time series has data"
    notes = []
    factor = _attribute_number(data, "conversion", 1.0)
    offset = _attribute_number(data, "offset", 0.0)
    if not np.isfinite(factor):
        notes.append(f"{node.path}: `conversion` is {factor}; values are taken as they are stored")
        factor = 1.0
    if not np.isfinite(offset):
        notes.append(f"{node.path}: `offset` is {offset}; none is added")
        offset = 0.0
    if factor == 0:
        raise RecordingError(
            f"{data.where}: `conversion` must not be zero",
            hint="correct the attribute; 1.0 leaves the values as they are",
        )
    factors = np.array([factor])
    channels = node.get("channel_conversion")
    if channels is not None and channels.is_dataset:
        values = channels.numbers().ravel()
        if len(values) != num_columns:
            raise RecordingError(
                f"{channels.where} has {len(values)} values for {num_columns} columns",
                hint="one value per column of `data`",
            )
        factors = factor * values
    return Scale(factor=factors, offset=offset, notes=tuple(notes))


def _attribute_number(node: Node, name: str, default: float) -> float:
    value = np.asarray(node.attributes.get(name, default)).ravel()
    is_number = value.size == 1 and np.issubdtype(value.dtype, np.number)
    return float(value[0]) if is_number else default


def read_times(node: Node, num_samples: int, rate_hz: float | None = None) -> NDArray[np.float64]:
    """Return the times of the samples of a time series.

    Args:
        node: The time series.
        num_samples: Number of its samples.
        rate_hz: Rate where the file has none, as the user says.

    Returns:
        float64 `(num_samples,)`, seconds of the file; they may be NaN.

    Raises:
        RecordingError: There are no times, their number is another, or the rate is not positive.
    """
    timestamps = node.get("timestamps")
    if timestamps is not None and timestamps.is_dataset:
        times = timestamps.numbers().ravel()
        if len(times) != num_samples:
            raise RecordingError(
                f"{node.where} has {num_samples} samples, but {len(times)} timestamps",
                hint="every sample needs one time; correct the file",
            )
        return times
    start, rate = starting_time(node, rate_hz)
    return start + np.arange(num_samples) / rate


def starting_time(node: Node, rate_hz: float | None = None) -> tuple[float, float]:
    """Return time of the first sample and rate of a time series without timestamps.

    Args:
        node: The time series.
        rate_hz: Rate where the file has none, as the user says.

    Raises:
        RecordingError: The file has no start or no positive rate.
    """
    dataset = node.get("starting_time")
    start = node.child_number("starting_time") if dataset is not None else 0.0
    rate = None if dataset is None else _attribute_number(dataset, "rate", np.nan)
    if start is None or not np.isfinite(start):
        raise RecordingError(
            f"{node.where}: `starting_time` must be a number of seconds: {start}",
            hint="correct the file, or store `timestamps`",
        )
    if rate_hz is not None and (rate is None or not rate > 0 or not np.isfinite(rate)):
        return start, rate_hz
    if rate is None:
        raise RecordingError(
            f"{node.where} has neither `timestamps` nor `starting_time`",
            hint="say the rate: --rate HZ; sample 0 is then at 0 s",
        )
    if not rate > 0 or not np.isfinite(rate):
        raise RecordingError(
            f"{node.where}: the rate must be positive: {rate:g} Hz",
            hint="correct `rate` of `starting_time`, or say it: --rate HZ",
        )
    return start, rate


def response_clock(
    node: Node, times: NDArray[np.float64], rate_hz: float | None = None
) -> RegularTimes:
    """Return the regular clock of a series of responses and the file's row of each of its rows.

    Args:
        node: The time series.
        times: float64 `(samples,)`, as `read_times` returns them.
        rate_hz: Rate where the file has none, as the user says.

    Raises:
        RecordingError: The times do not ascend, or fit no regular clock.
    """
    timestamps = node.get("timestamps")
    if timestamps is None:
        stated = _stated_clock(node, len(times), rate_hz)
        require_scan_rate(stated.clock.rate_hz, node.where)
        return stated
    require_times(times, timestamps.where)
    require_span(times, timestamps.where)
    try:
        regular = _without_file(node, regular_times(times, timestamps.where))
    except RecordingError:
        drifting = _drifting_clock(times, timestamps.path)
        if drifting is None:
            raise
        regular = drifting
    require_scan_rate(regular.clock.rate_hz, timestamps.where)
    return regular


def _drifting_clock(times: NDArray[np.float64], where: str) -> RegularTimes | None:
    """Return a regular clock whose rows are the nearest samples of one whose rate changes slowly.

    The rate of a resonant scanner changes by parts of a thousand in an hour. Some samples are then
    repeated or omitted, so that none is farther from its time than half a period.

    Returns:
        The clock; None if the times are no such clock.
    """
    steps = np.diff(times)
    if len(times) < _MIN_DRIFTING_SAMPLES or not (steps > 0).all():
        return None
    period = float(np.median(steps))
    is_regular = np.abs(steps - period) < _STEP_TOLERANCE * period
    if is_regular.mean() < _MIN_REGULAR_SHARE:
        return None
    period = float(steps[is_regular].mean())
    grid = times[0] + period * np.arange(int(np.rint((times[-1] - times[0]) / period)) + 1)
    after = np.clip(np.searchsorted(times, grid), 1, len(times) - 1)
    is_before = grid - times[after - 1] < times[after] - grid
    nearest = np.where(is_before, after - 1, after)
    is_near = np.abs(times[nearest] - grid) <= _MAX_SHARE_OF_PERIOD * period
    gaps = times[0] + period * true_runs(~is_near)
    used = nearest[is_near]
    num_repeated = len(used) - len(np.unique(used))
    num_omitted = len(times) - len(np.unique(used))
    clock = Clock(start_seconds=float(times[0]), rate_hz=1.0 / period, num_samples=len(grid))
    note = (
        f"{where}: the rate changes in the course of the recording; at {clock.rate_hz:.4f} Hz, "
        f"{pluralize(num_repeated, 'sample is', 'samples are')} repeated and {num_omitted} "
        "omitted, so that none is farther than half a row from its time"
    )
    source_row = np.where(is_near, nearest, -1).astype(np.int64)
    return RegularTimes(clock=clock, source_row=source_row, gaps=gaps, notes=(note,))


def behavior_clock(node: Node, times: NDArray[np.float64]) -> RegularTimes:
    """Return a regular clock of a behavior signal; uneven times are held on a grid.

    Samples without a time are dropped first.

    Args:
        node: The time series.
        times: float64 `(samples,)`, as `read_times` returns them.

    Raises:
        RecordingError: The times do not ascend.
    """
    timestamps = node.get("timestamps")
    if timestamps is None:
        return _stated_clock(node, len(times), None)
    kept = np.flatnonzero(np.isfinite(times))
    held = _without_file(node, hold_on_grid(times[kept], timestamps.where))
    if len(kept) == len(times):
        return held
    has_source = held.source_row >= 0
    source_row = np.where(has_source, kept[np.maximum(held.source_row, 0)], -1)
    num_dropped = len(times) - len(kept)
    dropped = pluralize(num_dropped, "sample without a time is", "samples without a time are")
    note = f"{timestamps.path}: {dropped} dropped"
    return replace(held, source_row=source_row, notes=(note, *held.notes))


def _without_file(node: Node, regular: RegularTimes) -> RegularTimes:
    """Return a clock whose notes name paths inside the file only, as notes of a recording do."""
    notes = tuple(note.removeprefix(f"{node.file}: ") for note in regular.notes)
    return replace(regular, notes=notes)


def _stated_clock(node: Node, num_samples: int, rate_hz: float | None) -> RegularTimes:
    start, rate = starting_time(node, rate_hz)
    return RegularTimes(
        clock=Clock(start_seconds=start, rate_hz=rate, num_samples=num_samples),
        source_row=np.arange(num_samples, dtype=np.int64),
        gaps=np.empty((0, 2)),
        notes=(),
    )


def is_epoch_time(times: NDArray[np.float64]) -> bool:
    """Return whether times are counted from 1970 and not from the start of the session."""
    return bool(times.size and np.isfinite(times[0]) and times[0] > _MAX_SESSION_SECONDS)
