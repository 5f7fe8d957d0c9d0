"""Stimuli without a name are named by the frames that they show."""

import re

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording

RNG = np.random.default_rng(5)
CLIP, OTHER = RNG.integers(0, 256, (2, 150, 9, 16), dtype=np.uint8)
NAME = re.compile(r"(video|image) [0-9a-f]{16}")


def clip(frames, **fields):
    fields = {"num_frames": len(frames), "tier": "train", **fields}
    return {"modality": "video", "frames": frames, **fields}


def image(frame):
    return {"modality": "image", "frames": frame, "tier": "train"}


@pytest.fixture
def conditions(experanto_session, converted):
    """`conditions(key, trials)`: what the shard calls the stimulus of each trial."""

    def run(key, trials):
        shard = converted(
            open_recording(experanto_session(key, trials=trials, responses_start=0.0))
        )
        names, numbers = shard.description.conditions, shard.trials.condition
        assert len(set(names)) == len(names) == numbers.max() + 1
        return [None if number < 0 else names[number] for number in numbers]

    return run


def test_equal_frames_are_one_condition_and_others_are_not(conditions):
    almost = CLIP.copy()
    almost[-1, -1, -1] ^= 1
    trials = [clip(CLIP), image(OTHER[0]), clip(almost), clip(CLIP), image(OTHER[0])]
    names = conditions("1-1-1", trials)
    assert names[0] == names[3]
    assert names[1] == names[4]
    assert len(set(names)) == 3
    assert all(NAME.fullmatch(name) for name in names)


def test_equal_frames_are_one_condition_across_recordings(conditions):
    blank = {"modality": "blank", "interleave_value": 3}
    first = conditions("1-1-1", [clip(CLIP), clip(OTHER)])
    other = conditions("2-2-2", [blank, clip(OTHER), clip(CLIP)])
    assert first == [other[2], other[1]]
    assert other[0] == "blank 3"


def test_a_named_condition_comes_before_the_frames(conditions):
    trials = [clip(CLIP, condition="grating 90"), clip(CLIP, condition=7), clip(CLIP)]
    names = conditions("1-1-1", [*trials, {"modality": "INVALID"}])
    assert names[:2] == ["grating 90", "7"]
    assert NAME.fullmatch(names[2])
    assert names[3] is None


def test_kinds_of_stimuli_share_no_name(conditions):
    one_frame = clip(OTHER[:1])
    names = conditions("1-1-1", [clip(CLIP), one_frame, image(OTHER[0]), clip(CLIP)])
    assert names[1].split()[1] == names[2].split()[1]
    assert names[1] != names[2]
