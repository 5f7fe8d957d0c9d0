"""Windows of a session: starts from which two seconds lie in allowed trials and valid time."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.shard import Shard
from omnimouse_cli.shard.intervals import (
    IndexRanges,
    Intervals,
    grid_ranges,
    intersect,
    merge_intervals,
    subtract,
)
from omnimouse_cli.shard.valid import recorded_time, trial_time, usable_time

BLANK_KIND = "blank"
INVALID_KIND = "invalid"


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
        """Raise ValueError if the stride is not positive."""
        if self.stride_samples < 1:
            raise ValueError(f"`stride_samples` must be positive: {self.stride_samples}")

    @property
    def run_windows(self) -> NDArray[np.int64]:
        """int64 `(num_runs,)`: number of windows of each run."""
        return -(-self.count // self.stride_samples)

    @property
    def num_windows(self) -> int:
        """Number of windows of the session."""
        return int(self.run_windows.sum())

    def grid_index(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the grid index of the first sample of windows.

        Raises:
            IndexError: A number is negative or not below `num_windows`.
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
        """Return the time of the first sample of windows, from the recording's origin."""
        return self.grid_seconds(self.grid_index(numbers))

    def grid_seconds(self, grid_indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the times of grid indices, in seconds from the recording's origin."""
        return grid_seconds(grid_indices, self.grid_start_seconds)


def grid_seconds(grid_indices: NDArray[np.int64], start_seconds: float) -> NDArray[np.float64]:
    """Return the times of grid indices on a grid whose index 0 is at `start_seconds`."""
    return start_seconds + np.asarray(grid_indices, np.int64) / RESPONSE_RATE_HZ


def window_table(
    shard: Shard,
    *,
    tiers: Collection[str],
    include_blanks: bool,
    require_behavior: bool = False,
    stride_samples: int = 1,
) -> WindowTable:
    """Return the windows of a session.

    A window is allowed when all its 60 grid times lie in allowed trials, neither responses nor
    screen have a gap between the first and the last of them, and all behavior signals have begun
    and not ended. Behavior samples in between may be lost.

    Args:
        shard: The open shard of the session.
        tiers: Tiers whose trials are allowed.
        include_blanks: Whether blank screens without a tier are allowed too.
        require_behavior: Whether behavior signals may have no gap either.
        stride_samples: Steps between windows within a run of allowed starts, in 1/30 s.

    Returns:
        The table; it has no windows when no stretch is long enough.
    """
    starts = window_starts(
        _allowed_trials(shard, tiers, include_blanks=include_blanks),
        _valid_time(shard, require_behavior=require_behavior).values(),
        shard.description.responses.clock.start_seconds,
        within_trials=shard.description.windows_within_trials,
    )
    return WindowTable(
        grid_start_seconds=shard.description.responses.clock.start_seconds,
        first=starts[:, 0],
        count=starts[:, 1] - starts[:, 0],
        stride_samples=stride_samples,
    )


def count_lost_windows(
    shard: Shard, *, tiers: Collection[str], include_blanks: bool
) -> dict[str, int]:
    """Return how many windows of a session's trials are not allowed, by reason.

    Each window counts for the first of its reasons: `invalid` trials, `responses`,
    `screen`, behavior signals before their first and after their last valid sample.

    Args:
        shard: The open shard of the session.
        tiers: Tiers whose trials are allowed.
        include_blanks: Whether blank screens without a tier are allowed too.
    """
    description = shard.description
    trials = _allowed_trials(shard, tiers, include_blanks=include_blanks)
    valid = _valid_time(shard, require_behavior=False)

    def count(num_parts: int) -> int:
        starts = window_starts(
            trials,
            [recorded_time(shard), *valid.values()][: num_parts + 1],
            description.responses.clock.start_seconds,
            within_trials=description.windows_within_trials,
        )
        return int((starts[:, 1] - starts[:, 0]).sum())

    left = [count(number) for number in range(len(valid) + 1)]
    lost = {name: left[i] - left[i + 1] for i, name in enumerate(valid)}
    return {name: number for name, number in lost.items() if number}


def _allowed_trials(shard: Shard, tiers: Collection[str], *, include_blanks: bool) -> Intervals:
    """Return the time of the trials of some tiers, and of blanks without one."""
    description, trials = shard.description, shard.trials
    tier_numbers = [number for number, name in enumerate(description.tiers) if name in tiers]
    allowed = np.isin(trials.tier, tier_numbers)
    if include_blanks and BLANK_KIND in description.kinds:
        blank = description.kinds.index(BLANK_KIND)
        allowed |= (trials.tier == -1) & (trials.kind == blank)
    return np.stack([trials.start_seconds[allowed], trials.end_seconds[allowed]], axis=1)


def _valid_time(shard: Shard, *, require_behavior: bool) -> dict[str, Intervals]:
    """Return the time that each modality, and invalid trials, leave for windows, by name."""
    valid = {INVALID_KIND: subtract(recorded_time(shard), trial_time(shard, kind=INVALID_KIND))}
    for name in shard.description.modalities:
        valid[name] = shard.valid(name) if require_behavior else usable_time(shard, name)
    return valid


def window_starts(
    trials: Intervals,
    valid: Iterable[Intervals],
    start_seconds: float,
    *,
    within_trials: bool = False,
) -> IndexRanges:
    """Return the ranges of allowed window starts: allowed trials intersected with valid time.

    Args:
        trials: float64 `(num_trials, 2)`: allowed time in seconds, half-open.
        valid: One float64 `(num_intervals, 2)` per signal, half-open.
        start_seconds: Time of grid index 0.
        within_trials: Whether every window must lie in one trial.

    Returns:
        int64 `(num_runs, 2)`: half-open ranges of grid indices, ascending, with gaps between.
    """
    # Trials that touch are merged on the grid: a trial ends where the next one begins. Gaps of a
    # signal stay gaps even if no grid time lies in them.
    ranges = grid_ranges(trials, start_seconds, RESPONSE_RATE_HZ)
    starts = _window_ranges(
        ranges[np.argsort(ranges[:, 0], kind="stable")]
        if within_trials
        else merge_intervals(ranges)
    )
    for intervals in valid:
        ranges = grid_ranges(merge_intervals(intervals), start_seconds, RESPONSE_RATE_HZ)
        starts = intersect(starts, _window_ranges(ranges))
    return starts


def _window_ranges(ranges: IndexRanges) -> IndexRanges:
    """Turn ranges of grid indices into ranges of the window starts whose 60 samples fit."""
    starts = ranges.copy()
    starts[:, 1] -= NUM_RESPONSE_SAMPLES - 1
    return starts[starts[:, 1] > starts[:, 0]]
