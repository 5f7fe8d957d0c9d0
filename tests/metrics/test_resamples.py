"""Resamples are what recomputing from weighted samples gives; blocks are contiguous."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.metrics import resamples
from omnimouse_cli.metrics.moments import Moments, merge_blocks, moments_of
from omnimouse_cli.metrics.resamples import (
    block_numbers,
    block_weights,
    num_waves,
    resampled_correlations,
    resampled_means,
)
from omnimouse_cli.metrics.scores import mean_correlation


def blocks_of(truth, prediction, num_blocks):
    blocks = Moments.zeros((num_blocks, truth.shape[1]))
    parts = np.array_split(np.arange(len(truth)), num_blocks)
    for number, part in enumerate(parts):
        blocks.add(number, moments_of(truth[part], prediction[part]))
    return blocks, parts


def noisy(seed, samples, outputs):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(samples, outputs))
    return truth, 0.5 * truth + rng.normal(size=truth.shape)


@given(st.integers(0, 5000), st.sampled_from([1 / 30, 0.5, 1.0, 2.0, 20.0]))
def test_blocks_are_contiguous_and_at_most_two_hundred(num_windows, step):
    numbers = block_numbers(num_windows, window_step_seconds=step)
    assert len(numbers) == num_windows
    if num_windows:
        assert set(np.diff(numbers)) <= {0, 1}
        assert numbers[0] == 0
        assert numbers[-1] < 200
        sizes = np.bincount(numbers)
        assert sizes.max() - sizes.min() <= 1
        assert len(sizes) >= min(20, num_windows)


@pytest.mark.parametrize("num_blocks", [1, 2, 5, 20, 200])
def test_waves_weigh_all_blocks_by_one_on_average(num_blocks):
    weights = block_weights(num_blocks)
    waves = num_waves(num_blocks)
    assert weights.shape == (2 * waves + num_blocks, num_blocks)
    assert weights[: 2 * waves].mean(axis=1) == pytest.approx(1.0)
    assert (weights >= 0).all()
    assert (weights[2 * waves :].sum(axis=1) == num_blocks - 1).all()
    # Cosines of different periods are orthogonal, so their coefficients are uncorrelated.
    cosines = weights[:waves] - 1
    assert cosines @ cosines.T == pytest.approx(np.eye(waves) * num_blocks / 2, abs=1e-9)


def test_a_resample_is_what_recomputing_from_its_samples_gives():
    truth, prediction = noisy(0, 120, 5)
    truth[:, 2] += 1e4
    truth[:, 4] = 7.0
    blocks, parts = blocks_of(truth, prediction, 12)
    weights = np.random.default_rng(3).integers(0, 3, (20, 12)).astype(float)
    found = resampled_correlations(blocks, weights)
    for number, counts in enumerate(weights):
        chosen = np.concatenate(
            [np.tile(part, int(count)) for part, count in zip(parts, counts, strict=True)]
        )
        expected = mean_correlation(moments_of(truth[chosen], prediction[chosen]))[0]
        assert found[number] == pytest.approx(expected, abs=1e-9)


def test_equal_weights_give_the_value_itself():
    truth, prediction = noisy(1, 200, 3)
    blocks, _ = blocks_of(truth, prediction, 10)
    whole = mean_correlation(merge_blocks(blocks))[0]
    assert resampled_correlations(blocks, np.ones((1, 10)))[0] == pytest.approx(whole, abs=1e-12)


def test_large_populations_are_computed_in_parts(monkeypatch):
    blocks, _ = blocks_of(*noisy(2, 100, 7), 10)
    at_once = resampled_correlations(blocks, block_weights(10))
    monkeypatch.setattr(resamples, "CHUNK_OUTPUTS", 3)
    np.testing.assert_allclose(resampled_correlations(blocks, block_weights(10)), at_once)


def test_losses_are_resampled_by_their_counts():
    weights = np.array([[2.0, 0.0], [1.0, 1.0]])
    found = resampled_means(np.array([4.0, 30.0]), np.array([2.0, 10.0]), weights)
    assert found.tolist() == [2.0, pytest.approx(34 / 12)]
