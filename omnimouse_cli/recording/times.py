"""Times of samples as a file gives them, turned into regular clocks; never stretched over a gap."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Clock, latest_index
from omnimouse_cli.text import pluralize

# Times may lie this share of a period off their place on a regular clock: half a period where a
# gap is no whole number of rows, and some jitter.
_MAX_SHARE_OF_PERIOD = 0.6
# A step longer than this many periods is a gap: rows are missing in it.
_GAP_PERIODS = 1.5
# A clock with more than so many rows for each sample, and so many in all, is refused.
_MAX_ROWS_PER_SAMPLE, _MIN_REFUSED_ROWS = 100, 1_000_000
# Slower responses are no scans: their times are in another unit.
_MIN_SCAN_RATE_HZ = 0.1
# A sample of behavior is held no longer than this.
_MAX_HELD_SECONDS = 2.0
# Times have a usual step if half of their steps deviate from the median by less than this share.
_USUAL_DEVIATION = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RegularTimes:
    """A regular clock and the source row of each of its rows.

    Args:
        clock: The clock, on the time axis of the times it was made from.
        source_row: int64 `(clock.num_samples,)`: row of the file, -1 in gaps.
        gaps: float64 `(gaps, 2)`: stretches without a row, in seconds.
        notes: What was found, for the user.
    """

    clock: Clock
    source_row: NDArray[np.int64]
    gaps: NDArray[np.float64]
    notes: tuple[str, ...]

    def read_rows(
        self,
        first: int,
        last: int,
        *,
        read_source: Callable[[int, int], NDArray[Any]],
        num_columns: int,
    ) -> NDArray[np.float32]:
        """Return rows of the clock, float32 `(last - first, num_columns)`; NaN without a source.

        Args:
            first: First row of the clock.
            last: Row of the clock after the last.
            read_source: `read_source(low, high)` returns rows of the file,
                `(high - low, num_columns)`.
            num_columns: Number of columns.

        Example:
            >>> fitted = regular_times(np.array([1.0, 1.1, 1.2, 1.5]), "trace/timestamps")
            >>> read = lambda low, high: np.arange(low, high)[:, None]
            >>> fitted.read_rows(2, 6, read_source=read, num_columns=1)[:, 0].tolist()
            [2.0, nan, nan, 3.0]
        """
        return read_source_rows(self.source_row[first:last], read_source, num_columns)

    def rows_of(self, values: NDArray[Any]) -> Callable[[int, int], NDArray[np.float32]]:
        """Return `Signal.read_rows` of values in memory.

        Args:
            values: `(rows of the file, columns)`.
        """
        return partial(
            self.read_rows,
            read_source=lambda low, high: values[low:high],
            num_columns=values.shape[1],
        )


def read_source_rows(
    source_row: NDArray[np.int64],
    read_source: Callable[[int, int], NDArray[Any]],
    num_columns: int,
) -> NDArray[np.float32]:
    """Return the row of a file that each row of a clock has, float32; NaN without one.

    Args:
        source_row: int64 `(rows,)`: row of the file, -1 for none.
        read_source: `read_source(low, high)` returns rows of the file, `(high - low, num_columns)`.
        num_columns: Number of columns.
    """
    is_stored = source_row >= 0
    rows = np.empty((len(source_row), num_columns), np.float32)
    rows[~is_stored] = np.nan
    if not is_stored.any():
        return rows
    found = source_row[is_stored]
    low, high = int(found.min()), int(found.max()) + 1
    # Values beyond float32 become infinite, which is refused where it matters.
    with np.errstate(over="ignore"):
        stored = read_source(low, high).astype(np.float32, copy=False)
    # A row may be held for several, and others passed over.
    if np.array_equal(source_row, np.arange(low, high)):
        return stored
    rows[is_stored] = stored[found - low]
    return rows


def require_times(times: NDArray[np.float64], where: str) -> None:
    """Check that times are finite and ascend.

    Args:
        times: float64 `(samples,)`, seconds.
        where: File and path inside it, for messages.

    Raises:
        RecordingError: There is no time, one is not finite, or one is not after the one before it.
    """
    if times.size == 0:
        raise RecordingError(
            f"{where} is empty: it has no times",
            hint="every sample needs a time; correct the file, or remove it",
        )
    is_finite = np.isfinite(times)
    if not is_finite.all():
        row = int(np.argmin(is_finite))
        raise RecordingError(
            f"{where}: {int((~is_finite).sum())} of {times.size} times are not finite, the first "
            f"in row {row}",
            hint="every sample needs a time; correct the file, or omit such samples",
        )
    steps = np.diff(times)
    if times.size > 1 and not (steps > 0).all():
        row = int(np.argmin(steps > 0)) + 1
        raise RecordingError(
            f"{where}: times must ascend, but row {row} is at {times[row]:.6f} s and the row "
            f"before it at {times[row - 1]:.6f} s",
            hint="sort the samples by time, and omit those that stand twice",
        )


def require_span(times: NDArray[np.float64], where: str) -> None:
    """Check that no times lie so far from the others that a clock would be mostly gaps.

    Args:
        times: float64 `(samples,)`, seconds.
        where: File and path inside it, for messages.

    Raises:
        RecordingError: Some do.
    """
    finite = times[np.isfinite(times)]
    steps = np.diff(finite)
    period = float(np.median(steps)) if steps.size else 0.0
    if period <= 0:
        return
    span = float(np.ptp(finite))
    if span / period > max(_MAX_ROWS_PER_SAMPLE * len(times), _MIN_REFUSED_ROWS):
        raise RecordingError(
            f"{where}: {len(times)} times, {period:.6g} s apart, cannot span {span:.6g} s",
            hint="correct the times that lie far from the others",
        )


def require_scan_rate(rate_hz: float, where: str) -> None:
    """Check that responses are not so slow that their times cannot be seconds.

    Args:
        rate_hz: Rows per second.
        where: File and path inside it, for messages.

    Raises:
        RecordingError: There is less than a row in 10 seconds.
    """
    if rate_hz < _MIN_SCAN_RATE_HZ:
        raise RecordingError(
            f"{where}: rows of the responses must be at most {1 / _MIN_SCAN_RATE_HZ:g} s apart, "
            f"but they are {1 / rate_hz:.4g} s apart",
            hint="times must be seconds; divide milliseconds by 1000",
        )


def true_runs(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the runs of True: int64 `(runs, 2)`, first and last (exclusive) position of each.

    Example:
        >>> true_runs(np.array([True, False, True, True])).tolist()
        [[0, 1], [2, 4]]
    """
    padded = np.concatenate(([False], mask, [False]))
    return np.flatnonzero(padded[1:] != padded[:-1]).astype(np.int64).reshape(-1, 2)


