"""The clock of a sequence device: its stated rate, checked against the time span of its rows."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.meta import Meta, read_times
from omnimouse_cli.recording.recording import Clock

# Exports lose up to 0.25 s of rows at the end; a larger difference means that the rate is wrong.
MAX_DRIFT_SECONDS = 0.5
# timestamps.npy has no such gap at its end.
MAX_TIMESTAMP_DRIFT_SECONDS = 0.05
MAX_JITTER_SECONDS = 0.5
MAX_RATE_DIFFERENCE = 0.05
MIN_REPORTED_SECONDS = 0.05


def read_clock(folder: Path, meta: Meta, *, num_rows: int) -> tuple[Clock, list[str]]:
    """Return a device's clock in absolute seconds, after checking `sampling_rate`.

    The time span of the rows is that of timestamps.npy if it has one time per row, else that from
    start_time to end_time. If the stated rate would be more than 0.5 s off at the end (0.05 s by
    timestamps.npy), the rate is computed from the span.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.
        num_rows: Number of rows in the data.

    Returns:
        The clock, and notes for the user.

    Raises:
        RecordingError: Rate and span differ by more than 5 %, or the times of the rows are uneven.
    """
    start, end, rate_hz = (meta.number(key) for key in ("start_time", "end_time", "sampling_rate"))
    if rate_hz <= 0:
        raise RecordingError(f"{meta.source}: `sampling_rate` must be positive: {rate_hz}")
    if end <= start:
        raise RecordingError(
            f"{meta.source}: `end_time` must be later than `start_time`: {end} and {start}"
        )
    clock = Clock(start_seconds=start, rate_hz=rate_hz, num_samples=num_rows)
    if num_rows < 2:
        return clock, []
    notes: list[str] = []
    path = folder / "timestamps.npy"
    times = read_times(path) if path.is_file() else None
    if times is not None and times.size == num_rows:
        clock, notes = _check_timestamps(clock, times, path)
    else:
        if times is not None:
            notes = [f"timestamps.npy has {times.size} times for {num_rows} rows and is not used"]
        clock, more = _check_span(
            clock, end - start, "start_time and end_time", meta.source, MAX_DRIFT_SECONDS
        )
        notes += more
    return clock, [f"{folder.name}: {note}" for note in notes]


def _check_span(
    clock: Clock, span: float, source: str, where: str, max_drift: float
) -> tuple[Clock, list[str]]:
    """Return `clock`, with the rate that follows from `span` if its own drifts too far.

    Args:
        clock: The clock as stated.
        span: Seconds from the first row to the last.
        source: What gives the span, for messages.
        where: The file that is wrong if they disagree, for messages.
        max_drift: Accepted difference at the last row in seconds.
    """
    drift = span - (clock.num_samples - 1) / clock.rate_hz
    if abs(drift) <= max_drift:
        if abs(drift) <= MIN_REPORTED_SECONDS:
            return clock, []
        what = "missing at" if drift > 0 else "beyond"
        return clock, [
            f"{abs(drift):.3f} s of rows are {what} the end that {source} give; the rows decide"
        ]
    rate_hz = (clock.num_samples - 1) / span if span > 0 else float("inf")
    if abs(rate_hz / clock.rate_hz - 1) > MAX_RATE_DIFFERENCE:
        raise RecordingError(
            f"{where}: `sampling_rate` is {clock.rate_hz:g} Hz, but {clock.num_samples} rows in "
            f"{span:.3f} s are {rate_hz:g} Hz, more than {MAX_RATE_DIFFERENCE:.0%} apart",
            hint="correct `sampling_rate`, `start_time`, `end_time` or `n_timestamps`",
        )
    return dataclasses.replace(clock, rate_hz=rate_hz), [
        f"sampling_rate {clock.rate_hz:g} Hz would be {abs(drift):.2f} s off at the end; "
        f"{rate_hz:.6f} Hz from {source} is used"
    ]


def _check_timestamps(
    stated: Clock, times: NDArray[np.float64], path: Path
) -> tuple[Clock, list[str]]:
    clock, notes = _check_span(
        stated,
        float(times[-1] - times[0]),
        "timestamps.npy",
        str(path),
        MAX_TIMESTAMP_DRIFT_SECONDS,
    )
    regular = clock.start_seconds + np.arange(times.size) / clock.rate_hz
    jitter = float(np.abs(times - regular).max())
    if jitter > MAX_JITTER_SECONDS:
        gap = int(np.argmax(np.diff(times)))
        raise RecordingError(
            f"{path} is not a regular clock of {clock.rate_hz:g} Hz from start_time "
            f"{clock.start_seconds:.6f} on: times are up to {jitter:.3f} s off, and row {gap + 1} "
            f"comes {times[gap + 1] - times[gap]:.3f} s after row {gap}",
            hint="fill gaps with rows of NaN, or correct `start_time`",
        )
    if jitter > MIN_REPORTED_SECONDS:
        notes.append(f"timestamps.npy differs from the regular clock by up to {jitter:.3f} s")
    return clock, notes
