"""Recordings in memory, whose every value a test can know."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from omnimouse_cli.recording.recording import Clock, Neurons, Recording, Screen, Signal, Trial

# Machines that are shared have no deadline to offer.
hypothesis.settings.register_profile("shard", deadline=None, max_examples=40)
hypothesis.settings.load_profile("shard")

# kind, tier, condition, seconds
DEFAULT_TRIALS = (
    ("video", "train", "clouds", 8.0),
    ("blank", None, None, 2.0),
    ("video", "validation", "waves", 6.0),
    ("image", "train", "stone", 0.5),
    ("video", "train", "clouds", 8.0),
    ("video", "test", "waves", 6.0),
    ("blank", None, None, 3.0),
)
FRAMES_PER_SECOND = 30.0


def build_signal(name, start_seconds, rate_hz, values, channels=(), **statistics):
    values = np.asarray(values, dtype=np.float32)
    return Signal(
        name=name,
        clock=Clock(start_seconds=start_seconds, rate_hz=rate_hz, num_samples=len(values)),
        channels=tuple(channels),
        num_channels=values.shape[1],
        read_rows=lambda first, last: values[first:last],
        **statistics,
    )


def build_trials(specification, *, start_seconds=0.0):
    trials, time, flip = [], start_seconds, 0
    for kind, tier, condition, seconds in specification:
        num_flips = round(seconds * FRAMES_PER_SECOND) if kind == "video" else 1
        trials.append(
            Trial(
                start_seconds=time,
                end_seconds=time + seconds,
                kind=kind,
                tier=tier,
                condition=condition,
                first_flip=flip,
                num_flips=num_flips,
            )
        )
        time, flip = time + seconds, flip + num_flips
    return tuple(trials)


def build_screen(trials, *, height=36, width=64):
    flips = [t.start_seconds + np.arange(t.num_flips) / FRAMES_PER_SECOND for t in trials]

    def read_frames(number, first, last):
        trial = trials[number]
        seed = abs(hash_text(trial.condition or trial.kind))
        rng = np.random.default_rng(seed)
        return rng.integers(0, 256, (trial.num_flips, height, width), dtype=np.uint8)[first:last]

    return Screen(
        flip_seconds=np.concatenate(flips) if flips else np.empty(0),
        frame_height=height,
        frame_width=width,
        read_frames=read_frames,
    )


def hash_text(text: str) -> int:
    return int.from_bytes(text.encode()[:6], "little")


def build_recording(
    path: Path,
    *,
    session: str = "7-1-2",
    specification: Sequence[Any] = DEFAULT_TRIALS,
    neurons: int = 6,
    rate_hz: float = 30.0,
    responses: Any = None,
    seed: int = 0,
    behavior: bool = True,
    screen: bool = True,
    **facts: Any,
) -> Recording:
    """A recording of about 33 s; `facts` replace fields of Recording."""
    rng = np.random.default_rng(seed)
    trials = build_trials(specification, start_seconds=0.4)
    seconds = sum(row[3] for row in specification)
    if responses is None:
        responses = rng.gamma(1.0, 2.0, (int((seconds - 1) * rate_hz), neurons))
    devices = (
        build_signal(
            "eye_tracker",
            0.1,
            20.0,
            rng.normal(3.0, 2.0, (int(seconds * 20), 4)),
            ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative"),
        ),
        build_signal(
            "treadmill", 0.0, 100.0, rng.normal(0, 1, (int(seconds * 100), 1)), ["running"]
        ),
    )
    fields = {
        "path": path,
        "session": session,
        "animal": session.partition("-")[0],
        "origin_seconds": 1.5e9,
        "responses": build_signal("responses", 0.6, rate_hz, responses),
        "neurons": Neurons(num_neurons=np.shape(responses)[1]),
        "trials": trials,
        "screen": build_screen(trials) if screen else None,
        "behavior": devices if behavior else (),
    }
    return Recording(**{**fields, **facts})


@pytest.fixture
def make_recording(tmp_path: Path) -> Callable[..., Recording]:
    """`make_recording(**changes)`: a recording whose folder exists and holds one file."""

    def make(*, session: str = "7-1-2", **changes: Any) -> Recording:
        path = tmp_path / "recordings" / session
        path.mkdir(parents=True, exist_ok=True)
        (path / "data.mem").write_text(session)
        return build_recording(path, session=session, **changes)

    return make


@pytest.fixture
def signal() -> Callable[..., Signal]:
    """`signal(name, start_seconds, rate_hz, values, channels)`."""
    return build_signal


@pytest.fixture
def converted(tmp_path: Path):
    """`converted(recording, dtype=..., ...)`: the recording's shard, open."""
    from omnimouse_cli.shard import open_shard
    from omnimouse_cli.shard.convert import Storage, convert

    def run(recording: Recording, *, fingerprint: str = "f", **storage: Any):
        path = tmp_path / f"{recording.session}.safetensors"
        convert(
            recording,
            path,
            storage=Storage(**storage),
            fingerprint=fingerprint,
            advance=lambda _share: None,
        )
        return open_shard(path)

    return run


TRIALS_WITH_INVALID = (
    ("video", "train", "a", 10.0),
    ("invalid", None, None, 5.0),
    ("video", "test", "a", 10.0),
    ("video", "train", "b", 5.0),
    ("video", "train", "a", 5.0),
)


@pytest.fixture
def shard_with_gaps(make_recording, converted, signal):
    """A shard with an invalid trial, a constant neuron and a missing eye tracker."""
    # Responses from 0.6 to 35.1 s; trials from 0.4 to 35.4 s, the invalid one at 10.4 to 15.4 s.
    responses = np.random.default_rng(0).gamma(1.0, 1.0, (1035, 5))
    responses[:, 1] = 3.0
    responses[294:444] = np.nan
    eye = np.random.default_rng(1).normal(size=(720, 2))
    eye[500:520] = np.nan
    recording = make_recording(responses=responses, specification=TRIALS_WITH_INVALID)
    eye_tracker = signal("eye_tracker", 0.1, 20.0, eye, ("pupil_x", "pupil_y"))
    return converted(replace(recording, behavior=(eye_tracker,)))