def regular_times(times: NDArray[np.float64], where: str) -> RegularTimes:
    """Fit a regular clock to times that have jitter and gaps; a gap becomes rows without a source.

    The rate is that of the rows between gaps; rows after a gap stand at the nearest places on the
    clock. Times farther from their places than .6 of a period are refused, because samples would be
    held at the wrong time.

    Args:
        times: float64 `(samples,)`, seconds.
        where: File and path inside it, for messages.

    Returns:
        The clock with the rows of the file.

    Raises:
        RecordingError: Fewer than two times, times that do not ascend or lie far from all others,
            or no regular clock fits.

    Example:
        >>> fitted = regular_times(np.array([1.0, 1.1, 1.2, 1.5, 1.6]), "trace/timestamps")
        >>> round(fitted.clock.rate_hz, 6), fitted.source_row.tolist()
        (10.0, [0, 1, 2, -1, -1, 3, 4])
    """
    require_times(times, where)
    if times.size < 2:
        raise RecordingError(
            f"{where} has one time only: no rate follows from it",
            hint="a signal needs two samples at least; correct the file, or remove it",
        )
    require_span(times, where)
    steps = np.diff(times)
    period = float(np.median(steps))
    is_gap = steps > _GAP_PERIODS * period
    # The mean of the steps without gaps has no error from the resolution of the times.
    period = float(steps[~is_gap].mean())
    rate_hz = 1.0 / period
    after_gaps = np.flatnonzero(is_gap) + 1
    missing = np.zeros(len(after_gaps) + 1)
    # One pass over the gaps: uneven times have tens of thousands of them.
    for gap, row in enumerate(after_gaps.tolist(), start=1):
        nearest = np.rint((times[row] - times[0]) * rate_hz)
        missing[gap] = max(missing[gap - 1], nearest - row)
    rows_between = np.diff(np.concatenate(([0], after_gaps, [times.size])))
    places = np.arange(times.size) + np.repeat(missing, rows_between)
    residual = times - places * period
    start = float((residual.max() + residual.min()) / 2)
    off = np.abs(residual - start)
    if off.max() * rate_hz > _MAX_SHARE_OF_PERIOD:
        row = int(np.argmax(off))
        raise RecordingError(
            f"{where} is not a regular clock: at {rate_hz:.4f} Hz row {row} would be "
            f"{off[row]:.3f} s off its time",
            hint="resample the signal to a regular rate before it is stored",
        )
    rows = places.astype(np.int64)
    source_row = np.full(int(rows[-1]) + 1, -1, np.int64)
    source_row[rows] = np.arange(times.size)
    clock = Clock(start_seconds=start, rate_hz=rate_hz, num_samples=len(source_row))
    before, after = rows[:-1][is_gap] + 1, rows[1:][is_gap]
    gaps = start + np.stack((before, after), axis=1) / rate_hz
    notes: tuple[str, ...] = ()
    if is_gap.any():
        num_missing = len(source_row) - times.size
        notes = (
            f"{where}: {pluralize(int(is_gap.sum()), 'gap')} in the times "
            f"({pluralize(num_missing, 'row')} missing); the "
            f"longest is {steps.max():.3f} s at {times[int(np.argmax(steps))]:.3f} s",
        )
    return RegularTimes(clock=clock, source_row=source_row, gaps=gaps, notes=notes)


