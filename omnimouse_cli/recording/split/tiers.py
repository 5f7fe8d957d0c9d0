"""Tiers of recordings whose files have none, by the policy that fits or that the user names."""

import bisect
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.options import Split
from omnimouse_cli.recording.recording import Recording, Trial, TrialKind
from omnimouse_cli.recording.split.movies import (
    LEAST_MOVIE_SECONDS,
    SEGMENT_SECONDS,
    Movie,
    cut_movies,
    find_movies,
    segment_tiers,
    stable_hash,
)
from omnimouse_cli.recording.split.time import GUARD_SECONDS, TierInterval, split_time
from omnimouse_cli.recording.split.trials import (
    ROUNDING_SECONDS,
    SplitSource,
    cut_trial,
    prepare,
    replace_trials,
    tier_minutes,
)
from omnimouse_cli.text import format_minutes

MADE_TIERS = ("train", "validation", "test")
WINDOW_SECONDS = 2.0
# A tier needs a stretch of a window and three positions for it. Trials up to that are not cut.
LEAST_TIER_SECONDS = WINDOW_SECONDS + 0.1
LEAST_REPEATS = 3
# Share of the hash, from 0 to 1, up to which a condition that is not test is train.
CONDITION_TRAIN_BELOW = 0.9
# Blanks of at least this length have a tier by time, shorter ones that of the stimulus before.
LONG_BLANK_SECONDS = 10.0

_EXPLANATIONS = {
    "conditions": "stimuli shown at least 3 times are test, a tenth of the others validation",
    "movie-time": "all repeats of a movie, or of a 10-s segment of a longer one, are in one tier, "
    "2 s between tiers",
    "time": "blocks of trials are cut at 70 and 80 % of their time, 4 s between tiers",
}

# The parts of each trial, by trial number.
_Parts = dict[int, list[Trial]]


def assign_tiers(recording: Recording, split: Split = "auto") -> Recording:
    """Return the recording with tiers; one that has tiers in its files keeps them.

    Policies: `conditions` makes stimuli that are shown at least 3 times test, and of the others a
    tenth, by a hash of their names, validation. `movie-time` cuts long or repeated movies into 10-s
    segments, each with all its repeats in one tier by a hash of its name, and the rest by time.
    `time` cuts each block of trials at 70 and 80 % of its time. `auto` takes `conditions` if at
    least half of the videos are shown once and others at least 3 times, else `movie-time` if there
    are movies, else `time`; if that leaves a tier without a window, it takes `time`.

    Trials that belong to two tiers are cut. Blanks are never without a tier, because those are
    allowed in every tier: short ones have the tier of the stimulus before, and those between tiers
    become `invalid`. Without a screen, `unknown` trials fill the time that no trial covers.

    Args:
        recording: The recording.
        split: Which policy.

    Returns:
        The recording with other trials, a note on the tiers, and the policy as `Recording.split`.

    Raises:
        RecordingError: The policy that the user names does not fit the trials.
    """
    if any(trial.tier is not None for trial in recording.trials):
        kept = f"tiers: those of the files are kept; split {split} is for recordings without tiers"
        notes = recording.notes if split == "auto" else (*recording.notes, kept)
        return replace(recording, split="file", notes=notes)
    source = prepare(recording)
    candidates: list[tuple[str, _Parts, list[str]]] = []
    for name, parts in _candidates(source, split):
        missing = _missing_tiers(source, [trial for own in parts.values() for trial in own])
        candidates.append((name, parts, missing))
        if not missing:
            break
    name, parts, missing = min(candidates, key=lambda candidate: len(candidate[2]))
    result = replace_trials(source, parts)
    notes = (*recording.notes, _describe(result, name, missing))
    return replace(result, split=name, notes=notes)


def _candidates(source: SplitSource, split: Split) -> Iterator[tuple[str, _Parts]]:
    """Yield names of policies and all trials, from what fits best to the last resort.

    Raises:
        RecordingError: The policy that the user names does not fit the trials.
    """
    trials, path = source.recording.trials, source.recording.path
    if split in ("auto", "conditions"):
        chosen = _split_by_condition(source, only_videos=split == "auto")
        if chosen is not None:
            yield _complete(source, chosen, "conditions")
        elif split == "conditions":
            raise RecordingError(
                f"{path} cannot be split by conditions: at least one stimulus must be shown "
                f"{LEAST_REPEATS} times, and two less often",
                hint="--split auto takes the policy that fits",
            )
    if split in ("auto", "movie-time"):
        videos = {n: key for n, key in source.keys.items() if trials[n].kind == "video"}
        movies = find_movies(trials, videos)
        if movies:
            yield from _movie_candidates(source, movies)
        elif split == "movie-time":
            raise RecordingError(
                f"{path} cannot be split by movie time: no video is longer than a segment of "
                f"{SEGMENT_SECONDS:g} s, or repeated and at least {LEAST_MOVIE_SECONDS:g} s long",
                hint="--split auto takes the policy that fits",
            )
    if split in ("auto", "time"):
        yield _complete(source, {}, "time")


