"""Signals at the samples of windows: the same values as the batches that a model gets."""

import numpy as np
import pytest

from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import DataConfig
from omnimouse_cli.evaluate.signals import SessionSignals, coarse_frames


@pytest.fixture
def signals(simulated_data):
    return SessionSignals(simulated_data, DataConfig(), simulated_data.sessions[0].key)


@pytest.fixture
def grid(simulated_data):
    table = simulated_data.windows(DataConfig(tiers=("train",)), simulated_data.sessions[0].key)
    return table.grid_index(np.arange(0, table.num_windows, 97))


def test_responses_and_behavior_are_those_of_a_batch(simulated_data, signals, grid):
    batch = WindowReader(simulated_data, DataConfig()).read(signals.session.key, grid)
    found = signals.responses(grid, (0, 60))
    np.testing.assert_allclose(found, batch.responses.numpy(), rtol=1e-5, atol=1e-6)
    behavior = signals.behavior(grid).transpose(0, 2, 1)
    np.testing.assert_allclose(behavior, batch.behavior.numpy(), rtol=1e-5, atol=1e-5)


def test_some_samples_of_some_neurons_are_a_part_of_all(signals, grid):
    columns = np.array([4, 1, 17])
    part = signals.responses(grid, (20, 45), columns)
    np.testing.assert_array_equal(part, signals.responses(grid, (0, 60))[:, 20:45, columns])
    raw = signals.raw_responses(grid, (20, 45))[..., columns]
    scaled = (raw - signals.shift[columns]) / signals.scale[columns]
    np.testing.assert_allclose(part, scaled, rtol=1e-6)


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


def test_the_screen_tells_what_changed_since_the_flip_before(make_session, moving_average):
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
    signals = SessionSignals(dataset, DataConfig(), "100-1-1")
    found = signals.screen(np.array([0]), (0, 60))[0]
    assert found.shape == (60, 144)
    np.testing.assert_allclose(found[:, 0], np.repeat([0.0, 1.0], 30), atol=1e-6)
    changed = np.zeros(60)
    changed[30] = 1.0
    np.testing.assert_allclose(found[:, 96], changed, atol=1e-6)
