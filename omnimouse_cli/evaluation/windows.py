"""The windows of a tier that an evaluation scores, and their blocks, which resamples weigh."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import TILING_STRIDE_SAMPLES, EvalOptions
from omnimouse_cli.metrics.resamples import block_numbers

PUBLISHED_SCORED_SAMPLES = (30, 60)
# Slower responses are held for several samples of a window, which are scored once; at rates in
# between, a few samples of a minute are.
SLOW_SCAN_HZ = 0.9 * RESPONSE_RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvalWindows:
    """Windows in the order of their time.

    Args:
        grid: int64 `(windows,)`: first sample of each, on the session's grid.
        start_seconds: float64 `(windows,)`: its time, from the recording's origin.
        block: int64 `(windows,)`: its block in resamples.
        stride_samples: Steps between windows, in 1/30 s.
        tier: Tier of the scored trials.
    """

    grid: NDArray[np.int64]
    start_seconds: NDArray[np.float64]
    block: NDArray[np.int64]
    stride_samples: int
    tier: str

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.grid)

    @property
    def num_blocks(self) -> int:
        """Number of blocks of windows."""
        return int(self.block[-1]) + 1 if len(self.block) else 0

    def subset(self, positions: Sequence[int]) -> "EvalWindows":
        """Return the windows at ascending positions."""
        kept = np.asarray(positions, np.int64)
        return replace(
            self,
            grid=self.grid[kept],
            start_seconds=self.start_seconds[kept],
            block=self.block[kept],
        )


def space_evenly(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spaced numbers from 0 to below `count`.

    Example:
        >>> space_evenly(10, 4), space_evenly(2, 4)
        ([0, 2, 5, 7], [0, 1])
    """
    kept = min(count, most)
    return [number * count // kept for number in range(kept)]


def describe_held_rows(sessions: Sequence[SessionInfo]) -> Iterator[str]:
    """Yield a sentence for each session whose responses are slower than the samples of windows."""
    for session in sessions:
        rate_hz = session.shard.description.responses.clock.rate_hz
        if rate_hz < SLOW_SCAN_HZ:
            yield (
                f"responses of {session.key} have {rate_hz:.4g} rows per second and are held in "
                "between: only the first sample of each row is scored"
            )


def find_windows(
    sessions: Sequence[SessionInfo], options: EvalOptions, *, require_behavior: bool
) -> dict[str, EvalWindows]:
    """Find the windows that an evaluation scores, by session; sessions without one are left out.

    Args:
        sessions: The recordings.
        options: `tier`, `include_blanks` and `stride_samples` are used.
        require_behavior: Whether windows lie only where no behavior sample is lost, as in the
            training of the run.

    Raises:
        OmniMouseError: No session has one.
    """
    windows = {
        session.key: evaluation_windows(
            session,
            tier=options.tier,
            include_blanks=options.include_blanks,
            require_behavior=require_behavior,
            stride_samples=options.stride_samples,
        )
        for session in sessions
    }
    windows = {key: found for key, found in windows.items() if len(found)}
    if not windows:
        raise OmniMouseError(
            f"no window of two seconds fits in the trials of tier {options.tier}",
            hint="`omnimouse inspect` lists windows per tier; name another with --tier",
        )
    return windows


def windows_of_strategy(
    session: SessionInfo,
    windows: EvalWindows,
    strategy: Strategy,
    options: EvalOptions,
    *,
    require_behavior: bool,
) -> EvalWindows:
    """Return the windows in which a strategy is scored.

    Targets shorter than the usual second tile the time line too: their windows are as far apart as
    they are long, unless the user chose a stride.

    Args:
        session: The recording.
        windows: Its windows at the stride of the options.
        strategy: The masking strategy.
        options: `tier`, `include_blanks` and `stride_samples` are used.
        require_behavior: Whether windows lie only where no behavior sample is lost.
    """
    if strategy.targets is None or options.stride_samples != TILING_STRIDE_SAMPLES:
        return windows
    length = strategy.targets[1] - strategy.targets[0]
    if length >= TILING_STRIDE_SAMPLES:
        return windows
    return evaluation_windows(
        session,
        tier=options.tier,
        include_blanks=options.include_blanks,
        require_behavior=require_behavior,
        stride_samples=length,
        scored_samples=strategy.targets,
    )


def evaluation_windows(
    session: SessionInfo,
    *,
    tier: str,
    include_blanks: bool,
    stride_samples: int,
    require_behavior: bool = False,
    scored_samples: tuple[int, int] = PUBLISHED_SCORED_SAMPLES,
) -> EvalWindows:
    """Find the windows of a session whose scored samples touch the tier.

    Blank screens without a tier lie between trials of every tier; windows of nothing else would be
    training windows under the name of a test. Where windows stay within trials, a last window ends
    with each trial, so that all of it is scored.

    Args:
        session: The recording.
        tier: Tier of the scored trials.
        include_blanks: Whether windows may reach into blank screens without a tier.
        stride_samples: Steps between windows, in 1/30 s.
        require_behavior: Whether windows lie only where no behavior sample is lost.
        scored_samples: Samples of a window that are scored, half-open: by default its second half.
    """
    table = window_table(
        session.shard,
        tiers=(tier,),
        include_blanks=include_blanks,
        require_behavior=require_behavior,
        stride_samples=stride_samples,
    )
    grid = table.grid_index(np.arange(table.num_windows))
    if session.shard.description.windows_within_trials:
        grid = np.union1d(grid, table.first + table.count - 1)
    start = table.grid_seconds(grid)
    kept = _touches_tier(session, tier, start, scored_samples)
    return EvalWindows(
        grid=grid[kept],
        start_seconds=start[kept],
        block=block_numbers(int(kept.sum()), window_step_seconds=stride_samples / RESPONSE_RATE_HZ),
        stride_samples=stride_samples,
        tier=tier,
    )


def _touches_tier(
    session: SessionInfo,
    tier: str,
    start_seconds: NDArray[np.float64],
    scored_samples: tuple[int, int],
) -> NDArray[np.bool_]:
    trials = session.shard.trials
    tiers = session.shard.description.tiers
    number = tiers.index(tier) if tier in tiers else -2
    chosen = np.flatnonzero(trials.tier == number)
    if not len(chosen):
        return np.zeros(len(start_seconds), np.bool_)
    first = start_seconds + scored_samples[0] / RESPONSE_RATE_HZ
    last = start_seconds + scored_samples[1] / RESPONSE_RATE_HZ
    # The last trial of the tier that begins before the window's end is the one that may reach in.
    position = np.searchsorted(trials.start_seconds[chosen], last, side="left") - 1
    ends = trials.end_seconds[chosen][np.maximum(position, 0)]
    touches: NDArray[np.bool_] = (position >= 0) & (ends > first)
    return touches
