"""The trials of a recording as columns, and the time of some of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, Trial
from omnimouse_cli.shard.intervals import (
    ALL_TIME,
    Intervals,
    intersect,
    merge_intervals,
    subtract,
)
from omnimouse_cli.shard.read import TrialTable
from omnimouse_cli.shard.valid import known_stimulus_time

STATISTICS_TIER = "train"
ALL_TIERS = "all"
# The order in which tiers are listed; others follow as they appear.
TIER_ORDER = ("train", "validation", "oracle", "test")
# Repeats of a movie are cut at the same frame, which appears up to some frames earlier or later.
LONGEST_JITTER_SECONDS = 0.1


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


def known_time(recording: Recording) -> Intervals:
    """Return the time in which it is known what is on the screen: that of trials, but `unknown`."""
    return known_stimulus_time(_trial_time(recording, lambda trial: trial.kind != "unknown"))


def allowed_time(recording: Recording) -> Intervals:
    """Return the time of trials with a tier and of blanks, without invalid trials.

    If no window may reach from one trial into the next, each trial is an interval of its own.
    """
    allowed = [
        (trial.start_seconds, end)
        for trial, end in zip(recording.trials, _finite_ends(recording), strict=True)
        if trial.tier is not None or trial.kind == "blank"
    ]
    intervals = np.array(allowed, np.float64).reshape(-1, 2)
    if not recording.windows_within_trials:
        intervals = merge_intervals(intervals)
    return subtract(intervals, invalid_time(recording))


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


def stimulus_seen_in_train(recording: Recording, columns: TrialColumns) -> dict[str, bool | None]:
    """Return for each tier but train whether a stimulus of its trials is shown in train trials too.

    Blanks and invalid trials are no stimuli. Parts of trials show the same if they overlap in the
    time of their stimulus. None stands for a tier whose conditions, or those of the train trials,
    are not all known, and of which none is known to be shown in both.

    Args:
        recording: The recording.
        columns: Its trials.
    """
    kinds = np.array([kind not in ("blank", "invalid") for kind in columns.kinds], np.bool_)
    table = columns.table
    is_stimulus = kinds[table.kind] if len(kinds) else np.zeros(len(table.kind), np.bool_)
    conditions = {
        tier: set(table.condition[is_stimulus & (table.tier == number)].tolist())
        for number, tier in enumerate(columns.tiers)
    }
    train = conditions.pop(STATISTICS_TIER, set())
    train_moments = _shown_moments(recording, STATISTICS_TIER)
    seen: dict[str, bool | None] = {}
    for tier, shown in conditions.items():
        if (shown & train) - {-1} or _overlap(_shown_moments(recording, tier), train_moments):
            seen[tier] = True
        else:
            seen[tier] = None if -1 in shown | train else False
    return seen


def _shown_moments(recording: Recording, tier: str) -> dict[str, Intervals]:
    """Return which time of each named stimulus the trials of a tier show, in seconds."""
    shown: dict[str, list[tuple[float, float]]] = {}
    for trial, end in zip(recording.trials, _finite_ends(recording), strict=True):
        is_stimulus = trial.kind not in ("blank", "invalid")
        if trial.tier == tier and trial.stimulus is not None and is_stimulus:
            # An image is the same at each moment.
            start = 0.0 if trial.kind == "image" else trial.cut_seconds
            moments = shown.setdefault(trial.stimulus, [])
            moments.append((start, trial.cut_seconds + end - trial.start_seconds))
    return {stimulus: merge_intervals(moments) for stimulus, moments in shown.items()}


def _overlap(first: Mapping[str, Intervals], second: Mapping[str, Intervals]) -> bool:
    """Whether some moments of a stimulus are in both, for longer than repeats deviate."""
    return any(
        bool((np.diff(intersect(first[stimulus], second[stimulus])) > LONGEST_JITTER_SECONDS).any())
        for stimulus in first.keys() & second.keys()
    )


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