def _split_by_condition(source: SplitSource, *, only_videos: bool) -> _Parts | None:
    """Return the trials with a tier by their condition; None where conditions do not allow it.

    Args:
        source: The recording.
        only_videos: Whether only videos count, at least half of which must be shown once. Without
            a screen, stimuli of unknown kind may be videos.
    """
    trials = source.recording.trials
    kinds = ("video",) if source.recording.screen is not None else ("video", "unknown")
    keys = {
        n: key
        for n, key in source.keys.items()
        if source.is_usable(trials[n]) and not (only_videos and trials[n].kind not in kinds)
    }
    counts = Counter(keys.values())
    others = sorted((k for k in counts if counts[k] < LEAST_REPEATS), key=stable_hash)
    if len(others) == len(counts) or len(others) < 2:
        return None
    if only_videos:
        lengths = [trials[n].end_seconds - trials[n].start_seconds for n in keys]
        num_unique = sum(count == 1 for count in counts.values())
        if np.median(lengths) < WINDOW_SECONDS or 2 * num_unique < len(counts):
            return None
    num_train = sum(stable_hash(key) < CONDITION_TRAIN_BELOW for key in others)
    num_train = min(max(num_train, 1), len(others) - 1)
    tier_of = dict.fromkeys(counts, "test")
    tier_of |= dict.fromkeys(others[:num_train], "train")
    tier_of |= dict.fromkeys(others[num_train:], "validation")
    return {number: [replace(trials[number], tier=tier_of[key])] for number, key in keys.items()}


def _movie_candidates(source: SplitSource, movies: Sequence[Movie]) -> Iterator[tuple[str, _Parts]]:
    keys = [key for movie in movies for key in movie.segment_keys]
    by_hash = segment_tiers(keys)
    chosen = cut_movies(source.recording, movies, by_hash)
    name, parts = _complete(source, chosen, "movie-time")
    yield name, parts
    rest = [trial for number in parts if number not in chosen for trial in parts[number]]
    filled = segment_tiers(keys, missing=_missing_tiers(source, rest))
    if filled != by_hash:
        yield _complete(source, cut_movies(source.recording, movies, filled), "movie-time")


def _complete(source: SplitSource, chosen: _Parts, policy: str) -> tuple[str, _Parts]:
    """Return the name of the policies, and all trials: the chosen ones, and the rest by time.

    Args:
        source: The recording.
        chosen: The trials that another policy is for, with their tiers.
        policy: Name of that policy.
    """
    trials = source.recording.trials
    neighbors = _short_blanks(source, chosen)
    by_time = [
        number
        for number, trial in enumerate(trials)
        if number not in chosen and number not in neighbors and source.is_usable(trial)
    ]
    intervals = _time_intervals(source, [trials[number] for number in by_time], chosen)
    parts = {number: chosen.get(number, [trial]) for number, trial in enumerate(trials)}
    for number in by_time:
        parts[number] = _cut_by_time(source, trials[number], intervals)
    for number, (before, after) in neighbors.items():
        earlier = _tiers(parts[before])[-1:] if before is not None else []
        later = _tiers(parts[after])[:1] if after is not None else []
        # The response to a stimulus outlasts it. By conditions, no guard is needed.
        is_free = before is None or after is None or earlier == later
        is_free |= policy == "conditions" and after in chosen
        tier = next(iter(earlier or later), None) if is_free else None
        parts[number] = [_with_tier(source, trials[number], tier)]
    if chosen and any(_tiers(parts[number]) for number in by_time):
        policy += " + time"
    return policy, parts


def _tiers(trials: Sequence[Trial]) -> list[str]:
    return [trial.tier for trial in trials if trial.tier is not None]


def _with_tier(source: SplitSource, trial: Trial, tier: str | None) -> Trial:
    """Return a trial with a tier; blanks without one, which would be in every tier, are invalid."""
    is_usable_blank = trial.kind == "blank" and source.recorded(trial)
    kind: TrialKind = "invalid" if tier is None and is_usable_blank else trial.kind
    return replace(trial, kind=kind, tier=tier)


