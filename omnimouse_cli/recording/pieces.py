"""Pieces of trials: a trial is cut in time, and each of its flips goes to one piece."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Recording, Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A trial or a part of one.

    Args:
        number: Number of the whole trial in the recording.
        trial: The part as a trial of its own.
    """

    number: int
    trial: Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class _PieceFrames:
    """`Screen.read_frames` of pieces.

    Args:
        read_frames: Reads the frames of whole trials.
        numbers: Whole trial of each piece.
        offsets: Flips of the whole trial before each piece.
    """

    read_frames: Callable[[int, int, int], NDArray[np.uint8]]
    numbers: tuple[int, ...]
    offsets: tuple[int, ...]

    def __call__(self, piece: int, first: int, last: int) -> NDArray[np.uint8]:
        """Return the frames of flips `first` to `last` (excluded) of a piece."""
        offset = self.offsets[piece]
        return self.read_frames(self.numbers[piece], offset + first, offset + last)


def trial_flips(recording: Recording, trial: Trial) -> NDArray[np.float64]:
    """Return the times of a trial's flips; empty without a screen."""
    if recording.screen is None:
        return np.empty(0)
    return recording.screen.flip_seconds[trial.first_flip : trial.first_flip + trial.num_flips]


def cut_trial(recording: Recording, number: int, cut_seconds: Sequence[float]) -> list[Piece]:
    """Return a trial cut at times; a flip at the time of a cut belongs to the later piece.

    Args:
        recording: The recording.
        number: Number of the trial.
        cut_seconds: Times of the cuts, ascending; those not within the trial are ignored. The first
            piece starts where the trial starts, the last ends where it ends.

    Returns:
        The pieces in temporal order; one of them if there is no cut. Those that begin after the
        last flip have no flips.
    """
    trial = recording.trials[number]
    inside = [
        time
        for time in dict.fromkeys(cut_seconds)
        if trial.start_seconds < time < trial.end_seconds
    ]
    flips = trial_flips(recording, trial)
    before = [0, *np.searchsorted(flips, inside, side="left").tolist(), len(flips)]
    edges = [trial.start_seconds, *inside, trial.end_seconds]
    return [
        Piece(
            number=number,
            trial=replace(
                trial,
                start_seconds=edges[part],
                end_seconds=edges[part + 1],
                first_flip=trial.first_flip + before[part],
                num_flips=before[part + 1] - before[part],
            ),
        )
        for part in range(len(edges) - 1)
    ]


def replace_trials(recording: Recording, pieces: Sequence[Piece]) -> Recording:
    """Return the recording with pieces, in temporal order, as its trials.

    Args:
        recording: The recording.
        pieces: Pieces that cover each flip of the recording's trials once.
    """
    trials = tuple(piece.trial for piece in pieces)
    screen = recording.screen
    if screen is not None and len(trials) != len(recording.trials):
        numbers = tuple(piece.number for piece in pieces)
        before = [recording.trials[number].first_flip for number in numbers]
        read_frames = _PieceFrames(
            read_frames=screen.read_frames,
            numbers=numbers,
            offsets=tuple(
                trial.first_flip - first for trial, first in zip(trials, before, strict=True)
            ),
        )
        screen = replace(screen, read_frames=read_frames)
    return replace(recording, trials=trials, screen=screen)
