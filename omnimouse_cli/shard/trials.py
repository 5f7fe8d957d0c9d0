"""The trials of a recording as columns, and the times of some of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, Trial
from omnimouse_cli.shard.read import TrialTable
from omnimouse_cli.shard.valid import Intervals, as_intervals, subtract

STATISTICS_TIER = "train"
ALL_TIERS = "all"
# The order in which tiers are listed; others follow as they appear.
TIER_ORDER = ("train", "validation", "oracle", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialColumns:
    """A trial table and the names that its numbers stand for."""

    table: TrialTable
    tiers: tuple[str, ...]
    kinds: tuple[str, ...]
    conditions: tuple[str, ...]


def trial_columns(recording: Recording, conditions: Sequence[str | None]) -> TrialColumns:
    """Turn the trials of a recording into columns; an open end becomes the end of all signals.

    Args:
        recording: The recording.
        conditions: Name of each trial's stimulus.
    """
    trials = recording.trials
    end_seconds = recording_end_seconds(recording)
    tiers, tier = _numbered((trial.tier for trial in trials), first=TIER_ORDER)
    kinds, kind = _numbered(trial.kind for trial in trials)
    names, condition = _numbered(conditions)
    table = TrialTable(
        start_seconds=np.array([trial.start_seconds for trial in trials], dtype=np.float64),
        end_seconds=np.array(
            [_finite_end(trial, end_seconds) for trial in trials], dtype=np.float64
        ),
        tier=tier,
        kind=kind,
        condition=condition,
    )
    return TrialColumns(table=table, tiers=tiers, kinds=kinds, conditions=names)


def recording_end_seconds(recording: Recording) -> float:
    """When the last of the recording's signals ends."""
    ends = [signal.clock.end_seconds for signal in (recording.responses, *recording.behavior)]
    return max(ends)


def times_of(recording: Recording, chosen: Callable[[Trial], bool]) -> Intervals:
    """The time of the trials for which `chosen` is true."""
    end_seconds = recording_end_seconds(recording)
    return as_intervals(
        [(t.start_seconds, _finite_end(t, end_seconds)) for t in recording.trials if chosen(t)]
    )


def invalid_times(recording: Recording) -> Intervals:
    """The time that must not be used, because its trials say so."""
    return times_of(recording, lambda trial: trial.kind == "invalid")


def allowed_times(recording: Recording) -> Intervals:
    """The time that some window could take: trials with a tier and blanks, none invalid."""
    allowed = times_of(recording, lambda trial: trial.tier is not None or trial.kind == "blank")
    return subtract(allowed, invalid_times(recording))


def statistics_times(recording: Recording) -> tuple[str, Intervals]:
    """The tier that statistics are taken on, and its time.

    A recording without a train trial while responses were recorded gives all of its time.
    """
    clock = recording.responses.clock
    invalid = invalid_times(recording)
    train = subtract(times_of(recording, lambda trial: trial.tier == STATISTICS_TIER), invalid)
    during = (train[:, 0] < clock.end_seconds) & (train[:, 1] > clock.start_seconds)
    if during.any():
        return STATISTICS_TIER, train
    return ALL_TIERS, subtract(np.array([[-np.inf, np.inf]]), invalid)


def _numbered(
    names: Iterable[str | None], *, first: Sequence[str] = ()
) -> tuple[tuple[str, ...], NDArray[np.int32]]:
    """Number the names that occur: those of `first` in its order, then as they appear."""
    column = list(names)
    present = dict.fromkeys(name for name in column if name is not None)
    ordered = tuple(dict.fromkeys([*(name for name in first if name in present), *present]))
    numbers = {name: number for number, name in enumerate(ordered)}
    rows = [-1 if name is None else numbers[name] for name in column]
    return ordered, np.array(rows, dtype=np.int32)


def _finite_end(trial: Trial, end_seconds: float) -> float:
    if np.isfinite(trial.end_seconds):
        return trial.end_seconds
    return max(end_seconds, trial.start_seconds)
