"""A simulated session is a consistent experanto session that the reader accepts."""

import numpy as np
import pytest

from omnimouse_cli.recording.find import find_recordings
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.simulated.activity import smooth
from omnimouse_cli.recording.simulated.stimulus import StimulusDrive
from omnimouse_cli.recording.simulated.truth import load_truth

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def recording(small_mice):
    return open_recording(small_mice[0].path)


def test_readers_find_the_sessions_and_their_animals(small_mice):
    found = find_recordings([small_mice[0].path.parent])
    opened = [open_recording(path) for path in found.recordings]
    assert [each.session for each in opened] == ["25001-1-1", "25002-1-1"]
    assert [each.animal for each in opened] == ["25001", "25002"]
    assert [each.neurons.num_neurons for each in opened] == [12, 12]


def test_devices_have_the_clocks_and_channels_of_the_real_corpus(recording):
    assert [signal.name for signal in recording.behavior] == ["eye_tracker", "treadmill"]
    eye, treadmill = recording.behavior
    assert eye.channels == ("pupil_x", "pupil_y", "pupil_size", "pupil_size_derivative")
    assert treadmill.channels == ("running",)
    assert (eye.clock.rate_hz, treadmill.clock.rate_hz) == (20.0, 100.0)
    assert recording.responses.clock.rate_hz == 30.0
    assert recording.native_rate_hz == 8
    assert 8.0 < recording.responses.clock.start_seconds - eye.clock.start_seconds < 10.1
    assert 1.6e9 <= recording.origin_seconds < 1.61e9


def test_there_are_trials_of_every_kind_and_tier(recording):
    kinds = {trial.kind for trial in recording.trials}
    tiers = {trial.tier for trial in recording.trials}
    assert kinds >= {"video", "blank", "invalid"}
    assert tiers == {"train", "validation", "oracle", "test", None}
    assert all(trial.tier is None for trial in recording.trials if trial.kind == "blank")


def test_longer_sessions_have_images(mouse):
    images = [trial for trial in open_recording(mouse[0].path).trials if trial.kind == "image"]
    assert len(images) >= 20
    lengths = [trial.end_seconds - trial.start_seconds for trial in images]
    np.testing.assert_allclose(lengths, 0.5, atol=1e-3)


def test_oracle_clips_come_again_and_nothing_else_of_training_does(mouse):
    recording = open_recording(mouse[0].path)
    frames = {}
    for number, trial in enumerate(recording.trials):
        if trial.kind in ("video", "image"):
            frames.setdefault(trial.tier, []).append(recording.read_trial(number).tobytes())
    assert len(set(frames["oracle"])) < len(frames["oracle"])
    assert len(set(frames["test"])) < len(frames["test"])
    assert len(set(frames["train"])) == len(frames["train"])
    for tier in ("validation", "oracle", "test"):
        assert not set(frames[tier]) & set(frames["train"])


def test_responses_are_missing_only_inside_invalid_time(recording):
    rows = recording.responses.read_rows(0, recording.responses.clock.num_samples)
    missing = np.isnan(rows)
    assert np.array_equal(missing.any(axis=1), missing.all(axis=1))
    seconds = recording.responses.clock.start_seconds + np.nonzero(missing[:, 0])[0] / 30.0
    (invalid,) = [trial for trial in recording.trials if trial.kind == "invalid"]
    assert len(seconds) > 30
    assert invalid.start_seconds < seconds.min()
    assert seconds.max() < invalid.end_seconds
    assert np.nanmin(rows) >= 0


def test_the_eye_tracker_misses_short_blinks(recording):
    eye = recording.behavior[0]
    missing = np.isnan(eye.read_rows(0, eye.clock.num_samples))
    assert np.array_equal(missing.any(axis=1), missing.all(axis=1))
    assert 0 < missing[:, 0].mean() < 0.05


def test_the_file_statistics_are_those_of_the_responses(recording):
    rows = recording.responses.read_rows(0, recording.responses.clock.num_samples)
    np.testing.assert_allclose(recording.responses.file_mean, np.nanmean(rows, 0), rtol=1e-4)
    np.testing.assert_allclose(recording.responses.file_std, np.nanstd(rows, 0), rtol=1e-4)


def test_the_answer_follows_from_what_a_reader_sees(small_mice, small_config):
    # Frames by sample-and-hold from the files, behavior from the files: the expectation comes out.
    recording = open_recording(small_mice[1].path)
    truth = load_truth(small_mice[1].path)
    frames = np.concatenate(
        [recording.read_trial(number) for number in range(len(recording.trials))]
    )
    clock = recording.responses.clock
    seconds = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    flips = recording.screen.flip_seconds
    shown = frames[np.maximum(np.searchsorted(flips, seconds + 1e-4, side="right") - 1, 0)]
    gaze = truth.behavior[:, :2] * truth.behavior_scale[:2]
    shift = np.clip(0.3 * gaze[:, ::-1].astype(np.float64), -6, 6)
    drive = StimulusDrive(truth.population, small_config.seed, 1)
    factor = drive.gain(shown, shift)
    gain = np.exp(truth.behavior @ truth.population.coupling.T)
    rate = truth.population.activity * factor * gain / gain.mean(axis=0)
    expected = smooth(rate, np.zeros(rate.shape[1]))
    np.testing.assert_allclose(truth.expected_stimulus_behavior, expected, rtol=1e-3, atol=1e-5)


def test_the_trackers_measure_the_behavior_that_moves_the_neurons(small_mice):
    recording = open_recording(small_mice[0].path)
    truth = load_truth(small_mice[0].path)
    clock = recording.responses.clock
    true = truth.behavior * truth.behavior_scale + truth.behavior_center
    column = 0
    for signal in recording.behavior:
        rows = signal.read_rows(0, signal.clock.num_samples)
        seconds = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
        index = np.floor((seconds + 1e-4 - signal.clock.start_seconds) * signal.clock.rate_hz)
        held = rows[index.astype(int)]
        for channel in range(held.shape[1]):
            kept = ~np.isnan(held[:, channel])
            correlation = np.corrcoef(held[kept, channel], true[kept, column])[0, 1]
            assert correlation > 0.97, (signal.name, channel)
            column += 1
    assert column == len(truth.channels)
