"""Frames keep their mean when they are resized, and identical stimuli are stored once."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.resize import resize_frames


def area_mean_by_oversampling(frame, height, width):
    """Repeat every pixel so often that the new size divides the old, then average blocks."""
    fine = np.repeat(np.repeat(frame.astype(float), height, axis=0), width, axis=1)
    source_height, source_width = frame.shape
    blocks = fine.reshape(height, source_height, width, source_width)
    return blocks.mean(axis=(1, 3))


@settings(max_examples=15)
@given(st.integers(1, 80), st.integers(1, 100), st.integers(0, 2**32 - 1))
def test_a_new_pixel_is_the_mean_of_the_area_it_covers(height, width, seed):
    frame = np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)
    expected = area_mean_by_oversampling(frame, 36, 64)
    np.testing.assert_allclose(resize_frames(frame[None])[0], expected, atol=0.5 + 1e-9)


def test_frames_of_the_right_size_are_not_touched():
    frames = np.random.default_rng(0).integers(0, 256, (3, 36, 64), dtype=np.uint8)
    assert resize_frames(frames) is frames


@pytest.mark.parametrize("grey", [0, 1, 128, 254, 255])
def test_grey_stays_grey(grey):
    frames = np.full((2, 90, 160), grey, dtype=np.uint8)
    assert (resize_frames(frames) == grey).all()


def test_identical_stimuli_are_stored_once(make_recording, converted):
    recording = make_recording()
    shard = converted(recording)
    # clouds 240 frames and waves 180, each shown twice; one image; one blank, shown twice.
    assert shard.frames.shape == (240 + 180 + 1 + 1, 36, 64)
    for number, trial in enumerate(recording.trials):
        flips = slice(trial.first_flip, trial.first_flip + trial.num_flips)
        shown = shard.frames[shard.frame_index[flips]]
        np.testing.assert_array_equal(shown, recording.read_trial(number))


@pytest.mark.parametrize("lengths", [(66, 70, 66), (70, 66, 70), (66, 70, 74)])
def test_a_clip_that_ends_a_little_earlier_is_the_same_stimulus(make_recording, converted, lengths):
    clip = np.random.default_rng(0).integers(0, 256, (74, 36, 64), dtype=np.uint8)
    other = np.concatenate([clip[:40], 255 - clip[40:]])
    trials = [("video", "train", None, length / 30) for length in (*lengths, 66)]
    recording = make_recording(specification=trials)
    shown = [*(clip[:length] for length in lengths), other[:66]]
    screen = replace(
        recording.screen, read_frames=lambda number, first, last: shown[number][first:last]
    )
    named = tuple(replace(trial, identified_by_frames=True) for trial in recording.trials)
    shard = converted(replace(recording, trials=named, screen=screen))
    assert shard.trials.condition.tolist() == [0, 0, 0, 1]
    flips = shard.frame_index[: sum(lengths)]
    np.testing.assert_array_equal(shard.frames[flips], np.concatenate(shown[:3]))


@pytest.mark.parametrize("most", [0, 200, 2**15])
def test_long_trials_are_read_block_by_block(make_recording, converted, monkeypatch, most):
    recording = make_recording()
    expected = converted(recording)
    frames, checksum = expected.frames.copy(), expected.description.checksums["screen.frames"]
    index = expected.frame_index.copy()
    largest = []

    def read_frames(number, first, last):
        largest.append(last - first)
        return recording.screen.read_frames(number, first, last)

    monkeypatch.setattr("omnimouse_cli.shard.screen.MAX_KEPT_FRAMES", most)
    monkeypatch.setattr("omnimouse_cli.shard.screen.BLOCK_BYTES", 36 * 64 * 7)
    shard = converted(replace(recording, screen=replace(recording.screen, read_frames=read_frames)))
    np.testing.assert_array_equal(shard.frames, frames)
    np.testing.assert_array_equal(shard.frame_index, index)
    assert shard.description.checksums["screen.frames"] == checksum
    assert max(largest) == 7


def test_frames_may_lie_in_memory_as_they_like(make_recording, converted):
    recording = make_recording()
    read = recording.screen.read_frames
    turned = replace(recording.screen, read_frames=lambda *which: np.asfortranarray(read(*which)))
    shard, other = converted(recording), converted(replace(recording, screen=turned))
    np.testing.assert_array_equal(shard.frames, other.frames)
    assert shard.description.checksums == other.description.checksums


def test_large_frames_are_averaged_and_their_size_is_noted(make_recording, converted):
    recording = make_recording()
    source = np.zeros((1, 144, 256), dtype=np.uint8)
    source[0, :4, :4] = 200
    large = replace(
        recording.screen,
        frame_height=144,
        frame_width=256,
        read_frames=lambda _number, first, last: np.repeat(source, last - first, axis=0),
    )
    shard = converted(replace(recording, screen=large))
    screen = shard.description.screen
    assert (screen.source_height, screen.source_width) == (144, 256)
    assert (screen.frame_height, screen.frame_width) == (36, 64)
    assert shard.frames[0, 0, 0] == 200
    assert shard.frames[0].sum() == 200


def test_a_trial_with_too_few_frames_is_an_error(make_recording, converted):
    recording = make_recording()
    short = replace(
        recording.screen,
        read_frames=lambda _number, _first, _last: np.zeros((1, 36, 64), dtype=np.uint8),
    )
    with pytest.raises(RecordingError, match=r"trial 0 must have a frame for each of its 240"):
        converted(replace(recording, screen=short))


def test_a_flip_without_a_trial_is_an_error(make_recording, converted):
    recording = make_recording()
    flips = np.append(recording.screen.flip_seconds, 99.0)
    with pytest.raises(RecordingError, match=r"1 do not, the first at 99.000 s"):
        converted(replace(recording, screen=replace(recording.screen, flip_seconds=flips)))
