"""Tiers by time: blocks of trials are cut at 70 and 80 % of their time, with a guard between."""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

TRAIN_SHARE, VALIDATION_SHARE, TEST_SHARE = 0.7, 0.1, 0.2
# Longer than the decay of calcium indicators, so that no response to a stimulus of one tier reaches
# into the next.
GUARD_SECONDS = 4.0
# Larger gaps between trials end a block. In Allen recordings gaps between the blocks of a stimulus
# are minutes and accidental ones are below 1.5 s.
BLOCK_GAP_SECONDS = 10.0
# A trial as long as this is a block of its own, as minutes of spontaneous activity.
LONG_TRIAL_SECONDS = 60.0
# Validation and test have at least so much, train twice that: a whole trial of two seconds, which
# is one window, and room to move it.
LEAST_PART_SECONDS = 5.0
# Shorter blocks are joined: with two guards, validation would have less than three windows.
SHORT_BLOCK_SECONDS = 68.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TierInterval:
    """A stretch of time that belongs to a tier."""

    start_seconds: float
    end_seconds: float
    tier: str


def split_time(extents: NDArray[np.float64], *, cut_short: bool) -> list[TierInterval]:
    """Return which time belongs to which tier.

    Blocks are trials with gaps of at most 10 s; a trial of at least a minute is a block of its own.
    Each block is cut into 70 % train, 10 % validation and 20 % test of the time that its trials
    cover, with 4 s without a tier between. Blocks of less than 68 s are joined with those that
    follow, the last one with those before, and cut together.

    Args:
        extents: float64 `(trials, 2)`: start and end of each trial in seconds, ascending.
        cut_short: Whether recordings of less than 68 s in all are cut too, with at least 5 s of
            validation and of test and 10 s of train; else, and if there is not enough time for
            that, all their time is train.

    Returns:
        Intervals in temporal order, at least 4 s apart where their tiers differ.

    Example:
        >>> parts = split_time(np.array([[0.0, 300.0], [300.0, 308.0]]), cut_short=False)
        >>> [(part.tier, round(part.start_seconds), round(part.end_seconds)) for part in parts]
        [('train', 0, 210), ('validation', 214, 244), ('test', 248, 308)]
    """
    intervals: list[TierInterval] = []
    for unit in _find_units(extents):
        seconds = float((unit[:, 1] - unit[:, 0]).sum())
        is_cut = cut_short or seconds >= SHORT_BLOCK_SECONDS
        intervals += (_cut_unit(unit) if is_cut else None) or [
            TierInterval(
                start_seconds=float(unit[0, 0]), end_seconds=float(unit[-1, 1]), tier="train"
            )
        ]
    guarded = [
        replace(part, end_seconds=min(part.end_seconds, following.start_seconds - GUARD_SECONDS))
        if part.tier != following.tier
        else part
        for part, following in pairwise(intervals)
    ]
    return [part for part in guarded + intervals[-1:] if part.end_seconds > part.start_seconds]


def _find_units(extents: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Return the blocks, joined until each has 68 s; what is left at the end joins the last."""
    if len(extents) == 0:
        return []
    lengths = extents[:, 1] - extents[:, 0]
    is_long = lengths >= LONG_TRIAL_SECONDS
    is_gap = extents[1:, 0] - extents[:-1, 1] > BLOCK_GAP_SECONDS
    block_ends = np.flatnonzero(is_gap | is_long[1:] | is_long[:-1]) + 1
    unit_ends = [0]
    for end in (*block_ends.tolist(), len(extents)):
        if lengths[unit_ends[-1] : end].sum() >= SHORT_BLOCK_SECONDS:
            unit_ends.append(end)
    return np.split(extents, unit_ends[1:-1])


def _cut_unit(extents: NDArray[np.float64]) -> list[TierInterval] | None:
    """Return three intervals of the trials' time; None if there is not enough of it."""
    starts, lengths = extents[:, 0], extents[:, 1] - extents[:, 0]
    ends = np.cumsum(lengths)

    def covered(seconds: float) -> float:
        """Return the time that trials cover before `seconds`."""
        return float(np.clip(seconds - starts, 0.0, lengths).sum())

    def moment(covered_seconds: float) -> float:
        """Return the first time before which trials cover so much."""
        trial = min(int(np.searchsorted(ends, covered_seconds, side="left")), len(ends) - 1)
        return float(starts[trial] + covered_seconds - (ends[trial] - lengths[trial]))

    def borders(train_seconds: float) -> tuple[float, float, float]:
        """Return the end of train, the end of validation, and the test time that is left over."""
        scale = train_seconds / TRAIN_SHARE
        train_end = moment(train_seconds)
        validation_seconds = max(VALIDATION_SHARE * scale, LEAST_PART_SECONDS)
        validation_end = covered(train_end + GUARD_SECONDS) + validation_seconds
        if validation_end >= ends[-1]:
            return train_end, float(extents[-1, 1]), -np.inf
        validation_end = moment(validation_end)
        test_seconds = float(ends[-1]) - covered(validation_end + GUARD_SECONDS)
        return train_end, validation_end, test_seconds - max(TEST_SHARE * scale, LEAST_PART_SECONDS)

    least, most = 2 * LEAST_PART_SECONDS, float(ends[-1])
    if least >= most or borders(least)[2] < 0:
        return None
    # The left-over test time falls as train grows.
    for _ in range(50):
        middle = (least + most) / 2
        least, most = (middle, most) if borders(middle)[2] >= 0 else (least, middle)
    train_end, validation_end, _ = borders(least)
    edges = (
        (float(starts[0]), train_end, "train"),
        (train_end + GUARD_SECONDS, validation_end, "validation"),
        (validation_end + GUARD_SECONDS, float(extents[-1, 1]), "test"),
    )
    return [TierInterval(start_seconds=a, end_seconds=b, tier=tier) for a, b, tier in edges]
