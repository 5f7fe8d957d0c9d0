"""The clock of a sequence device: its stated rate, held against how long its rows really took."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.meta import Meta, read_times
from omnimouse_cli.recording.recording import Clock

# Exports lose up to 0.25 s of rows at the end; more than that means that the rate is wrong.
MAX_DRIFT_SECONDS = 0.5
# Times of the rows themselves leave no such doubt.
MAX_TIMED_DRIFT_SECONDS = 0.05
MAX_UNEVEN_SECONDS = 0.5
MAX_RATE_DISAGREEMENT = 0.05
NOTED_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClock:
    """A regular clock in absolute seconds.

    Args:
        start: Absolute time of row 0, float64 seconds.
        rate_hz: Rows per second.
        num_rows: Rows.
    """

    start: float
    rate_hz: float
    num_rows: int

    def since(self, origin_seconds: float) -> Clock:
        """Give the clock in seconds from the recording's origin."""
        return Clock(
            start_seconds=self.start - origin_seconds,
            rate_hz=self.rate_hz,
            num_samples=self.num_rows,
        )


def read_clock(folder: Path, meta: Meta, *, num_rows: int) -> tuple[DeviceClock, list[str]]:
    """Read a device's clock and check `sampling_rate` against the rows.

    The span of the rows is taken from timestamps.npy where it fits the rows, else from start_time
    and end_time. A rate that would be more than 0.5 s off at the end (0.05 s by timestamps.npy) is
    derived anew.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.
        num_rows: Rows that the data really have.

    Returns:
        The clock, and notes for the user.

    Raises:
        RecordingError: Rate and span differ by more than 5 %, or the rows come at uneven times.
    """
    start, end, stated_rate = (
        meta.number(key) for key in ("start_time", "end_time", "sampling_rate")
    )
    if stated_rate <= 0:
        raise RecordingError(f"{meta.where}: `sampling_rate` must be positive: {stated_rate}")
    if end <= start:
        raise RecordingError(
            f"{meta.where}: `end_time` must be later than `start_time`: {end} and {start}"
        )
    stated = DeviceClock(start=start, rate_hz=stated_rate, num_rows=num_rows)
    if num_rows < 2:
        return stated, []
    path = folder / "timestamps.npy"
    notes: list[str] = []
    if path.is_file():
        times = read_times(path)
        if times.size == num_rows:
            return _held_against_times(stated, times, path)
        notes.append(
            f"{folder.name}: timestamps.npy has {times.size} times for {num_rows} rows and is not "
            "used"
        )
    clock, more = _held_against_span(
        stated,
        end - start,
        "start_time and end_time",
        meta.where,
        max_drift=MAX_DRIFT_SECONDS,
    )
    return clock, [*notes, *(f"{folder.name}: {note}" for note in more)]


def _held_against_span(
    stated: DeviceClock, span: float, source: str, where: str, *, max_drift: float
) -> tuple[DeviceClock, list[str]]:
    needed = (stated.num_rows - 1) / stated.rate_hz
    drift = span - needed
    if abs(drift) <= max_drift:
        if abs(drift) <= NOTED_SECONDS:
            return stated, []
        what = "missing at" if drift > 0 else "beyond"
        return stated, [
            f"{abs(drift):.3f} s of rows are {what} the end that {source} give; the rows decide"
        ]
    rate = (stated.num_rows - 1) / span if span > 0 else float("inf")
    if abs(rate / stated.rate_hz - 1) > MAX_RATE_DISAGREEMENT:
        raise RecordingError(
            f"{where}: `sampling_rate` is {stated.rate_hz:g} Hz, but {stated.num_rows} rows in "
            f"{span:.3f} s are {rate:g} Hz, more than {MAX_RATE_DISAGREEMENT:.0%} apart",
            hint="correct `sampling_rate`, `start_time`, `end_time` or `n_timestamps`",
        )
    return DeviceClock(start=stated.start, rate_hz=rate, num_rows=stated.num_rows), [
        f"sampling_rate {stated.rate_hz:g} Hz would be {abs(drift):.2f} s off at the end; "
        f"{rate:.6f} Hz from {source} is used"
    ]


def _held_against_times(
    stated: DeviceClock, times: np.ndarray[tuple[int, ...], np.dtype[np.float64]], path: Path
) -> tuple[DeviceClock, list[str]]:
    clock, notes = _held_against_span(
        stated,
        float(times[-1] - times[0]),
        "timestamps.npy",
        str(path),
        max_drift=MAX_TIMED_DRIFT_SECONDS,
    )
    regular = clock.start + np.arange(times.size) / clock.rate_hz
    uneven = np.abs(times - regular)
    worst = float(uneven.max())
    if worst > MAX_UNEVEN_SECONDS:
        gap = int(np.argmax(np.diff(times)))
        raise RecordingError(
            f"{path} is not a regular clock of {clock.rate_hz:g} Hz from start_time "
            f"{clock.start:.6f} on: times are up to {worst:.3f} s off, and row {gap + 1} comes "
            f"{times[gap + 1] - times[gap]:.3f} s after row {gap}",
            hint="fill gaps with rows of NaN, or correct `start_time`",
        )
    if worst > NOTED_SECONDS:
        notes.append(f"timestamps.npy differs from the regular clock by up to {worst:.3f} s")
    return clock, [f"{path.parent.name}: {note}" for note in notes]
