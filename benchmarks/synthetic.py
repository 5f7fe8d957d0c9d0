"""Recordings of random numbers and their shards, as large as real ones and made in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.recording.recording import Clock, Neurons, Recording, Screen, Signal, Trial
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.catalogue import refresh_catalogue
from omnimouse_cli.shard.convert import Storage, convert

SESSION = "1-1-1"
RATE_HZ = 30.0
FRAME_SHAPE = (36, 64)
TRIAL_SECONDS = 10.0
# Signals begin before the responses and end after them, so that only responses limit the windows.
MARGIN_SECONDS = 1.0
EYE_CHANNELS = ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How large the recording is.

    Args:
        neurons: Columns of the responses.
        rows: Rows of the responses, 30 in a second.
    """

    neurons: int
    rows: int

    @property
    def seconds(self) -> float:
        """From the first signal's start to the last one's end."""
        return self.rows / RATE_HZ + 2 * MARGIN_SECONDS


def synthetic_dataset(folder: Path, extent: Extent) -> Dataset:
    """Convert a recording of random numbers into `folder` and open it; float16 is stored.

    Args:
        folder: Where the shard and its catalogue go.
        extent: How large.
    """
    write_shards(folder, extent, [SESSION], tiers=("train",))
    return open_dataset(folder, sessions=[SESSION])


def write_shards(
    folder: Path, extent: Extent, sessions: Sequence[str], *, tiers: Sequence[str]
) -> None:
    """Convert the same recording of random numbers under several session keys; float16 is stored.

    Args:
        folder: Where the shards and their catalogue go.
        extent: How large each is.
        sessions: Keys; their animals are the parts before the first hyphen.
        tiers: Tiers of the trials, in turn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recording = synthetic_recording(folder, extent)
    trials = tuple(
        replace(trial, tier=tiers[number % len(tiers)])
        for number, trial in enumerate(recording.trials)
    )
    paths = [folder / f"{session}.safetensors" for session in sessions]
    for session, path in zip(sessions, paths, strict=True):
        convert(
            replace(recording, session=session, animal=session.partition("-")[0], trials=trials),
            path,
            storage=Storage(dtype="float16", response_kind="rate"),
            fingerprint=f"synthetic {session} {extent.neurons} x {extent.rows}",
            advance=lambda _share: None,
        )
    refresh_catalogue(folder, Silent())


def synthetic_recording(path: Path, extent: Extent) -> Recording:
    """Make a recording with responses, a screen, pupil and running, all of it training time."""
    trials = _trials(extent.seconds)
    rng = np.random.default_rng(0)
    behavior = (
        _signal("eye_tracker", 20.0, _noise(rng, extent.seconds, 20.0, 4), EYE_CHANNELS),
        _signal("treadmill", 100.0, _noise(rng, extent.seconds, 100.0, 1), ("running",)),
    )
    return Recording(
        path=path,
        session=SESSION,
        animal=SESSION.partition("-")[0],
        origin_seconds=0.0,
        responses=Signal(
            name="responses",
            clock=Clock(start_seconds=MARGIN_SECONDS, rate_hz=RATE_HZ, num_samples=extent.rows),
            channels=(),
            num_channels=extent.neurons,
            read_rows=lambda first, last: _responses(first, last, extent.neurons),
        ),
        neurons=Neurons(num_neurons=extent.neurons),
        trials=trials,
        screen=_screen(trials),
        behavior=behavior,
    )


def _responses(first: int, last: int, neurons: int) -> NDArray[np.float32]:
    rows = [np.random.default_rng(row).random(neurons, np.float32) for row in range(first, last)]
    return np.square(np.stack(rows)) if rows else np.empty((0, neurons), np.float32)


def _noise(
    rng: np.random.Generator, seconds: float, rate_hz: float, channels: int
) -> NDArray[np.float32]:
    return rng.normal(2.0, 3.0, (round(seconds * rate_hz), channels)).astype(np.float32)


def _signal(
    name: str, rate_hz: float, values: NDArray[np.float32], channels: tuple[str, ...]
) -> Signal:
    return Signal(
        name=name,
        clock=Clock(start_seconds=0.0, rate_hz=rate_hz, num_samples=len(values)),
        channels=channels,
        num_channels=len(channels),
        read_rows=lambda first, last: values[first:last],
    )


def _trials(seconds: float) -> tuple[Trial, ...]:
    starts = np.arange(0.0, seconds, TRIAL_SECONDS)
    flips = round(TRIAL_SECONDS * RATE_HZ)
    return tuple(
        Trial(
            start_seconds=float(start),
            end_seconds=float(start) + TRIAL_SECONDS,
            kind="video",
            tier="train",
            condition=f"clip-{number}",
            first_flip=number * flips,
            num_flips=flips,
        )
        for number, start in enumerate(starts)
    )


def _screen(trials: tuple[Trial, ...]) -> Screen:
    def read_frames(number: int, first: int, last: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng(number)
        frames = rng.integers(0, 256, (trials[number].num_flips, *FRAME_SHAPE), dtype=np.uint8)
        return frames[first:last]

    flips = [trial.start_seconds + np.arange(trial.num_flips) / RATE_HZ for trial in trials]
    return Screen(
        flip_seconds=np.concatenate(flips),
        frame_height=FRAME_SHAPE[0],
        frame_width=FRAME_SHAPE[1],
        read_frames=read_frames,
    )