def _short_blanks(source: SplitSource, chosen: _Parts) -> dict[int, tuple[int | None, int | None]]:
    """Return the blanks beside chosen trials, each with the trials before and after it.

    Without a screen, time between trials counts as a blank.
    """
    blanks: list[int] = []
    others: list[int] = []
    for number, trial in enumerate(source.recording.trials):
        is_blank = number not in source.keys and trial.kind in ("blank", "unknown")
        is_short = trial.end_seconds - trial.start_seconds < LONG_BLANK_SECONDS
        if source.is_usable(trial):
            (blanks if is_blank and is_short else others).append(number)
    neighbors: dict[int, tuple[int | None, int | None]] = {}
    for number in blanks:
        place = bisect.bisect(others, number)
        before = others[place - 1] if place > 0 else None
        after = others[place] if place < len(others) else None
        if before in chosen or (before is None and after in chosen):
            neighbors[number] = (before, after)
    return neighbors


def _time_intervals(
    source: SplitSource, trials: Sequence[Trial], chosen: _Parts
) -> list[TierInterval]:
    """Return the tiers of the time of some trials, without what is near chosen ones of others."""
    recorded = np.array([part for trial in trials for part in source.recorded(trial)])
    intervals = split_time(recorded.reshape(-1, 2), cut_short=not chosen)
    # What lies before and after the time that can be used needs no tier of its own.
    if intervals and intervals[0].start_seconds <= source.start_seconds:
        intervals[0] = replace(intervals[0], start_seconds=-np.inf)
    if intervals and intervals[-1].end_seconds >= source.end_seconds:
        intervals[-1] = replace(intervals[-1], end_seconds=np.inf)
    near = sorted(
        (trial.start_seconds - GUARD_SECONDS, trial.end_seconds + GUARD_SECONDS, trial.tier)
        for parts in chosen.values()
        for trial in parts
        if trial.tier is not None
    )
    return [part for interval in intervals for part in _subtract(interval, near)]


def _subtract(
    interval: TierInterval, near: Sequence[tuple[float, float, str]]
) -> Iterator[TierInterval]:
    """Yield the parts of an interval that no other, ascending, interval of another tier covers."""
    start = interval.start_seconds
    for first, last, tier in near:
        if tier == interval.tier or last <= start or first >= interval.end_seconds:
            continue
        if first > start:
            yield replace(interval, start_seconds=start, end_seconds=first)
        start = max(start, last)
    if start < interval.end_seconds:
        yield replace(interval, start_seconds=start)


def _cut_by_time(
    source: SplitSource, trial: Trial, intervals: Sequence[TierInterval]
) -> list[Trial]:
    """Return the parts of a trial that intervals cut; one of about a window or less never is."""
    first = bisect.bisect_right(intervals, trial.start_seconds, key=lambda part: part.end_seconds)
    last = bisect.bisect_left(intervals, trial.end_seconds, key=lambda part: part.start_seconds)
    over = intervals[first:last]
    edges: list[float] = []
    if trial.end_seconds - trial.start_seconds > LEAST_TIER_SECONDS:
        edges = [edge for part in over for edge in (part.start_seconds, part.end_seconds)]
    parts = []
    for part in cut_trial(source.recording, trial, edges):
        tiers = (
            interval.tier
            for interval in over
            if interval.start_seconds - ROUNDING_SECONDS <= part.start_seconds
            and part.end_seconds <= interval.end_seconds + ROUNDING_SECONDS
        )
        condition, offset = part.condition, part.start_seconds - trial.start_seconds
        if condition is not None and offset > 0:
            # It shows other moments of the stimulus than what begins at the start of a trial.
            condition = f"{condition} from {offset:.2f} s"
        parts.append(replace(_with_tier(source, part, next(tiers, None)), condition=condition))
    return parts


def _missing_tiers(source: SplitSource, trials: Sequence[Trial]) -> list[str]:
    """Return the tiers that have no window of recorded time."""
    missing = []
    for tier in MADE_TIERS:
        start, end, longest = -np.inf, -np.inf, 0.0
        for trial in trials:
            for first, last in source.recorded(trial) if trial.tier == tier else ():
                start = first if first - end > ROUNDING_SECONDS else start
                end = last
                longest = max(longest, end - start)
        if longest < LEAST_TIER_SECONDS:
            missing.append(tier)
    return missing


def _describe(recording: Recording, name: str, missing: Sequence[str]) -> str:
    """Return the note on the tiers."""
    made = tier_minutes(recording)
    minutes = ", ".join(f"{tier} {format_minutes(made.get(tier, 0.0))}" for tier in MADE_TIERS)
    rules = "; ".join(_EXPLANATIONS[policy] for policy in name.split(" + "))
    note = f"tiers: the files have none, so they are made by {name} ({rules}): {minutes} minutes"
    if missing:
        note += f"; there is too little recorded time for {', '.join(missing)}"
    return note
