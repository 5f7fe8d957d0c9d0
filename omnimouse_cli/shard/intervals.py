"""Interval algebra: half-open intervals of seconds or of whole numbers, as pure functions.

Intervals are `(intervals, 2)`, ascending and disjoint: float64 seconds, or int64 grid indices.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS

Intervals = NDArray[np.float64]
IndexRanges = NDArray[np.int64]
ALL_TIME: Intervals = np.array([[-np.inf, np.inf]])
_Number = TypeVar("_Number", np.float64, np.int64)


def merge_intervals(pairs: Sequence[tuple[float, float]] | NDArray[_Number]) -> NDArray[_Number]:
    """Return any (start, end) pairs as intervals: sorted, merged, without empty ones.

    Example:
        >>> merge_intervals(np.array([[4, 6], [1, 2], [2, 3], [7, 7]])).tolist()
        [[1, 3], [4, 6]]
    """
    array: NDArray[Any] = np.asarray(pairs).reshape(-1, 2)
    if array.dtype != np.int64:
        array = array.astype(np.float64)
    array = array[array[:, 0] < array[:, 1]]
    if len(array) == 0:
        return array
    array = array[np.argsort(array[:, 0], kind="stable")]
    ends = np.maximum.accumulate(array[:, 1])
    is_first = np.concatenate(([True], array[1:, 0] > ends[:-1]))
    is_last = np.concatenate((is_first[1:], [True]))
    return np.stack((array[is_first, 0], ends[is_last]), axis=1)


def intersect(left: NDArray[_Number], right: NDArray[_Number]) -> NDArray[_Number]:
    """Return what lies in both."""
    if len(left) == 0 or len(right) == 0:
        return left[:0]
    # An interval of the intersection begins where one of the two begins inside the other.
    starts = np.unique(np.concatenate((left[:, 0], right[:, 0])))
    starts = starts[contains(left, starts) & contains(right, starts)]
    ends = [
        intervals[np.searchsorted(intervals[:, 0], starts, side="right") - 1, 1]
        for intervals in (left, right)
    ]
    return np.stack((starts, np.minimum(*ends)), axis=1)


def intersect_all(parts: Iterable[Intervals]) -> Intervals:
    """Return the times that lie in all parts; all time if there is none."""
    result = ALL_TIME
    for part in parts:
        result = intersect(result, part)
    return result


def subtract(left: Intervals, right: Intervals) -> Intervals:
    """Return the times in `left` that are not in `right`."""
    edges = np.concatenate(([-np.inf], right.ravel(), [np.inf])).reshape(-1, 2)
    return intersect(left, edges[edges[:, 0] < edges[:, 1]])


def contains(intervals: NDArray[_Number], values: NDArray[_Number]) -> NDArray[np.bool_]:
    """Return whether each of `values` lies in one of the intervals: bool, shape of `values`."""
    if len(intervals) == 0:
        return np.zeros(values.shape, dtype=np.bool_)
    index = np.searchsorted(intervals[:, 0], values, side="right") - 1
    inside: NDArray[np.bool_] = (index >= 0) & (values < intervals[np.maximum(index, 0), 1])
    return inside


def total_seconds(intervals: Intervals) -> float:
    """Return the summed length of the intervals."""
    return float((intervals[:, 1] - intervals[:, 0]).sum())


def grid_ranges(intervals: Intervals, start_seconds: float, rate_hz: float) -> IndexRanges:
    """Return the ranges of grid indices `k >= 0` whose times lie in each of the intervals.

    The time of index k is `start_seconds + k / rate_hz`, plus the tolerance of sample-and-hold, as
    when samples are read.

    Args:
        intervals: float64 `(intervals, 2)`, seconds; they may touch or overlap.
        start_seconds: Time of index 0.
        rate_hz: Grid times per second.

    Returns:
        int64 `(intervals, 2)`: first and last (exclusive) index of each; a range may be empty.
    """
    times = np.asarray(intervals, np.float64).reshape(-1, 2)
    origin = start_seconds + HOLD_TOLERANCE_SECONDS
    index = np.ceil((times - origin) * rate_hz).astype(np.int64)
    # Rounding of the division may be off by one index.
    index -= origin + (index - 1) / rate_hz >= times
    index += origin + index / rate_hz < times
    return np.maximum(index, 0)
