"""Behavior of a recording in its shard: missing samples, dropped channels and devices."""

from dataclasses import replace

import numpy as np


def eye_tracker(recording):
    device = recording.behavior[0]
    return device.read_rows(0, device.clock.num_samples).copy()


def with_eye_tracker(recording, signal, values):
    channels = recording.behavior[0].channels
    device = signal("eye_tracker", 0.1, 20.0, values, channels)
    return replace(recording, behavior=(device, recording.behavior[1]))


def test_an_eye_tracker_that_was_always_lost_is_dropped(make_recording, converted, signal):
    recording = make_recording()
    values = np.full_like(eye_tracker(recording), np.nan)
    shard = converted(with_eye_tracker(recording, signal, values))
    assert shard.description.modalities == ("responses", "screen", "treadmill")
    assert shard.description.notes == ("eye_tracker is dropped: none of its samples has a value",)


def test_an_eye_tracker_is_kept_unless_no_sample_is_apart_from_the_missing_ones(
    make_recording, converted, signal
):
    # Samples within .15 s of a missing one are not used: with one of six missing, none is left.
    recording = make_recording()
    for step, is_kept in ((20, True), (7, True), (6, False)):
        values = eye_tracker(recording)
        values[::step] = np.nan
        shard = converted(with_eye_tracker(recording, signal, values))
        assert ("eye_tracker" in shard.description.modalities) == is_kept
        notes = [note for note in shard.description.notes if "eye_tracker is dropped" in note]
        assert len(notes) == (not is_kept)
        if not is_kept:
            assert "each of its samples is missing, next to a missing one" in notes[0]


def test_a_channel_without_a_value_is_dropped_and_the_others_stay(
    make_recording, converted, signal
):
    recording = make_recording()
    values = eye_tracker(recording)
    values[:, 3] = np.nan
    shard = converted(with_eye_tracker(recording, signal, values))
    assert shard.device("eye_tracker").channels == ("pupil_x", "pupil_y", "pupil_size")
    np.testing.assert_array_equal(shard.behavior("eye_tracker"), values[:, :3])
    assert shard.description.notes[0].startswith("eye_tracker lacks channel pupil_size_derivative")


def test_lost_behavior_keeps_its_nan_and_excludes_its_vicinity(make_recording, converted, signal):
    recording = make_recording()
    values = eye_tracker(recording)
    values[200:210, 1] = np.nan
    values[300, 2] = np.inf
    shard = converted(with_eye_tracker(recording, signal, values))
    stored = shard.behavior("eye_tracker")
    assert np.isnan(stored[200:210, 1]).all()
    assert np.isnan(stored[300, 2])
    seconds = 0.1 + np.array([200, 209, 300]) / 20
    expected = [
        [0.6, seconds[0] - 0.15],
        [seconds[1] + 0.15, seconds[2] - 0.15],
        [seconds[2] + 0.15, shard.device("eye_tracker").clock.end_seconds - 0.5],
    ]
    np.testing.assert_allclose(shard.valid("eye_tracker"), expected, atol=1e-9)
    assert np.isfinite(shard.device("eye_tracker").std).all()


def test_a_constant_channel_can_be_divided_by(make_recording, converted, signal):
    recording = make_recording()
    values = eye_tracker(recording)
    values[:, 0] = 4.0
    shard = converted(with_eye_tracker(recording, signal, values))
    assert shard.device("eye_tracker").std[0] == 1.0
    assert shard.device("eye_tracker").mean[0] == 4.0
