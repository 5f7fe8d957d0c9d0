"""Ridge predicts linear systems; its columns are averages of the inputs."""

import numpy as np
import pytest

from omnimouse_cli.batch.strategies import regime_strategies
from omnimouse_cli.evaluation.baselines.ridge import predict_ridge
from omnimouse_cli.evaluation.baselines.ridge_features import (
    Features,
    average_around,
    average_bins,
    average_past,
)
from omnimouse_cli.evaluation.baselines.screen_features import coarse_frames, screen_features


@pytest.fixture
def score_of(targets_of, score_pieces):
    def make(dataset, name, *, stimulus=False):
        targets = targets_of(dataset, name, stimulus=stimulus)
        return score_pieces(targets, predict_ridge(targets, ("train",)))

    return make


def test_recent_bins_widen_backwards_and_cover_the_past():
    past = np.arange(25, dtype=np.float32)[None, :, None]
    assert average_past(past)[0].tolist() == [23.5, 20.5, 15.0, 5.5]
    assert average_past(past[:, :3])[0].tolist() == [1.5, 0.0]


def test_bins_of_one_size_keep_what_is_left_over():
    values = np.arange(7, dtype=np.float32)[None, :, None] * np.array([1.0, 10.0], np.float32)
    assert average_bins(values, 3)[0].tolist() == [1.0, 10.0, 4.0, 40.0, 6.0, 60.0]


def test_bins_around_a_sample_stop_at_the_window():
    values = np.arange(10, dtype=np.float32)[None, :, None]
    found = average_around(values, np.array([0, 5, 9]), ((-3, -1), (0, 1), (2, 4)))
    assert found[0].tolist() == [[0.0, 0.0, 2.5], [2.5, 5.0, 7.5], [6.5, 9.0, 9.0]]


def test_a_linear_system_is_forecast_as_well_as_can_be(score_of, make_session, quiet_trials):
    # Slow rotations that noise hardly disturbs: the last samples tell the next second.
    rng = np.random.default_rng(0)
    time = np.arange(3300)
    phases = np.cumsum(2 * np.pi / 60 + 0.005 * rng.normal(size=(3300, 3)), axis=0)
    values = np.concatenate([np.cos(phases), np.sin(phases)], axis=1)
    values += 0.02 * rng.normal(size=(len(time), 6))
    dataset = make_session(values, quiet_trials, eye_tracker=False, treadmill=False)
    found = score_of(dataset, "forecast")
    assert found.per_output.min() > 0.97


def test_other_neurons_predict_a_linear_mixture_of_them(
    score_of, make_session, quiet_trials, moving_average
):
    shared = moving_average(neurons=4)
    mixed = shared @ np.random.default_rng(1).normal(size=(4, 34))
    dataset = make_session(mixed, quiet_trials, eye_tracker=False, treadmill=False)
    found = score_of(dataset, "population-16")
    assert found.per_output.shape == (18,)
    assert found.per_output.min() > 0.8


def test_noise_is_not_predicted(score_of, make_session, quiet_trials):
    noise = np.random.default_rng(2).normal(size=(3300, 8))
    dataset = make_session(noise, quiet_trials, eye_tracker=False, treadmill=False)
    assert abs(score_of(dataset, "forecast").correlations["neurons"].record.value) < 0.05


def test_a_useless_screen_does_not_spoil_a_forecast(
    score_of, make_session, quiet_trials, moving_average
):
    dataset = make_session(moving_average(keep=0.99), quiet_trials, treadmill=False)
    alone = score_of(dataset, "forecast").correlations["neurons"].record.value
    both = score_of(dataset, "forecast+stimulus", stimulus=True)
    assert both.correlations["neurons"].record.value > alone - 0.02


def test_behavior_is_decoded_where_the_population_encodes_it(score_of, simulated_data):
    found = score_of(simulated_data, "decode", stimulus=True)
    assert found.correlations["running"].record.value > 0.2
    assert found.per_output.shape == (5,)


