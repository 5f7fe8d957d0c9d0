"""Which times can be used: half-open intervals in seconds, as pure functions of arrays.

Intervals are float64 `(intervals, 2)`, ascending and apart from each other.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Clock

Intervals = NDArray[np.float64]

# Clocks are compared with this much patience: a row counts as begun 0.1 ms before its time.
HOLD_TOLERANCE_SECONDS = 1e-4
# The first and last half second of a signal are not used. Source: formats, section 1.9.
END_MARGIN_SECONDS = 0.5
# Around a lost row of a behavior device. Source: formats, section 1.9, the wider of two rules.
VICINITY_SECONDS = 0.05


def as_intervals(pairs: Sequence[tuple[float, float]] | NDArray[np.float64]) -> Intervals:
    """Sort and merge any (start, end) pairs; empty ones vanish."""
    array = np.asarray(pairs, dtype=np.float64).reshape(-1, 2)
    array = array[array[:, 0] < array[:, 1]]
    if len(array) == 0:
        return array
    array = array[np.argsort(array[:, 0], kind="stable")]
    reached = np.maximum.accumulate(array[:, 1])
    first = np.concatenate(([True], array[1:, 0] > reached[:-1]))
    last = np.concatenate((first[1:], [True]))
    return np.stack((array[first, 0], reached[last]), axis=1)


def intersect(left: Intervals, right: Intervals) -> Intervals:
    """The times in both."""
    if len(left) == 0 or len(right) == 0:
        return np.empty((0, 2))
    # Every stretch of an intersection starts where one of the two starts while the other runs.
    starts = np.unique(np.concatenate((left[:, 0], right[:, 0])))
    starts = starts[contains(left, starts) & contains(right, starts)]
    ends = np.minimum(_end_at(left, starts), _end_at(right, starts))
    return np.stack((starts, ends), axis=1)


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """The times in `left` that are not in `right`."""
    edges = np.concatenate(([-np.inf], right.ravel(), [np.inf])).reshape(-1, 2)
    return intersect(left, edges[edges[:, 0] < edges[:, 1]])


def intersect_all(parts: Iterable[Intervals]) -> Intervals:
    """The times in all of them; of none, all time."""
    result = np.array([[-np.inf, np.inf]])
    for part in parts:
        result = intersect(result, part)
    return result


def contains(intervals: Intervals, times: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each of `times` lies in one of the intervals."""
    if len(intervals) == 0:
        return np.zeros(times.shape, dtype=np.bool_)
    index = np.searchsorted(intervals[:, 0], times, side="right") - 1
    inside: NDArray[np.bool_] = (index >= 0) & (times < intervals[np.maximum(index, 0), 1])
    return inside


def total_seconds(intervals: Intervals) -> float:
    """How long they are together."""
    return float((intervals[:, 1] - intervals[:, 0]).sum())


def _end_at(intervals: Intervals, times: NDArray[np.float64]) -> NDArray[np.float64]:
    index = np.searchsorted(intervals[:, 0], times, side="right") - 1
    ends: NDArray[np.float64] = intervals[index, 1]
    return ends


class LostRows:
    """Collects stretches of lost rows from blocks that come in order."""

    def __init__(self) -> None:
        self._edges: list[NDArray[np.int64]] = []
        self._open = False

    def feed(self, first_row: int, lost: NDArray[np.bool_]) -> None:
        """Add a block: bool `(rows,)`, whether each row from `first_row` on is lost."""
        if lost.size == 0:
            return
        before = np.concatenate(([self._open], lost[:-1]))
        self._edges.append(np.flatnonzero(before != lost) + first_row)
        self._open = bool(lost[-1])

    def stretches(self, num_rows: int) -> NDArray[np.int64]:
        """int64 `(stretches, 2)`: first and last (exclusive) row of each, of `num_rows` rows."""
        tail = [np.array([num_rows])] if self._open else []
        edges = np.concatenate([np.empty(0, np.int64), *self._edges, *tail])
        return edges.astype(np.int64).reshape(-1, 2)


def signal_span(clock: Clock) -> Intervals:
    """From 0.5 s after the first row to 0.5 s before the last one is let go."""
    return as_intervals(
        [(clock.start_seconds + END_MARGIN_SECONDS, clock.end_seconds - END_MARGIN_SECONDS)]
    )


def lost_response_seconds(clock: Clock, stretches: NDArray[np.int64]) -> Intervals:
    """The times that would read a lost row of responses."""
    # A reader may or may not advance its times by the tolerance before it looks here; half a
    # tolerance more keeps rounding out, and still ends before the advanced time of the next row.
    first = clock.start_seconds + stretches[:, 0] / clock.rate_hz - 1.5 * HOLD_TOLERANCE_SECONDS
    last = clock.start_seconds + stretches[:, 1] / clock.rate_hz + 0.5 * HOLD_TOLERANCE_SECONDS
    return as_intervals(np.stack((first, last), axis=1))


def lost_behavior_seconds(clock: Clock, stretches: NDArray[np.int64]) -> Intervals:
    """The times around lost rows of a behavior device: each row excludes its vicinity."""
    vicinity = VICINITY_SECONDS + max(2 / clock.rate_hz, 0.1 * VICINITY_SECONDS)
    first = clock.start_seconds + stretches[:, 0] / clock.rate_hz - vicinity
    last = clock.start_seconds + (stretches[:, 1] - 1) / clock.rate_hz + vicinity
    return as_intervals(np.stack((first, last), axis=1))


def screen_span(flip_seconds: NDArray[np.float64]) -> Intervals:
    """From 0.5 s after the first flip to 0.5 s before the last."""
    if len(flip_seconds) == 0:
        return np.empty((0, 2))
    return as_intervals(
        [(flip_seconds[0] + END_MARGIN_SECONDS, flip_seconds[-1] - END_MARGIN_SECONDS)]
    )


def grid_times_within(intervals: Intervals, start_seconds: float, rate_hz: float) -> int:
    """The most times `start_seconds + k / rate_hz` (k >= 0) that one interval holds.

    As everywhere, times are advanced by the tolerance before they are compared.
    """
    if len(intervals) == 0:
        return 0
    edges = np.ceil((intervals - start_seconds - HOLD_TOLERANCE_SECONDS) * rate_hz)
    return int(np.max(edges[:, 1] - np.maximum(edges[:, 0], 0)))
