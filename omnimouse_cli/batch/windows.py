"""Where in a session windows may start: allowed trials cut with the valid time of every signal."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.shard import Shard

HOLD_TOLERANCE_SECONDS = 1e-4
BLANK_KIND = "blank"
INVALID_KIND = "invalid"

Ranges = NDArray[np.int64]
_Number = TypeVar("_Number", np.float64, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WindowTable:
    """The windows of one session, as runs of consecutive allowed starts on a grid of 1/30 s.

    Args:
        grid_start_seconds: Time of grid index 0, from the recording's origin.
        first: int64 `(num_runs,)`: first allowed start of each run, a grid index.
        count: int64 `(num_runs,)`: allowed starts of each run.
        stride_samples: Grid steps between the windows of a run.
    """

    grid_start_seconds: float
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    stride_samples: int = 1

    def __post_init__(self) -> None:
        """Refuse tables that cannot work."""
        if self.stride_samples < 1:
            raise ValueError(f"`stride_samples` must be positive: {self.stride_samples}")

    @property
    def run_windows(self) -> NDArray[np.int64]:
        """int64 `(num_runs,)`: windows of each run."""
        return -(-self.count // self.stride_samples)

    @property
    def num_windows(self) -> int:
        """Windows of the session."""
        return int(self.run_windows.sum())

    def grid_index(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn window numbers into the grid indices of their first sample.

        Raises:
            IndexError: A number is not among the windows.
        """
        numbers = np.asarray(numbers, np.int64)
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.num_windows:
            raise IndexError(f"window numbers must lie in 0 to {self.num_windows - 1}: {numbers}")
        ends = np.cumsum(self.run_windows)
        run = np.searchsorted(ends, numbers, side="right")
        within = numbers - (ends - self.run_windows)[run]
        index: NDArray[np.int64] = self.first[run] + within * self.stride_samples
        return index

    def start_seconds(self, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Turn window numbers into the time of their first sample, from the recording's origin."""
        return self.grid_seconds(self.grid_index(numbers))

    def grid_seconds(self, grid_indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Turn grid indices into seconds from the recording's origin."""
        return grid_seconds(grid_indices, self.grid_start_seconds)


def grid_seconds(grid_indices: NDArray[np.int64], start_seconds: float) -> NDArray[np.float64]:
    """Turn grid indices into seconds, on a grid whose index 0 is at `start_seconds`."""
    return start_seconds + np.asarray(grid_indices, np.int64) / RESPONSE_RATE_HZ


def window_table(
    shard: Shard,
    *,
    tiers: Collection[str],
    include_blanks: bool,
    stride_samples: int = 1,
) -> WindowTable:
    """Find the windows of a session.

    A window is allowed when all its 60 grid times lie in allowed trials and none of the session's
    signals has a gap between its first and its last.

    Args:
        shard: The session.
        tiers: Tiers whose trials are allowed.
        include_blanks: Whether blank screens without a tier are allowed too.
        stride_samples: Steps between windows within a run of allowed starts, in 1/30 s.

    Returns:
        The table; it has no windows when no stretch is long enough.
    """
    description = shard.description
    trials = shard.trials
    allowed = allowed_trials(
        tier=trials.tier,
        kind=trials.kind,
        tiers=[_number_of(name, description.tiers) for name in tiers],
        blank=_number_of(BLANK_KIND, description.kinds) if include_blanks else None,
    )
    intervals = np.stack([trials.start_seconds[allowed], trials.end_seconds[allowed]], axis=1)
    signals = ["responses", *(device.name for device in description.behavior)]
    if description.screen is not None:
        signals.append("screen")
    invalid = np.stack([trials.start_seconds, trials.end_seconds], axis=1)[
        trials.kind == _number_of(INVALID_KIND, description.kinds)
    ]
    clock = description.responses.clock
    valid = [shard.valid(name) for name in signals]
    valid.append(_complement(invalid, clock.start_seconds, clock.end_seconds))
    starts = window_starts(intervals, valid, clock.start_seconds)
    return WindowTable(
        grid_start_seconds=clock.start_seconds,
        first=starts[:, 0],
        count=starts[:, 1] - starts[:, 0],
        stride_samples=stride_samples,
    )


def allowed_trials(
    *,
    tier: NDArray[np.int32],
    kind: NDArray[np.int32],
    tiers: Sequence[int],
    blank: int | None,
) -> NDArray[np.bool_]:
    """Say of each trial whether its time is allowed.

    Args:
        tier: int32 `(num_trials,)`: tier numbers, -1 without a tier.
        kind: int32 `(num_trials,)`: kind numbers.
        tiers: Allowed tier numbers.
        blank: Kind that is allowed without a tier; None allows none.

    Returns:
        bool `(num_trials,)`.
    """
    allowed = np.isin(tier, list(tiers))
    if blank is not None:
        allowed |= (tier == -1) & (kind == blank)
    return allowed


def window_starts(
    trials: NDArray[np.float64],
    valid: Iterable[NDArray[np.float64]],
    start_seconds: float,
) -> Ranges:
    """Intersect allowed trials with valid time, as ranges of allowed window starts.

    Args:
        trials: float64 `(num_trials, 2)`: allowed time in seconds, half-open.
        valid: One float64 `(num_intervals, 2)` per signal, half-open.
        start_seconds: Time of grid index 0.

    Returns:
        int64 `(num_runs, 2)`: half-open ranges of grid indices, ascending, with gaps between.
    """
    # A trial ends where the next begins, so the grid does not see the border between them;
    # gaps of a signal stay gaps even where no grid time falls into them.
    starts = _shortened(_merged(_grid_ranges(trials, start_seconds)))
    for intervals in valid:
        signal = _shortened(_grid_ranges(_merged(intervals), start_seconds))
        starts = _intersection(starts, signal)
    return starts


def _number_of(name: str, names: Sequence[str]) -> int:
    """The place of a name in a shard's list; one that no trial has when the name is not there."""
    return names.index(name) if name in names else len(names)


def _complement(
    intervals: NDArray[np.float64], start_seconds: float, end_seconds: float
) -> NDArray[np.float64]:
    """The time between two moments that lies in none of the intervals."""
    merged = _merged(intervals)
    edges = np.concatenate(([start_seconds], merged.ravel(), [end_seconds]))
    return edges.reshape(-1, 2)


def _grid_ranges(intervals: NDArray[np.float64], start_seconds: float) -> Ranges:
    """Turn half-open intervals of seconds into half-open ranges of the grid times within them."""
    # Times are advanced as they are when rows are read, so that clock rounding moves both alike.
    times = np.asarray(intervals, np.float64).reshape(-1, 2)
    origin = start_seconds + HOLD_TOLERANCE_SECONDS
    index = np.ceil((times - origin) * RESPONSE_RATE_HZ).astype(np.int64)
    index -= origin + (index - 1) / RESPONSE_RATE_HZ >= times
    index += origin + index / RESPONSE_RATE_HZ < times
    return np.maximum(index, 0)


def _merged(ranges: NDArray[_Number]) -> NDArray[_Number]:
    """Sort half-open ranges and join those that touch or overlap; empty ones vanish."""
    ranges = ranges.reshape(-1, 2)
    ranges = ranges[ranges[:, 1] > ranges[:, 0]]
    if len(ranges) == 0:
        return ranges
    ranges = ranges[np.argsort(ranges[:, 0], kind="stable")]
    ends = np.maximum.accumulate(ranges[:, 1])
    opens = np.concatenate(([True], ranges[1:, 0] > ends[:-1]))
    closes = np.concatenate((opens[1:], [True]))
    return np.stack([ranges[opens, 0], ends[closes]], axis=1)


def _shortened(ranges: Ranges) -> Ranges:
    """Turn ranges of grid times into ranges of the starts whose 60 samples fit in them."""
    starts = ranges.copy()
    starts[:, 1] -= NUM_RESPONSE_SAMPLES - 1
    return starts[starts[:, 1] > starts[:, 0]]


def _intersection(left: Ranges, right: Ranges) -> Ranges:
    """Intersect two sorted lists of ranges without overlaps."""
    if len(left) == 0 or len(right) == 0:
        return np.empty((0, 2), np.int64)
    first = np.searchsorted(right[:, 1], left[:, 0], side="right")
    last = np.searchsorted(right[:, 0], left[:, 1], side="left")
    counts = np.maximum(last - first, 0)
    rows = np.repeat(np.arange(len(left)), counts)
    before = np.repeat(np.cumsum(counts) - counts, counts)
    columns = np.arange(counts.sum()) - before + np.repeat(first, counts)
    low = np.maximum(left[rows, 0], right[columns, 0])
    high = np.minimum(left[rows, 1], right[columns, 1])
    return np.stack([low, high], axis=1)