def test_a_window_is_a_row_only_where_only_the_past_is_visible(simulated_data, targets_of):
    strategies = regime_strategies("all", population=40, stimulus=True, behavior=True)
    shapes = {}
    for strategy in strategies:
        targets = targets_of(simulated_data, strategy)
        grid = targets.windows.grid
        features = Features(targets=targets, training=grid)
        groups = features.columns(grid[:2], np.array([*targets.samples][:1]))
        shapes[strategy.name] = (features.per_sample, len(groups), groups[0].ndim)
    assert shapes["forecast"] == (False, 2, 2)
    assert shapes["forecast+stimulus"] == (False, 3, 2)
    assert shapes["predict"] == (True, 2, 3)
    assert shapes["population-16+stimulus"] == (True, 3, 3)
    assert shapes["decode"] == (True, 1, 3)


def test_too_little_training_time_is_a_reason(make_session, moving_average, targets_of):
    trials = [
        {"modality": "blank", "interleave_value": 127, "seconds": s, "tier": t}
        for t, s in (("train", 1.0), ("test", 20.0), ("none", 5.0))
    ]
    dataset = make_session(moving_average(750), trials, eye_tracker=False, treadmill=False)
    targets = targets_of(dataset, "forecast", stimulus=False)
    reason = predict_ridge(targets, ("train",))
    assert reason == "the tiers train have only 0 windows to fit on"


@pytest.mark.slow
def test_measured_numbers_of_the_drifting_grating_recording(
    allen_recording, tmp_path, targets_of, score_pieces
):
    from omnimouse_cli.batch.dataset import open_dataset
    from omnimouse_cli.evaluation.baselines.persistence import predict_persistence
    from omnimouse_cli.recording.open import open_recording
    from omnimouse_cli.reporter import Silent
    from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

    preprocess([open_recording(allen_recording)], tmp_path, PreprocessOptions(), Silent())
    targets = targets_of(open_dataset(tmp_path), "forecast", stimulus=False, stride=60)
    values = {}
    for predict in (predict_persistence, predict_ridge):
        score = score_pieces(targets, predict(targets, ("train",)))
        values[predict] = score.correlations["neurons"].record.value
    # Measured elsewhere on the same recording: .265 and .307.
    assert values[predict_persistence] == pytest.approx(0.265, abs=0.015)
    assert values[predict_ridge] == pytest.approx(0.307, abs=0.015)


def test_a_patch_is_its_mean_and_its_contrast():
    frames = np.zeros((2, 36, 64), np.uint8)
    frames[0] = 59
    frames[1, :6, :8] = np.where(np.arange(8) % 2, 118, 0)
    found = coarse_frames(frames)
    assert found.shape == (2, 96)
    np.testing.assert_allclose(found[0, :48], 1.0, atol=1e-6)
    np.testing.assert_allclose(found[0, 48:], 0.0, atol=1e-3)
    np.testing.assert_allclose(found[1, [0, 48]], [1.0, 1.0], atol=1e-5)
    np.testing.assert_allclose(np.delete(found[1], [0, 48]), 0.0, atol=1e-6)


def test_frames_smaller_than_the_patches_keep_their_pixels():
    frames = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    found = coarse_frames(frames)
    np.testing.assert_allclose(found[0, :12], np.arange(12) / 59.0, rtol=1e-6)


def test_screen_features_hold_the_change_since_the_flip_before(
    make_session, moving_average, targets_of
):
    frames = np.zeros((60, 36, 64), np.uint8)
    frames[30:] = 59
    trials = [
        {"modality": "video", "num_frames": 60, "tier": "train", "frames": frames},
        {"modality": "blank", "interleave_value": 59, "seconds": 5.0, "tier": "train"},
        {"modality": "blank", "interleave_value": 59, "seconds": 5.0, "tier": "none"},
    ]
    dataset = make_session(
        moving_average(200), trials, eye_tracker=False, treadmill=False, frame_size=(36, 64)
    )
    reader = targets_of(dataset, "forecast", tier="train").reader
    found = screen_features(reader, np.array([0]), (0, 60))[0]
    assert found.shape == (60, 144)
    np.testing.assert_allclose(found[:, 0], np.repeat([0.0, 1.0], 30), atol=1e-6)
    changed = np.zeros(60)
    changed[30] = 1.0
    np.testing.assert_allclose(found[:, 96], changed, atol=1e-6)