def mean_rate(times: NDArray[np.float64]) -> float:
    """Return samples per second without gaps, however uneven the times are; NaN below two times.

    Args:
        times: float64 `(samples,)`, ascending, in seconds.

    Example:
        >>> round(mean_rate(np.array([0, 0.01, 0.05, 0.06, 0.1, 9.1, 9.11, 9.15])), 6)
        40.0
        >>> round(mean_rate(np.array([0.0, 1.0, 2.0, 3.0, 5.0])), 6)
        1.0
    """
    steps = np.diff(times)
    if not steps.size:
        return math.nan
    period = float(np.median(steps))
    is_usual = np.abs(steps - period) <= _USUAL_DEVIATION * period
    if is_usual.mean() < 1 / 2:
        # Uneven times have no usual step: all but gaps count.
        is_usual = steps <= max(period, _MAX_HELD_SECONDS)
    return 1.0 / float(steps[is_usual].mean())


def hold_on_grid(times: NDArray[np.float64], where: str) -> RegularTimes:
    """Return a regular clock at the median rate whose rows hold the latest sample.

    For behavior whose samples have uneven times, as those of a wheel. A stretch of more than two
    seconds without a sample is a gap. Regular times are taken as they are.

    Args:
        times: float64 `(samples,)`, seconds.
        where: File and path inside it, for messages.

    Raises:
        RecordingError: Fewer than two times, or times that do not ascend or lie far from all
            others.
    """
    require_times(times, where)
    if times.size < 2:
        raise RecordingError(
            f"{where} has one time only: no rate follows from it",
            hint="a signal needs two samples at least; correct the file, or remove it",
        )
    require_span(times, where)
    try:
        return regular_times(times, where)
    except RecordingError:
        pass
    rate_hz = 1.0 / float(np.median(np.diff(times)))
    num_samples = int(np.floor((times[-1] - times[0]) * rate_hz)) + 1
    clock = Clock(start_seconds=float(times[0]), rate_hz=rate_hz, num_samples=num_samples)
    grid = clock.start_seconds + np.arange(num_samples) / rate_hz
    source_row = latest_index(times, grid)
    steps = np.append(np.diff(times), np.inf)
    source_row[grid - times[source_row] > _MAX_HELD_SECONDS] = -1
    is_gap = steps[:-1] > _MAX_HELD_SECONDS
    gaps = np.stack((times[:-1][is_gap] + _MAX_HELD_SECONDS, times[1:][is_gap]), axis=1)
    notes = (
        f"{where}: times are uneven (steps from {steps[:-1].min():.4f} to {steps[:-1].max():.4f} "
        f"s, {mean_rate(times):.4g} samples per second on average); samples are held on a grid of "
        f"{rate_hz:.3f} Hz, after the median step",
    )
    return RegularTimes(clock=clock, source_row=source_row, gaps=gaps, notes=notes)
