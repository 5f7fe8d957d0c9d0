"""The trials that are given tiers: their usable time, their stimuli, and parts of them."""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, Trial

# As the shard has it: half a second at both ends of a signal is not used.
END_MARGIN_SECONDS = 0.5
# Differences of times that are rounding.
ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSource:
    """A recording whose trials are to be given tiers.

    Args:
        recording: The recording; without a screen, `unknown` trials fill the time between trials.
        start_seconds: Start of the time in which every signal can be used.
        end_seconds: End of it.
        keys: Name of the stimulus of each trial that shows one, by trial number.
    """

    recording: Recording
    start_seconds: float
    end_seconds: float
    keys: Mapping[int, str]

    def is_usable(self, trial: Trial) -> bool:
        """Whether a trial can have a tier."""
        if trial.kind == "unknown":
            return self.recording.screen is None
        return trial.kind != "invalid"

    def recorded(self, trial: Trial) -> list[tuple[float, float]]:
        """Return the parts of a trial in which every signal can be used, without gaps."""
        start = max(trial.start_seconds, self.start_seconds)
        end = min(trial.end_seconds, self.end_seconds)
        return _without_gaps(self.recording, start, end)


def _without_gaps(recording: Recording, start: float, end: float) -> list[tuple[float, float]]:
    """Return the parts of the time from `start` to `end` that are in no gap of the responses."""
    gaps = recording.gaps
    parts = []
    for first, last in gaps[(gaps[:, 0] < end) & (gaps[:, 1] > start)].tolist():
        if start < first:
            parts.append((start, first))
        start = max(start, last)
    return [*parts, (start, end)] if start < end else parts


def tier_minutes(recording: Recording) -> dict[str, float]:
    """Return the minutes of each tier's trials while responses were recorded, as the shard has it.

    Args:
        recording: A recording with tiers.
    """
    clock = recording.responses.clock
    minutes: dict[str, float] = {}
    for trial in recording.trials:
        if trial.tier is not None:
            start = max(trial.start_seconds, clock.start_seconds)
            end = min(trial.end_seconds, clock.end_seconds)
            seconds = sum(last - first for first, last in _without_gaps(recording, start, end))
            minutes[trial.tier] = minutes.get(trial.tier, 0.0) + seconds / 60
    return minutes


def prepare(recording: Recording) -> SplitSource:
    """Return a recording without tiers with what is needed to make them.

    Raises:
        RecordingError: The frames of a video that only they identify cannot be read.
    """
    clock = recording.responses.clock
    start, end = clock.start_seconds, clock.end_seconds
    last = max([end, *(signal.clock.end_seconds for signal in recording.behavior)])
    trials = [
        trial
        if math.isfinite(trial.end_seconds)
        else replace(trial, end_seconds=max(last, trial.start_seconds))
        for trial in recording.trials
    ]
    if recording.screen is not None:
        flips = recording.screen.flip_seconds
        start, end = max(start, float(flips[0])), min(end, float(flips[-1]))
    elif not recording.windows_within_trials:
        trials = list(_fill(trials, start, end))
    recording = replace(recording, trials=tuple(trials))
    return SplitSource(
        recording=recording,
        start_seconds=start + END_MARGIN_SECONDS,
        end_seconds=end - END_MARGIN_SECONDS,
        keys=dict(_stimulus_keys(recording)),
    )


def _fill(trials: Sequence[Trial], start: float, end: float) -> Iterator[Trial]:
    """Yield the trials, and `unknown` ones for the time between them from `start` to `end`."""
    whole = Trial(
        start_seconds=start,
        end_seconds=end,
        kind="unknown",
        tier=None,
        condition=None,
        first_flip=0,
        num_flips=0,
    )
    for trial in trials:
        if min(trial.start_seconds, end) - start > ROUNDING_SECONDS:
            yield replace(whole, start_seconds=start, end_seconds=min(trial.start_seconds, end))
        yield trial
        start = max(start, trial.end_seconds)
    if end - start > ROUNDING_SECONDS:
        yield replace(whole, start_seconds=start)


