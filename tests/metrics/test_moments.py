"""Running moments: equal to NumPy's correlation, however samples are split and merged."""

import itertools
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omnimouse_cli.metrics.moments import (
    Moments,
    correlation,
    merge,
    merge_blocks,
    moments_of,
)


def pair(samples=200, outputs=3, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(5.0, 2.0, (samples, outputs))
    return truth, 0.4 * truth + rng.normal(size=truth.shape)


def assert_same(left, right):
    for a, b in zip(astuple(left), astuple(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_correlation_is_numpys():
    truth, prediction = pair()
    found = correlation(moments_of(truth, prediction))
    for output in range(3):
        expected = np.corrcoef(truth[:, output], prediction[:, output])[0, 1]
        assert found[output] == pytest.approx(expected, abs=1e-12)


def test_float32_far_from_zero_loses_nothing():
    truth, prediction = pair()
    far = (truth + 1000.0).astype(np.float32), (prediction - 3000.0).astype(np.float32)
    found = correlation(moments_of(*far))
    expected = [np.corrcoef(far[0][:, n].astype(float), far[1][:, n])[0, 1] for n in range(3)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(
    cuts=st.lists(st.integers(0, 120), max_size=6),
    seed=st.integers(0, 1000),
    offset=st.floats(-1e4, 1e4),
)
@settings(max_examples=60, deadline=None)
def test_moments_do_not_depend_on_how_samples_are_split(cuts, seed, offset):
    truth, prediction = pair(120, 2, seed)
    truth = truth + offset
    whole = moments_of(truth, prediction)
    edges = [0, *sorted(cuts), 120]
    merged = Moments.zeros((2,))
    for first, last in itertools.pairwise(edges):
        merged = merge(merged, moments_of(truth[first:last], prediction[first:last]))
    assert_same(merged, whole)
    np.testing.assert_allclose(correlation(merged), correlation(whole), atol=1e-9)


def test_blocks_are_filled_by_index_and_merge_to_the_whole():
    truth, prediction = pair(90, 5)
    blocks = Moments.zeros((3, 5))
    for window in range(9):
        part = slice(10 * window, 10 * window + 10)
        for columns in (slice(0, 2), slice(2, 5)):
            found = moments_of(truth[part][:, columns], prediction[part][:, columns])
            blocks.add((window // 3, columns), found)
    assert_same(merge_blocks(blocks), moments_of(truth, prediction))


def test_a_constant_truth_or_prediction_has_no_correlation():
    truth, prediction = pair()
    truth[:, 0] = 0.1
    prediction[:, 1] = 1e6 / 3
    found = correlation(moments_of(truth.astype(np.float32), prediction.astype(np.float32)))
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2])


def test_a_constant_that_was_rounded_is_a_constant():
    truth, _ = pair(outputs=1)
    third = np.float32(1 / 3)
    nearly = np.where(np.arange(200) % 2, third, np.nextafter(third, np.float32(1)))[:, None]
    assert np.isnan(correlation(moments_of(truth, nearly)))
    assert np.isnan(correlation(moments_of(nearly, truth)))


def test_a_small_but_real_signal_counts():
    truth, prediction = pair(outputs=1)
    found = correlation(moments_of(truth, 1.0 + 1e-5 * prediction))
    np.testing.assert_allclose(found, correlation(moments_of(truth, prediction)), rtol=1e-6)


def test_a_truth_that_was_not_measured_is_left_out():
    truth, prediction = pair()
    truth[::7, 1] = np.nan
    found = moments_of(truth, prediction)
    kept = ~np.isnan(truth[:, 1])
    assert found.count.tolist() == [200, kept.sum(), 200]
    expected = np.corrcoef(truth[kept, 1], prediction[kept, 1])[0, 1]
    assert correlation(found)[1] == pytest.approx(expected, abs=1e-12)


def test_a_prediction_that_diverged_is_not_scored_on_the_rest():
    truth, prediction = pair()
    prediction[3, 2] = np.nan
    found = correlation(moments_of(truth, prediction))
    assert np.isnan(found[2])
    assert np.isfinite(found[:2]).all()


def test_nothing_has_no_correlation():
    assert np.isnan(correlation(Moments.zeros((4,)))).all()
    empty = moments_of(np.zeros((0, 2)), np.zeros((0, 2)))
    assert empty.count.tolist() == [0, 0]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"truth \(3, 2\) and prediction \(3, 1\) differ"):
        moments_of(np.zeros((3, 2)), np.zeros((3, 1)))
