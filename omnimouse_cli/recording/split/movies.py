"""Tiers of long movies: movie time is cut into segments, each with all its repeats in one tier."""

import hashlib
import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, Trial
from omnimouse_cli.recording.split.trials import ROUNDING_SECONDS, cut_trial, trial_flips

SEGMENT_SECONDS = 10.0
MOVIE_GUARD_SECONDS = 2.0
# A repeated clip is a movie if half of it is left before the guard; most gratings are shorter.
LEAST_MOVIE_SECONDS = 4.0
# Shares of the hash, from 0 to 1, up to which a segment is train, and validation.
TRAIN_BELOW, VALIDATION_BELOW = 0.7, 0.8
# A frame that has been shown for longer is cut in time rather than where it appeared.
_HELD_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Movie:
    """A movie and the trials that show it.

    Args:
        key: What names it in the hash, the same in every recording that shows it.
        numbers: Its trials.
        seconds: Its length, the median of its trials.
    """

    key: str
    numbers: tuple[int, ...]
    seconds: float

    @property
    def segment_keys(self) -> list[str]:
        """What names each segment in the hash; the last is half a segment to one and a half."""
        return [f"{self.key} {n}" for n in range(max(1, round(self.seconds / SEGMENT_SECONDS)))]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A part of a movie.

    Args:
        start_seconds: Its start from the movie's start; it ends where the next part starts.
        tier: Its tier; None for a guard.
        name: Appended to the movie's name.
    """

    start_seconds: float
    tier: str | None
    name: str


def stable_hash(text: str) -> float:
    """Return a number from 0 to 1 (excluded) that depends on the text alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def find_movies(trials: Sequence[Trial], keys: Mapping[int, str]) -> list[Movie]:
    """Return the movies that can be cut: longer than a segment, or repeated and not too short.

    Args:
        trials: All trials of the recording.
        keys: Name of the stimulus of each video trial, by trial number.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for number, key in keys.items():
        groups[key].append(number)
    movies = []
    for key, numbers in groups.items():
        lengths = [trials[n].end_seconds - trials[n].start_seconds for n in numbers]
        movie = Movie(key=key, numbers=tuple(numbers), seconds=float(np.median(lengths)))
        is_repeated = len(numbers) > 1 and movie.seconds >= LEAST_MOVIE_SECONDS
        if len(movie.segment_keys) > 1 or is_repeated:
            movies.append(movie)
    return movies


def segment_tiers(keys: Collection[str], *, missing: Collection[str] = ()) -> dict[str, str]:
    """Return the tier of each segment by its hash: 70 % train, 10 % validation, 20 % test.

    Args:
        keys: Names of the segments.
        missing: Tiers that must have a segment, if there are as many segments. Where the hash gives
            them none, the segments with the largest hashes become test and the next ones
            validation, so that the order of tiers stays that of the hashes.
    """
    by_hash = sorted(keys, key=stable_hash)
    num_test = sum(stable_hash(key) >= VALIDATION_BELOW for key in by_hash)
    num_train = sum(stable_hash(key) < TRAIN_BELOW for key in by_hash)
    num = {
        "train": num_train,
        "validation": len(by_hash) - num_train - num_test,
        "test": num_test,
    }
    for tier in missing if len(keys) >= len(missing) else ():
        if num[tier] == 0:
            # The tier with the most segments can spare one: at least as many as missing tiers.
            spare = max(num, key=lambda name: num[name] - (name in missing))
            num[spare] -= 1
            num[tier] += 1
    tiers = [tier for tier, count in num.items() for _ in range(count)]
    return dict(zip(by_hash, tiers, strict=True))


def cut_movies(
    recording: Recording, movies: Sequence[Movie], tiers: Mapping[str, str]
) -> dict[int, list[Trial]]:
    """Return the parts of the movies' trials, by trial number.

    The last 2 s of a segment have no tier, unless the movie that follows has the same.

    Args:
        recording: The recording.
        movies: Its movies.
        tiers: Tier of each segment, by its key.
    """
    first_tier = {n: tiers[movie.segment_keys[0]] for movie in movies for n in movie.numbers}
    parts: dict[int, list[Trial]] = {}
    for movie in movies:
        own = [tiers[key] for key in movie.segment_keys]
        following = {n: _following_tier(recording, n, first_tier) for n in movie.numbers}
        # All repeats of a segment are cut at the same frames, so that they stay repeats.
        has_last_guard = any(tier not in (None, own[-1]) for tier in following.values())
        flips = _median_flips(recording, movie)
        plan = _plan_parts(movie, own, flips, has_last_guard=has_last_guard)
        for number in movie.numbers:
            cut = _cut_one(recording, recording.trials[number], plan, flips)
            # A trial that was broken off has no guard where it ends; its last part becomes one.
            tier = own[-1] if len(cut) == len(plan) else cut[-1].tier
            cut[-1] = replace(cut[-1], tier=tier if following[number] in (None, tier) else None)
            parts[number] = cut
    return parts


def _following_tier(recording: Recording, number: int, first_tier: Mapping[int, str]) -> str | None:
    """Return the tier of the movie that begins before the guard after a trial has passed."""
    guard_end = recording.trials[number].end_seconds + MOVIE_GUARD_SECONDS
    for later in range(number + 1, len(recording.trials)):
        if recording.trials[later].start_seconds >= guard_end:
            break
        if later in first_tier:
            return first_tier[later]
    return None


def _median_flips(recording: Recording, movie: Movie) -> NDArray[np.float64]:
    """Return when the movie's frames appear, in seconds from its start; empty without a screen."""
    shown = [trial_flips(recording, recording.trials[number]) for number in movie.numbers]
    usual = statistics.mode(len(flips) for flips in shown)
    if usual == 0:
        return np.empty(0)
    median: NDArray[np.float64] = np.median(
        [flips - flips[0] for flips in shown if len(flips) == usual], axis=0
    )
    return median


