"""The trials of a recording as columns, and the time of some of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, Trial
from omnimouse_cli.shard.intervals import ALL_TIME, Intervals, merge_intervals, subtract
from omnimouse_cli.shard.read import TrialTable

STATISTICS_TIER = "train"
ALL_TIERS = "all"
# The order in which tiers are listed; others follow as they appear.
TIER_ORDER = ("train", "validation", "oracle", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumns:
    """A trial table, and the names of tiers, kinds and conditions that its numbers refer to."""

    table: TrialTable
    tiers: tuple[str, ...]
    kinds: tuple[str, ...]
    conditions: tuple[str, ...]


def trial_columns(recording: Recording, conditions: Sequence[str | None]) -> TrialColumns:
    """Return the trials of a recording as columns; an open end becomes the end of all signals.

    Args:
        recording: The recording.
        conditions: Name of the stimulus of each trial, None without one.
    """
    trials = recording.trials
    tiers, tier = _number_names((trial.tier for trial in trials), first=TIER_ORDER)
    kinds, kind = _number_names(trial.kind for trial in trials)
    names, condition = _number_names(conditions)
    table = TrialTable(
        start_seconds=np.array([trial.start_seconds for trial in trials], dtype=np.float64),
        end_seconds=np.array(_finite_ends(recording), dtype=np.float64),
        tier=tier,
        kind=kind,
        condition=condition,
    )
    return TrialColumns(table=table, tiers=tiers, kinds=kinds, conditions=names)


def _trial_time(recording: Recording, is_selected: Callable[[Trial], bool]) -> Intervals:
    """Return the time of the selected trials."""
    ends = _finite_ends(recording)
    return merge_intervals(
        [
            (trial.start_seconds, end)
            for trial, end in zip(recording.trials, ends, strict=True)
            if is_selected(trial)
        ]
    )


def invalid_time(recording: Recording) -> Intervals:
    """Return the time of invalid trials."""
    return _trial_time(recording, lambda trial: trial.kind == "invalid")


def allowed_time(recording: Recording) -> Intervals:
    """Return the time of trials with a tier and of blanks, without invalid trials."""
    allowed = _trial_time(recording, lambda trial: trial.tier is not None or trial.kind == "blank")
    return subtract(allowed, invalid_time(recording))


def statistics_time(recording: Recording) -> tuple[str, Intervals]:
    """Return the tier that statistics are computed on, and its time.

    It is all valid time if there is no train trial while responses were recorded.
    """
    clock = recording.responses.clock
    invalid = invalid_time(recording)
    train = subtract(_trial_time(recording, lambda trial: trial.tier == STATISTICS_TIER), invalid)
    during = (train[:, 0] < clock.end_seconds) & (train[:, 1] > clock.start_seconds)
    if during.any():
        return STATISTICS_TIER, train
    return ALL_TIERS, subtract(ALL_TIME, invalid)


def _number_names(
    names: Iterable[str | None], *, first: Sequence[str] = ()
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Return the names that occur, those of `first` first, and the number of each row's name."""
    column = list(names)
    present = dict.fromkeys(name for name in column if name is not None)
    ordered = tuple(dict.fromkeys([*(name for name in first if name in present), *present]))
    numbers = {name: number for number, name in enumerate(ordered)}
    rows = [-1 if name is None else numbers[name] for name in column]
    return ordered, np.array(rows, dtype=np.int32)


def _finite_ends(recording: Recording) -> list[float]:
    """Return the end of each trial; an open end becomes the end of the last signal."""
    signals = (recording.responses, *recording.behavior)
    last = max(signal.clock.end_seconds for signal in signals)
    return [
        trial.end_seconds if np.isfinite(trial.end_seconds) else max(last, trial.start_seconds)
        for trial in recording.trials
    ]
