"""The clock of a sequence device: its stated rate, checked against the times of its rows."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.files import read_times
from omnimouse_cli.recording.experanto.rows import TRANSPOSE_HINT
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.recording import Clock
from omnimouse_cli.recording.times import hold_on_grid, regular_times

# Exports lose up to 0.25 s of rows at the end; a larger difference means that the rate is wrong.
MAX_DRIFT_SECONDS = 0.5
MAX_RATE_DIFFERENCE = 0.05
# A rate that is really seconds per row may be counted from another start.
MAX_PERIOD_DIFFERENCE = 0.1
MIN_REPORTED_SECONDS = 0.05
# A stated clock is kept where all times of rows lie this close to it, in seconds and in rows.
KEPT_SECONDS = 0.05
KEPT_ROWS = 0.6
# Times and start_time that differ more belong to different clocks.
MAX_START_DIFFERENCE_SECONDS = 0.5
# Times below this are no seconds since 1970.
_LEAST_EPOCH_SECONDS = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceClock:
    """A regular clock, and which row of the file each of its rows is.

    Args:
        clock: The clock, in absolute seconds.
        source_row: int64 `(clock.num_samples,)`: row of the file, -1 where none was recorded; None
            if the rows of the file are those of the clock.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    clock: Clock
    source_row: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()


def read_clock(folder: Path, meta: Meta, *, num_rows: int, num_columns: int) -> DeviceClock:
    """Return a device's clock in absolute seconds, after checking `sampling_rate`.

    timestamps.npy, if it has one time per row, is obeyed: the stated clock is kept where it gives
    every row its time, else a clock is fitted, in which gaps are rows without a source; uneven
    times of behavior are held on a grid. In responses such rows are refused without
    --allow-gaps. The experanto library itself reads no timestamps.npy.
    Otherwise the time span of the rows is that from start_time to end_time, and if the stated rate
    would be more than 0.5 s off at the end, the rate is computed from the span.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.
        num_rows: Number of rows in the data.
        num_columns: Number of columns in the data.

    Raises:
        RecordingError: Rate and span differ by more than 5 %, or no regular clock fits the times of
            responses.
    """
    start, end, rate_hz = (meta.number(key) for key in ("start_time", "end_time", "sampling_rate"))
    if rate_hz <= 0:
        raise RecordingError(f"{meta.source}: `sampling_rate` must be positive: {rate_hz}")
    if end <= start:
        raise RecordingError(
            f"{meta.source}: `end_time` must be later than `start_time`: {end} and {start}"
        )
    stated = Clock(start_seconds=start, rate_hz=rate_hz, num_samples=num_rows)
    if num_rows < 2:
        return DeviceClock(clock=stated)
    notes: list[str] = []
    path = folder / "timestamps.npy"
    times = read_times(path) if path.is_file() else None
    if times is not None and times.size == num_rows:
        fitted = _obey_times(stated, times, path)
    else:
        if times is not None:
            notes = [f"timestamps.npy has {times.size} times for {num_rows} rows and is not used"]
        fitted = _check_span(stated, end - start, meta.source, num_columns)
    return dataclasses.replace(
        fitted, notes=tuple(f"{folder.name}: {note}" for note in (*notes, *fitted.notes))
    )


def _check_span(stated: Clock, span: float, where: str, num_columns: int) -> DeviceClock:
    """Return the stated clock, with the rate that follows from `span` if its own drifts too far.

    Args:
        stated: The clock as stated.
        span: Seconds from start_time to end_time.
        where: The file that is wrong if they disagree, for messages.
        num_columns: Number of columns, to recognize exchanged axes.
    """
    drift = span - (stated.num_samples - 1) / stated.rate_hz
    if abs(drift) <= MAX_DRIFT_SECONDS:
        if abs(drift) <= MIN_REPORTED_SECONDS:
            return DeviceClock(clock=stated)
        what = "missing at" if drift > 0 else "beyond"
        note = (
            f"{abs(drift):.3f} s of rows are {what} the end that start_time and end_time give; "
            "the rows decide"
        )
        return DeviceClock(clock=stated, notes=(note,))
    rate_hz = (stated.num_samples - 1) / span
    clock = dataclasses.replace(stated, rate_hz=rate_hz)
    if stated.rate_hz < 1 and abs(rate_hz * stated.rate_hz - 1) <= MAX_PERIOD_DIFFERENCE:
        note = (
            f"sampling_rate {stated.rate_hz:g} is about the number of seconds per row; "
            f"{rate_hz:.6f} Hz from start_time and end_time is used"
        )
        return DeviceClock(clock=clock, notes=(note,))
    if abs(rate_hz / stated.rate_hz - 1) > MAX_RATE_DIFFERENCE:
        is_exchanged = abs((num_columns - 1) / span / stated.rate_hz - 1) <= MAX_RATE_DIFFERENCE
        raise RecordingError(
            f"{where}: `sampling_rate` is {stated.rate_hz:g} Hz, but {stated.num_samples} rows in "
            f"{span:.3f} s are {rate_hz:g} Hz, more than {MAX_RATE_DIFFERENCE:.0%} apart",
            hint=TRANSPOSE_HINT
            if is_exchanged
            else "correct `sampling_rate`, `start_time`, `end_time` or `n_timestamps`",
        )
    note = (
        f"sampling_rate {stated.rate_hz:g} Hz would be {abs(drift):.2f} s off at the end; "
        f"{rate_hz:.6f} Hz from start_time and end_time is used"
    )
    return DeviceClock(clock=clock, notes=(note,))