def _stimulus_keys(recording: Recording) -> Iterator[tuple[int, str]]:
    """Yield the name of the stimulus of each trial that shows one.

    Videos that are identified by their frames, if as long as another, are told apart by three of
    them.
    """
    lengths = Counter(trial.num_flips for trial in recording.trials if trial.kind == "video")
    for number, trial in enumerate(recording.trials):
        if trial.kind in ("blank", "invalid"):
            continue
        if trial.condition is not None:
            yield number, trial.condition
        elif trial.kind == "video":
            is_repeat = trial.identified_by_frames and lengths[trial.num_flips] > 1
            name = (
                f"frames {_frames_digest(recording, number)}"
                if is_repeat
                else f"{recording.session} {number}"
            )
            yield number, name


def _frames_digest(recording: Recording, number: int) -> str:
    screen, num_flips = recording.screen, recording.trials[number].num_flips
    assert screen is not None, "only frames of a screen identify a stimulus"
    digest = hashlib.blake2b(str(num_flips).encode(), digest_size=8)
    for frame in sorted({0, num_flips // 2, num_flips - 1}):
        digest.update(screen.read_frames(number, frame, frame + 1).tobytes())
    return digest.hexdigest()


def trial_flips(recording: Recording, trial: Trial) -> NDArray[np.float64]:
    """Return the times of a trial's flips; empty without a screen."""
    if recording.screen is None:
        return np.empty(0)
    return recording.screen.flip_seconds[trial.first_flip : trial.first_flip + trial.num_flips]


def cut_trial(recording: Recording, trial: Trial, cut_seconds: Sequence[float]) -> list[Trial]:
    """Return the parts of a trial in temporal order; the trial itself if there is no cut.

    A flip at the time of a cut belongs to the later part; parts that begin after the last flip have
    none.

    Args:
        recording: The recording.
        trial: One of its trials.
        cut_seconds: Times of the cuts, ascending; those not within the trial are ignored.
    """
    inside = [
        time
        for time in dict.fromkeys(cut_seconds)
        if trial.start_seconds < time < trial.end_seconds
    ]
    flips = trial_flips(recording, trial)
    before = [0, *np.searchsorted(flips, inside, side="left").tolist(), len(flips)]
    edges = [trial.start_seconds, *inside, trial.end_seconds]
    return [
        replace(
            trial,
            start_seconds=edges[part],
            end_seconds=edges[part + 1],
            first_flip=trial.first_flip + before[part],
            num_flips=before[part + 1] - before[part],
        )
        for part in range(len(edges) - 1)
    ]


def replace_trials(source: SplitSource, parts: Mapping[int, Sequence[Trial]]) -> Recording:
    """Return the recording with the parts of its trials as trials, which say what they are cut of.

    Args:
        source: The recording.
        parts: The parts of every trial, by trial number: each flip is in one part.
    """
    recording = source.recording
    numbers = range(len(recording.trials))
    trials = tuple(
        replace(
            part,
            stimulus=_known_stimulus(source, number),
            cut_seconds=part.start_seconds - recording.trials[number].start_seconds,
        )
        for number in numbers
        for part in parts[number]
    )
    screen = recording.screen
    if screen is not None and len(trials) != len(recording.trials):
        origins = [
            (number, part.first_flip - recording.trials[number].first_flip)
            for number in numbers
            for part in parts[number]
        ]
        # A partial function, unlike a closure, can be sent to another process.
        read_frames = partial(_read_part, screen.read_frames, origins)
        screen = replace(screen, read_frames=read_frames)
    return replace(recording, trials=trials, screen=screen)


def _known_stimulus(source: SplitSource, number: int) -> str | None:
    """Return the name of a trial's stimulus; None for trials that have their number as a name."""
    trial = source.recording.trials[number]
    is_known = trial.condition is not None or trial.identified_by_frames
    return source.keys.get(number) if is_known else None


def _read_part(
    read_frames: Callable[[int, int, int], NDArray[np.uint8]],
    origins: Sequence[tuple[int, int]],
    part: int,
    first: int,
    last: int,
) -> NDArray[np.uint8]:
    """Return frames of a part, as `Screen.read_frames`.

    Args:
        read_frames: Reads the frames of whole trials.
        origins: Whole trial of each part, and how many of its flips are before the part.
        part: Number of the part.
        first: First flip of the part that is read.
        last: Flip after the last one that is read.
    """
    whole, offset = origins[part]
    return read_frames(whole, offset + first, offset + last)
