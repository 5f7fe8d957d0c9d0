"""Intervals over blocks of windows: exact resamples, and coverage where the truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.metrics import bootstrap
from omnimouse_cli.metrics.bootstrap import (
    block_numbers,
    draw_resamples,
    interval,
    resampled_correlations,
    resampled_means,
)
from omnimouse_cli.metrics.moments import Moments, merge_blocks, moments_of
from omnimouse_cli.metrics.scores import mean_correlation


def blocks_of(truth, prediction, num_blocks):
    outputs = truth.shape[1]
    blocks = Moments.zeros((num_blocks, outputs))
    parts = np.array_split(np.arange(len(truth)), num_blocks)
    for number, part in enumerate(parts):
        blocks.add(number, moments_of(truth[part], prediction[part]))
    return blocks, parts


def noisy(rng, samples, outputs, *, share=0.5):
    truth = rng.normal(size=(samples, outputs))
    return truth, share * truth + rng.normal(size=truth.shape)


@given(st.integers(0, 5000), st.sampled_from([1 / 30, 0.5, 1.0, 2.0, 20.0]))
def test_blocks_are_contiguous_and_at_most_a_hundred(num_windows, step):
    numbers = block_numbers(num_windows, window_step_seconds=step)
    assert len(numbers) == num_windows
    if num_windows:
        assert set(np.diff(numbers)) <= {0, 1}
        assert numbers[0] == 0
        assert numbers[-1] < 100
        sizes = np.bincount(numbers)
        assert sizes.max() - sizes.min() <= 1
        assert len(sizes) >= min(20, num_windows)


def test_a_resample_is_what_recomputing_from_its_samples_gives():
    rng = np.random.default_rng(0)
    truth, prediction = noisy(rng, 120, 5)
    truth[:, 2] += 1e4
    truth[:, 4] = 7.0
    blocks, parts = blocks_of(truth, prediction, 12)
    draws = draw_resamples(12, seed=3, num_resamples=20)
    found = resampled_correlations(blocks, draws)
    for number, counts in enumerate(draws):
        chosen = np.concatenate(
            [np.tile(part, int(count)) for part, count in zip(parts, counts, strict=True)]
        )
        expected = mean_correlation(moments_of(truth[chosen], prediction[chosen]))[0]
        assert found[number] == pytest.approx(expected, abs=1e-9)


def test_drawing_every_block_once_gives_the_value_itself():
    truth, prediction = noisy(np.random.default_rng(1), 200, 3)
    blocks, _ = blocks_of(truth, prediction, 10)
    whole = mean_correlation(merge_blocks(blocks))[0]
    assert resampled_correlations(blocks, np.ones((1, 10)))[0] == pytest.approx(whole, abs=1e-12)


def test_large_populations_are_computed_in_parts(monkeypatch):
    truth, prediction = noisy(np.random.default_rng(2), 100, 7)
    blocks, _ = blocks_of(truth, prediction, 10)
    draws = draw_resamples(10, seed=0, num_resamples=50)
    at_once = resampled_correlations(blocks, draws)
    monkeypatch.setattr(bootstrap, "CHUNK_OUTPUTS", 3)
    np.testing.assert_allclose(resampled_correlations(blocks, draws), at_once, atol=1e-12)


def test_draws_are_the_same_for_the_same_seed_only():
    assert np.array_equal(draw_resamples(9, seed=1), draw_resamples(9, seed=1))
    assert not np.array_equal(draw_resamples(9, seed=1), draw_resamples(9, seed=2))
    assert (draw_resamples(9, seed=1).sum(axis=1) == 9).all()
    assert len(draw_resamples(9, seed=1)) >= 1000


def test_losses_are_resampled_by_their_counts():
    draws = np.array([[2.0, 0.0], [1.0, 1.0]])
    found = resampled_means(np.array([4.0, 30.0]), np.array([2.0, 10.0]), draws)
    assert found.tolist() == [2.0, pytest.approx(34 / 12)]


def test_the_interval_mirrors_the_resamples_at_the_value():
    resamples = np.linspace(0.1, 0.3, 1001)
    low, high = interval(0.25, resamples, num_blocks=20)
    assert low == pytest.approx(0.5 - 0.295)
    assert high == pytest.approx(0.5 - 0.105)


def test_the_interval_holds_the_value_even_when_all_resamples_lie_below():
    low, high = interval(0.25, np.linspace(0.1, 0.2, 100), num_blocks=20)
    assert low == 0.25
    assert high == pytest.approx(0.3975)


def test_there_is_no_interval_without_a_value_or_with_few_blocks():
    resamples = np.linspace(0, 1, 100)
    assert interval(None, resamples, num_blocks=20) == (None, None)
    assert interval(0.5, resamples, num_blocks=4) == (None, None)
    assert interval(0.5, np.full(100, np.nan), num_blocks=20) == (None, None)


def test_ninety_five_percent_intervals_hold_the_truth_about_as_often():
    # Correlated samples within a block, independent blocks: what blocks are for.
    rng = np.random.default_rng(5)
    share, held, trials = 0.7, 0, 200
    expected = share / np.sqrt(share**2 + 1)
    for trial in range(trials):
        common = np.repeat(rng.normal(size=(60, 4)), 5, axis=0)
        noise = np.repeat(rng.normal(size=(60, 4)), 5, axis=0)
        blocks, _ = blocks_of(common, share * common + noise, 60)
        value = mean_correlation(merge_blocks(blocks))[0]
        resamples = resampled_correlations(
            blocks, draw_resamples(60, seed=trial, num_resamples=1000)
        )
        low, high = interval(value, resamples, num_blocks=60)
        held += low <= expected <= high
    assert 0.88 <= held / trials <= 0.99


def test_a_difference_on_the_same_blocks_is_known_better_than_each_part():
    rng = np.random.default_rng(6)
    truth, first = noisy(rng, 400, 3)
    second = first + 0.2 * rng.normal(size=first.shape)
    draws = draw_resamples(40, seed=0)
    scores = [resampled_correlations(blocks_of(truth, p, 40)[0], draws) for p in (first, second)]
    assert (scores[0] - scores[1]).std() < 0.5 * scores[0].std()