def _obey_times(stated: Clock, times: NDArray[np.float64], path: Path) -> DeviceClock:
    """Return the stated clock if it gives every row its time, else a clock fitted to the times."""
    notes: list[str] = []
    start = stated.start_seconds
    if start > _LEAST_EPOCH_SECONDS and abs(times[0]) <= MAX_START_DIFFERENCE_SECONDS:
        times = times + start
        notes.append("timestamps.npy counts from 0; start_time is added")
    if abs(times[0] - start) > MAX_START_DIFFERENCE_SECONDS:
        raise RecordingError(
            f"{path} begins at {times[0]:.6f} s, but `start_time` is {start:.6f} s",
            hint="both must count seconds from one origin; correct the wrong one, or remove "
            "timestamps.npy, which the experanto library does not read",
        )
    off = times - (start + np.arange(times.size) / stated.rate_hz)
    largest = float(np.abs(off).max())
    if largest <= min(KEPT_SECONDS, KEPT_ROWS / stated.rate_hz):
        return DeviceClock(clock=stated, notes=tuple(notes))
    fitted = _fit_times(times, path, is_responses=path.parent.name == "responses")
    if fitted is None:
        # Times of a coarse resolution: no row is as far as the next from its place.
        is_close = largest <= 1.01 / stated.rate_hz
        if not is_close or abs(float(np.median(off))) * stated.rate_hz > KEPT_ROWS:
            regular_times(times, str(path))
        notes.append(
            f"times in timestamps.npy are up to {largest:.3f} s off a clock of "
            f"{stated.rate_hz:g} Hz, which is used"
        )
        return DeviceClock(clock=stated, notes=tuple(notes))
    rate_hz = fitted.clock.rate_hz
    # Gaps lower the mean rate, and uneven steps have another median than mean.
    rates = np.array([rate_hz, (times.size - 1) / (times[-1] - times[0])])
    if np.abs(rates / stated.rate_hz - 1).min() > MAX_RATE_DIFFERENCE:
        raise RecordingError(
            f"{path}: its times give {rate_hz:g} Hz, but `sampling_rate` is {stated.rate_hz:g} Hz, "
            f"more than {MAX_RATE_DIFFERENCE:.0%} apart",
            hint="correct `sampling_rate` or timestamps.npy",
        )
    notes.append(
        f"with sampling_rate {stated.rate_hz:g} Hz alone rows would be up to {largest:.3f} s off "
        f"their times; {rate_hz:.6f} Hz from timestamps.npy is used"
    )
    return dataclasses.replace(fitted, notes=(*notes, *fitted.notes))


def _fit_times(times: NDArray[np.float64], path: Path, *, is_responses: bool) -> DeviceClock | None:
    """Return a regular clock of the times; None if none fits.

    Uneven behavior is held on a grid; responses are not, because samples of them would be repeated.
    """
    for fit in (regular_times,) if is_responses else (regular_times, hold_on_grid):
        with contextlib.suppress(RecordingError):
            fitted = fit(times, path.name)
            is_whole = fitted.clock.num_samples == times.size
            return DeviceClock(
                clock=fitted.clock,
                source_row=None
                if is_whole and np.array_equal(fitted.source_row, np.arange(times.size))
                else fitted.source_row,
                notes=fitted.notes,
            )
    return None
