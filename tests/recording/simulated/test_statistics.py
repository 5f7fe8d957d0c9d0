"""The statistics of simulated activity, positions, behavior and video are those of real data."""

from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.simulated.population import draw_population
from omnimouse_cli.recording.simulated.schedule import draw_frames, plan_trials
from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.truth import load_truth

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
# Lowest and highest of ten mice of Sensorium 2023 (CC0-1.0) at each quantile over neurons.
REAL_MEAN = ((0.34, 0.63, 0.96, 1.6, 3.6), (0.94, 1.63, 2.62, 4.7, 11.1))
REAL_STD = ((1.9, 3.7, 6.1, 11.2, 26.3), (3.9, 7.3, 13.3, 25.5, 56.3))


def assert_between(values, limits, slack):
    found = np.quantile(values, QUANTILES)
    low, high = np.array(limits)
    assert np.all(found > low / slack), (found, low)
    assert np.all(found < high * slack), (found, high)


def test_means_and_standard_deviations_lie_among_those_of_ten_real_mice(mouse):
    responses = open_recording(mouse[0].path).responses
    assert_between(responses.file_mean, REAL_MEAN, 1.1)
    assert_between(responses.file_std, REAL_STD, 1.1)


def test_the_stated_ranges_are_those_of_the_real_mice(shared_folder):
    files = sorted((shared_folder / "data" / "sensorium2023_meta").glob("dynamic*.npz"))
    if not files:
        pytest.skip(f"no activity statistics in {shared_folder}")
    for name, (low, high) in (("act_mean", REAL_MEAN), ("act_std", REAL_STD)):
        quantiles = [np.quantile(np.load(path)[name], QUANTILES) for path in files]
        np.testing.assert_allclose(np.min(quantiles, axis=0), low, rtol=0.1)
        np.testing.assert_allclose(np.max(quantiles, axis=0), high, rtol=0.1)


def test_noise_is_as_large_beside_the_mean_as_in_real_neurons(mouse):
    responses = open_recording(mouse[0].path).responses
    # Real medians of std / mean: 4.4 to 6.9; the fifth percentile of the calmest mouse is 2.9.
    assert 2.9 < np.median(responses.file_std / responses.file_mean) < 6.9


def test_neurons_fill_the_imaged_field_in_ten_planes():
    for session in range(5):
        position = draw_population(0, session, 2000).position_um
        extent = np.ptp(position, axis=0)
        np.testing.assert_allclose(extent, [616, 616, 225], atol=8)
        assert np.array_equal(np.unique(position[:, 2]), np.arange(200, 426, 25))
        assert -1500 < position[:, 0].min() < position[:, 0].max() < -142
        assert -730 < position[:, 1].min() < position[:, 1].max() < 237


def test_receptive_fields_follow_the_place_in_cortex():
    population = draw_population(1, 0, 500)
    place = population.position_um
    assert np.corrcoef(place[:, 0], population.center_column)[0, 1] > 0.8
    assert np.corrcoef(place[:, 1], population.center_row)[0, 1] > 0.8


def test_behavior_has_the_scale_of_real_mice(mouse):
    truth = load_truth(mouse[0].path)
    center = dict(zip(truth.channels, truth.behavior_center, strict=True))
    scale = dict(zip(truth.channels, truth.behavior_scale, strict=True))
    # Ranges over the mice of Sensorium 2023: pixels of the eye camera, cm/s.
    assert 35 < center["pupil_size"] < 60
    assert 8 < scale["pupil_size"] < 18
    assert 90 < center["pupil_x"] < 200
    assert 3 < scale["pupil_x"] < 8
    assert 0.3 < center["running"] < 7
    assert 1.5 < scale["running"] < 9
    raw = truth.behavior * truth.behavior_scale + truth.behavior_center
    assert raw[:, 4].min() > -1e-3
    assert raw[:, 4].max() < 48
    assert raw[:, 2].min() > 10


def test_the_pupil_follows_running_and_is_its_derivatives_integral(mouse):
    truth = load_truth(mouse[0].path)
    raw = truth.behavior * truth.behavior_scale + truth.behavior_center
    assert 0.3 < np.corrcoef(raw[:, 2], raw[:, 4])[0, 1] < 0.9
    lagged = [np.corrcoef(raw[lag:, 2], raw[: len(raw) - lag, 4])[0, 1] for lag in (0, 30)]
    assert lagged[1] > lagged[0]
    assert np.corrcoef(np.diff(raw[:, 2]) * 30, raw[1:, 3])[0, 1] > 0.98


def test_video_has_the_grey_levels_of_the_published_set():
    config = SimulationConfig(minutes=3, seed=4)
    clips = [
        replace(trial, num_frames=2) for trial in plan_trials(config, 0) if trial.kind == "video"
    ]
    frames = np.concatenate([draw_frames(trial, config.seed) for trial in clips])
    assert frames.shape[1:] == (36, 64)
    assert 95 < frames.mean() < 130
    assert 45 < frames.std() < 65


def test_video_moves_smoothly_and_is_coarse_like_nature():
    config = SimulationConfig(minutes=6, seed=4)
    clip = next(trial for trial in plan_trials(config, 0) if trial.kind == "video")
    frames = draw_frames(clip, config.seed).astype(np.float64)
    centered = frames - frames.mean()
    step = np.mean(centered[1:] * centered[:-1]) / np.mean(centered**2)
    assert 0.8 < step < 0.9999
    power = np.abs(np.fft.rfft(centered, axis=2)).mean(axis=(0, 1))
    assert power[1:4].mean() > 4 * power[12:].mean()


@pytest.mark.parametrize("minutes", [1, 2, 6.5, 30])
def test_trials_fill_the_recording_and_every_tier_has_its_share(minutes):
    config = SimulationConfig(minutes=minutes)
    trials = plan_trials(config, 0)
    frames = {}
    for trial in trials:
        frames[trial.tier] = frames.get(trial.tier, 0) + trial.num_frames
    assert sum(frames.values()) == int((minutes * 60 - 3) * 30)
    assert trials[0].kind == trials[-1].kind == "blank"
    assert set(frames) == {"train", "validation", "oracle", "test", None}
    if minutes > 5:
        assert frames["train"] > 0.5 * sum(frames.values())
        assert frames["test"] > 0.12 * sum(frames.values())
