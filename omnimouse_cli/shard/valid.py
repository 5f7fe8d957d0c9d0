"""Valid time: when each signal of a session can be used, and what the rest is dropped for."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS, Clock
from omnimouse_cli.shard.intervals import (
    ALL_TIME,
    IndexRanges,
    Intervals,
    intersect,
    intersect_all,
    merge_intervals,
    subtract,
    total_seconds,
)
from omnimouse_cli.shard.read import Shard

# The first and last half second of a signal are not used, as in the experanto package.
END_MARGIN_SECONDS = 0.5
# Around a missing row of a behavior signal: the wider of the experanto package's two rules.
VICINITY_SECONDS = 0.05
# Half a sample of a window.
LONGEST_JITTER_SECONDS = 0.5 / RESPONSE_RATE_HZ
# Clock tolerances cost less than a tenth of a second, which is not reported as dropped.
LEAST_DROPPED_MINUTES = 0.1 / 60


def signal_span(clock: Clock, *, margin_seconds: float = END_MARGIN_SECONDS) -> Intervals:
    """Return the time from 0.5 s after the first row to 0.5 s before the end of the last row.

    Args:
        clock: Clock of the signal.
        margin_seconds: Another margin than 0.5 s.
    """
    return merge_intervals(
        [(clock.start_seconds + margin_seconds, clock.end_seconds - margin_seconds)]
    )


def screen_span(flip_seconds: NDArray[np.float64]) -> Intervals:
    """Return the time from 0.5 s after the first flip to 0.5 s before the last."""
    if len(flip_seconds) == 0:
        return np.empty((0, 2))
    return merge_intervals(
        [(flip_seconds[0] + END_MARGIN_SECONDS, flip_seconds[-1] - END_MARGIN_SECONDS)]
    )


def known_stimulus_time(trials: Intervals) -> Intervals:
    """Return the time in which it is known what is on the screen.

    Args:
        trials: float64 `(trials, 2)`: start and end of the trials of every kind but `unknown`.
            Shorter gaps between them than half a sample are jitter of the flips, not gaps.
    """
    known = merge_intervals(trials)
    if len(known) == 0:
        return known
    is_gap = known[1:, 0] - known[:-1, 1] > LONGEST_JITTER_SECONDS
    starts = known[np.concatenate(([True], is_gap)), 0]
    ends = known[np.concatenate((is_gap, [True])), 1]
    return np.stack((starts, ends), axis=1)


def missing_response_time(clock: Clock, missing: IndexRanges) -> Intervals:
    """Return the times at which sample-and-hold reads a missing row of responses.

    Args:
        clock: Clock of the responses.
        missing: int64 `(runs, 2)`: first and last (exclusive) row of each run of missing rows.
    """
    # A reader may or may not add the tolerance to its times before it looks here; half a tolerance
    # more absorbs rounding, and still ends before the next row plus tolerance.
    first = clock.start_seconds + missing[:, 0] / clock.rate_hz - 1.5 * HOLD_TOLERANCE_SECONDS
    last = clock.start_seconds + missing[:, 1] / clock.rate_hz + 0.5 * HOLD_TOLERANCE_SECONDS
    return merge_intervals(np.stack((first, last), axis=1))


def missing_behavior_time(clock: Clock, missing: IndexRanges) -> Intervals:
    """Return the times around missing rows of a behavior signal, each row with its vicinity.

    Args:
        clock: Clock of the signal.
        missing: int64 `(runs, 2)`: first and last (exclusive) row of each run of missing rows.
    """
    vicinity = VICINITY_SECONDS + max(2 / clock.rate_hz, 0.1 * VICINITY_SECONDS)
    first = clock.start_seconds + missing[:, 0] / clock.rate_hz - vicinity
    last = clock.start_seconds + (missing[:, 1] - 1) / clock.rate_hz + vicinity
    return merge_intervals(np.stack((first, last), axis=1))


def end_margin_seconds(*, within_trials: bool) -> float:
    """Return the time at the ends of signals that is not used.

    Args:
        within_trials: Whether windows stay within trials. Trials that were not recorded one after
            the other have no common start or end.
    """
    return 0.0 if within_trials else END_MARGIN_SECONDS


def recorded_time(shard: Shard) -> Intervals:
    """Return the time in which responses were recorded."""
    clock = shard.description.responses.clock
    return merge_intervals([(clock.start_seconds, clock.end_seconds)])


def trial_time(shard: Shard, *, tier: str | None = None, kind: str | None = None) -> Intervals:
    """Return the time of the trials of a tier or of a kind."""
    trials = shard.trials
    chosen = np.ones(len(trials.start_seconds), dtype=np.bool_)
    if tier is not None:
        chosen &= trials.tier == shard.description.tiers.index(tier)
    if kind is not None:
        kinds = shard.description.kinds
        chosen &= trials.kind == (kinds.index(kind) if kind in kinds else len(kinds))
    return merge_intervals(
        np.stack((trials.start_seconds[chosen], trials.end_seconds[chosen]), axis=1)
    )


def extent(intervals: Intervals) -> Intervals:
    """Return the time from the start of the first interval to the end of the last; empty of none.

    Example:
        >>> extent(np.array([[0.5, 2.0], [3.0, 4.0]])).tolist()
        [[0.5, 4.0]]
    """
    return np.array([[intervals[0, 0], intervals[-1, 1]]]) if len(intervals) else intervals


def usable_time(shard: Shard, modality: str) -> Intervals:
    """Return the time in which windows may lie, as far as one modality is concerned.

    It is the valid time of responses and of the screen. A behavior signal has to have begun and not
    ended, as in the experanto package; samples that are lost between its first and its last valid
    one are masked. Where trials were not recorded one after the other it restricts nothing.
    """
    valid = shard.valid(modality)
    if modality in ("responses", "screen"):
        return valid
    if shard.description.windows_within_trials:
        return recorded_time(shard)
    return extent(valid)


def valid_time(shard: Shard) -> Intervals:
    """Return the recorded time of tiers and blanks in which every modality is usable."""
    parts = [usable_time(shard, modality) for modality in shard.description.modalities]
    return subtract(
        intersect_all([recorded_time(shard), _allowed_time(shard), *parts]),
        trial_time(shard, kind="invalid"),
    )


def valid_fraction(shard: Shard) -> float:
    """Return the share of the recorded time that is valid."""
    return total_seconds(valid_time(shard)) / total_seconds(recorded_time(shard))


def _known_trials(shard: Shard) -> Intervals:
    trials, kinds = shard.trials, shard.description.kinds
    unknown = kinds.index("unknown") if "unknown" in kinds else len(kinds)
    is_known = trials.kind != unknown
    return np.stack((trials.start_seconds[is_known], trials.end_seconds[is_known]), axis=1)


def _allowed_time(shard: Shard) -> Intervals:
    """Return the time of trials with a tier and of blanks, with the jitter between them."""
    trials, kinds = shard.trials, shard.description.kinds
    blank = kinds.index("blank") if "blank" in kinds else len(kinds)
    is_allowed = (trials.tier >= 0) | (trials.kind == blank)
    return known_stimulus_time(
        np.stack((trials.start_seconds[is_allowed], trials.end_seconds[is_allowed]), axis=1)
    )


def tier_minutes(shard: Shard) -> dict[str, float]:
    """Return the minutes of each tier's trials while responses were recorded.

    Missing rows of responses were not recorded, those of withheld responses for one.
    """
    description = shard.description
    margin = end_margin_seconds(within_trials=description.windows_within_trials)
    span = signal_span(description.responses.clock, margin_seconds=margin)
    recorded = subtract(recorded_time(shard), subtract(span, shard.valid("responses")))
    return {
        tier: total_seconds(intersect(trial_time(shard, tier=tier), recorded)) / 60
        for tier in shard.description.tiers
    }


def dropped_minutes(shard: Shard) -> dict[str, float]:
    """Return the minutes of recorded time that are not valid, by reason.

    Each moment has one reason, the first of: `invalid` trials, `margins` at the ends of signals
    (and time before or after a signal), `unknown stimulus` of a recording with a screen,
    `<modality> lost` (of behavior only the time before its first and after its last valid sample,
    `usable_time`), `between tiers` (stimuli without a tier, and time without a trial).
    """
    description = shard.description
    margin = end_margin_seconds(within_trials=description.windows_within_trials)
    spans = [signal_span(description.responses.clock, margin_seconds=margin)]
    known = ALL_TIME
    if description.screen is not None:
        known = known_stimulus_time(_known_trials(shard))
        if not description.windows_within_trials:
            spans.append(screen_span(shard.flip_seconds))
    recorded = recorded_time(shard)
    valid_by_reason = {
        "invalid": subtract(recorded, trial_time(shard, kind="invalid")),
        "margins": intersect_all(spans),
        "unknown stimulus": known,
    }
    valid_by_reason |= {f"{name} lost": usable_time(shard, name) for name in description.modalities}
    valid_by_reason["between tiers"] = _allowed_time(shard)
    remaining, dropped = recorded, {}
    for reason, valid in valid_by_reason.items():
        kept = intersect(remaining, valid)
        minutes = (total_seconds(remaining) - total_seconds(kept)) / 60
        if minutes > LEAST_DROPPED_MINUTES:
            dropped[reason] = minutes
        remaining = kept
    return dropped
