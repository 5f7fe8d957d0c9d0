"""How much of a session can be used, and what the rest is lost to."""

import numpy as np

from omnimouse_cli.shard.read import Shard
from omnimouse_cli.shard.valid import (
    Intervals,
    as_intervals,
    intersect,
    intersect_all,
    signal_span,
    subtract,
    total_seconds,
)

# Less than a tenth of a second is what comparing clocks costs, and no reason to tell.
NOTED_MINUTES = 0.1 / 60


def recorded_seconds(shard: Shard) -> Intervals:
    """The time in which responses were recorded."""
    clock = shard.description.responses.clock
    return as_intervals([(clock.start_seconds, clock.end_seconds)])


def trial_seconds(shard: Shard, *, tier: str | None = None, kind: str | None = None) -> Intervals:
    """The time of the trials of a tier or of a kind."""
    trials = shard.trials
    chosen = np.ones(len(trials.start_seconds), dtype=np.bool_)
    if tier is not None:
        chosen &= trials.tier == shard.description.tiers.index(tier)
    if kind is not None:
        kinds = shard.description.kinds
        chosen &= trials.kind == (kinds.index(kind) if kind in kinds else len(kinds))
    pairs = np.stack((trials.start_seconds[chosen], trials.end_seconds[chosen]), axis=1)
    return as_intervals(pairs)


def usable_seconds(shard: Shard) -> Intervals:
    """The recorded time in which every modality can be used and no trial is invalid."""
    parts = [shard.valid(modality) for modality in shard.description.modalities]
    recorded = intersect_all([recorded_seconds(shard), *parts])
    return subtract(recorded, trial_seconds(shard, kind="invalid"))


def valid_fraction(shard: Shard) -> float:
    """Share of the recorded time that can be used."""
    return total_seconds(usable_seconds(shard)) / total_seconds(recorded_seconds(shard))


def tier_minutes(shard: Shard) -> dict[str, float]:
    """Minutes of each tier's trials while responses were recorded."""
    recorded = recorded_seconds(shard)
    return {
        tier: total_seconds(intersect(trial_seconds(shard, tier=tier), recorded)) / 60
        for tier in shard.description.tiers
    }


def dropped_minutes(shard: Shard) -> dict[str, float]:
    """Minutes of recorded time that cannot be used, by reason; each moment has one reason.

    The reasons are, in this order: `invalid` trials, `margins` at the signals' ends (and time
    before or after a signal), then `<modality> lost`.
    """
    remaining = recorded_seconds(shard)
    dropped: dict[str, float] = {}

    def drop(reason: str, kept: Intervals) -> None:
        nonlocal remaining
        after = intersect(remaining, kept)
        lost = (total_seconds(remaining) - total_seconds(after)) / 60
        if lost > NOTED_MINUTES:
            dropped[reason] = lost
        remaining = after

    drop("invalid", subtract(remaining, trial_seconds(shard, kind="invalid")))
    drop("margins", intersect_all(_spans(shard)))
    for modality in shard.description.modalities:
        drop(f"{modality} lost", shard.valid(modality))
    return dropped


def _spans(shard: Shard) -> list[Intervals]:
    description = shard.description
    spans = [signal_span(description.responses.clock)]
    spans += [signal_span(device.clock) for device in description.behavior]
    if description.screen is not None:
        spans.append(shard.valid("screen"))
    return spans
