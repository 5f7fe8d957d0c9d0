"""Constant behavior during a video: its median, its mean, or missing."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.shard import Shard
from omnimouse_cli.shard.intervals import contains
from omnimouse_cli.shard.valid import trial_time

F32 = NDArray[np.float32]
StateName = Literal["median", "mean", "missing"]
STATES: tuple[StateName, ...] = ("median", "mean", "missing")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BehaviorState:
    """Behavior that does not change while a video is shown.

    Args:
        name: `median` or `mean` of the statistics tier, or `missing`.
        values: float32 `(channels,)`: z-scores over the channels of the model, NaN where behavior
            is missing.
    """

    name: StateName
    values: F32


def make_state(name: StateName, channels: tuple[str, ...], shard: Shard | None) -> BehaviorState:
    """Return constant behavior.

    Args:
        name: `median` of behavior over the tier whose mean and standard deviation z-score it,
            `mean` (a z-score of 0), or `missing`, as if no behavior had been recorded.
        channels: Behavior channels of the model, in its order.
        shard: The session; only `median` needs it.

    Raises:
        OmniMouseError: There is no such state, or `median` without a shard.
    """
    if name not in STATES:
        raise OmniMouseError(
            f"there is no state of behavior {name!r}", hint=f"it is one of {', '.join(STATES)}"
        )
    values = np.full(len(channels), np.nan if name == "missing" else 0.0, np.float32)
    if name == "median" and channels:
        if shard is None:
            raise OmniMouseError(
                "the median of behavior needs the shard of the session, which was not found",
                hint="name the folder of the shards, or choose the state mean or missing",
            )
        medians = _medians(shard)
        for number, channel in enumerate(channels):
            values[number] = medians.get(channel, 0.0)
    return BehaviorState(name=name, values=values)


def describe_state(state: BehaviorState) -> str:
    """Return a sentence about constant behavior, without capital and full stop.

    Example:
        >>> describe_state(BehaviorState(name="mean", values=np.zeros(2, np.float32)))
        'behavior stays at its mean'
    """
    if not state.values.size:
        return "the model takes no behavior"
    if state.name == "missing":
        return "behavior is missing"
    return f"behavior stays at its {state.name}"


def _medians(shard: Shard) -> dict[str, float]:
    """Return the z-score of each channel's median over the tier that gave its mean."""
    tier = shard.description.statistics_tier
    medians: dict[str, float] = {}
    for device in shard.description.behavior:
        rows, clock = shard.behavior(device.name), device.clock
        if tier != "all":
            seconds = clock.start_seconds + np.arange(len(rows)) / clock.rate_hz
            chosen = contains(trial_time(shard, tier=tier), seconds)
            rows = rows[chosen] if chosen.any() else rows
        for column, channel in enumerate(device.channels):
            values = rows[:, column]
            known = values[np.isfinite(values)]
            if known.size:
                median = float(np.median(known))
                medians[channel] = (median - device.mean[column]) / device.std[column]
    return medians