def _plan_parts(
    movie: Movie, tiers: Sequence[str], flips: NDArray[np.float64], *, has_last_guard: bool
) -> list[_Part]:
    """Return the parts of a movie: its segments, and the guard of each that needs one."""
    has_guard = [*(tier != following for tier, following in pairwise(tiers)), has_last_guard]
    edges = [_snap(SEGMENT_SECONDS * segment, flips) for segment in range(len(tiers))]
    edges.append(movie.seconds)
    # One frame more, because single trials deviate from the median.
    guard_seconds = MOVIE_GUARD_SECONDS + (float(np.diff(flips).max()) if len(flips) > 1 else 0.0)
    parts = []
    for segment, tier in enumerate(tiers):
        first = segment * SEGMENT_SECONDS
        last = first + SEGMENT_SECONDS if segment < len(tiers) - 1 else movie.seconds
        name = "" if len(tiers) == 1 else f" {first:g}-{round(last)} s"
        parts.append(_Part(start_seconds=edges[segment], tier=tier, name=name))
        if has_guard[segment]:
            guard = _snap(edges[segment + 1] - min(guard_seconds, (last - first) / 2), flips)
            name = f" {round(last - MOVIE_GUARD_SECONDS)}-{round(last)} s"
            parts.append(_Part(start_seconds=guard, tier=None, name=name))
    return parts


def _snap(movie_seconds: float, flips: NDArray[np.float64]) -> float:
    """Return the time of the frame that is shown, if it appeared within the last half second."""
    frame = int(np.searchsorted(flips, movie_seconds + ROUNDING_SECONDS, side="right")) - 1
    if frame < 0 or movie_seconds - flips[frame] > _HELD_SECONDS:
        return movie_seconds
    return float(flips[frame])


def _cut_one(
    recording: Recording, trial: Trial, plan: Sequence[_Part], median_flips: NDArray[np.float64]
) -> list[Trial]:
    """Return the parts of one trial; one that was broken off lacks the last ones."""
    flips = trial_flips(recording, trial)
    starts: dict[float, _Part] = {trial.start_seconds: plan[0]}
    for part in plan[1:]:
        frame = int(np.searchsorted(median_flips, part.start_seconds - ROUNDING_SECONDS))
        is_frame = (
            frame < len(median_flips)
            and abs(median_flips[frame] - part.start_seconds) < ROUNDING_SECONDS
        )
        if is_frame and len(flips) == len(median_flips):
            # Repeats of as many frames are cut at the same frame.
            start = float(flips[frame])
        else:
            start = trial.start_seconds + _snap(part.start_seconds, flips - trial.start_seconds)
        starts[start] = part
    cut = []
    for shown in cut_trial(recording, trial, list(starts)):
        part = starts[shown.start_seconds]
        condition = None if trial.condition is None else trial.condition + part.name
        cut.append(replace(shown, tier=part.tier, condition=condition))
    return cut
