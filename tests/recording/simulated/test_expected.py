"""The exact response to a stimulus is that of the ground truth, and depends on what it should."""

import json
import shutil

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.recording import latest_index
from omnimouse_cli.recording.simulated.expected import load_expected_response

GREY_FRAMES = np.full((20, 36, 64), 113, np.uint8)


@pytest.fixture(scope="module")
def exact(small_mice):
    return load_expected_response(small_mice[1].path)


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(0).integers(0, 256, (3, 40, 36, 64), np.uint8)


def test_the_response_to_the_recorded_frames_and_behavior_is_the_ground_truth(small_mice, exact):
    recording = open_recording(small_mice[1].path)
    trials = range(len(recording.trials))
    frames = np.concatenate([recording.read_trial(number) for number in trials])
    clock = recording.responses.clock
    seconds = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    shown = frames[np.maximum(latest_index(recording.screen.flip_seconds, seconds), 0)]
    neurons = exact.truth.population.num_neurons
    found = exact(shown, exact.truth.behavior, previous=np.zeros(neurons))
    expected = exact.truth.expected_stimulus_behavior
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6 * expected.max())


def test_stimuli_do_not_depend_on_each_other_or_on_the_type_of_numbers(exact, noise):
    together = exact(noise)
    assert together.shape == (3, 40, exact.truth.population.num_neurons)
    for stimulus, expected in zip(noise, together, strict=True):
        np.testing.assert_array_equal(exact(stimulus.astype(np.float64)), expected)


def test_before_a_stimulus_the_screen_was_grey(exact, noise):
    behavior = np.array([0.3, -0.5, 1.0, 0.2, 2.0])
    grey = exact(GREY_FRAMES, behavior)
    np.testing.assert_allclose(grey, np.broadcast_to(grey[:1], grey.shape), rtol=1e-6)
    led = exact(np.concatenate([GREY_FRAMES, noise[0]]), behavior)
    np.testing.assert_allclose(led[len(GREY_FRAMES) :], exact(noise[0], behavior), rtol=1e-5)


def test_behavior_is_a_gain_and_the_pupil_moves_the_receptive_fields(exact, noise):
    running = np.array([0.0, 0.0, 0.0, 0.0, 1.5])
    gain = np.exp(1.5 * exact.truth.population.coupling[:, 4])
    np.testing.assert_allclose(exact(noise[0], running), exact(noise[0]) * gain, rtol=1e-6)
    rows = np.tile(running, (40, 1))
    np.testing.assert_array_equal(exact(noise[0], rows), exact(noise[0], running))
    pupil = np.array([1.2, 0.0, 0.0, 0.0, 0.0])
    right = 0.3 * 1.2 * exact.truth.behavior_scale[0]
    given = exact(noise[0], pupil, gaze_shift=np.array([0.0, right]))
    np.testing.assert_allclose(exact(noise[0], pupil), given, rtol=1e-6)
    still = exact(noise[0], pupil, gaze_shift=np.zeros(2))
    assert np.abs(given / still - 1).max() > 0.1


@pytest.mark.parametrize(
    ("frames", "behavior", "gaze_shift", "message"),
    [
        (np.zeros((20, 64, 36)), None, None, "frames"),
        (np.zeros((0, 36, 64)), None, None, "frames"),
        (GREY_FRAMES, np.zeros(4), None, "behavior"),
        (GREY_FRAMES, np.zeros((19, 5)), None, "behavior"),
        (GREY_FRAMES, np.full(5, np.nan), None, "finite"),
        (GREY_FRAMES, None, np.zeros(3), "gaze_shift"),
        (GREY_FRAMES, None, np.array([0.0, 7.0]), "6 pixels"),
    ],
)
def test_arguments_of_another_shape_are_refused(exact, frames, behavior, gaze_shift, message):
    with pytest.raises(ValueError, match=message):
        exact(frames, behavior, gaze_shift=gaze_shift)


def test_a_recording_of_another_version_of_the_simulation_is_named(small_mice, tmp_path):
    copy = shutil.copytree(small_mice[0].path, tmp_path / "copy")
    path = copy / "truth" / "truth.json"
    document = json.loads(path.read_text())
    document["identity"]["model_version"] = 0
    path.write_text(json.dumps(document))
    with pytest.raises(RecordingError, match="version 0"):
        load_expected_response(copy)
