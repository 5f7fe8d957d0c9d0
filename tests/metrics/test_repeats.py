"""Repeats of a stimulus: correlation to their average."""

import numpy as np
import pytest

from omnimouse_cli.metrics.moments import correlation, merge_blocks
from omnimouse_cli.metrics.repeats import RepeatSums, average_moments


def repeated(cells=300, repeats=8, outputs=4, noise=1.0, seed=0):
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(cells, outputs))
    truth = np.repeat(signal, repeats, axis=0)
    truth = truth + noise * rng.normal(size=truth.shape)
    return np.repeat(np.arange(cells), repeats), truth, signal


def sums_of(cells, truth, prediction, num_cells):
    sums = RepeatSums(num_cells, truth.shape[1])
    order = np.random.default_rng(1).permutation(len(cells))
    for part in np.array_split(order, 7):
        sums.add(cells[part], truth[part], prediction[part])
    return sums


def correlation_to_average(sums):
    return correlation(merge_blocks(average_moments(sums)))


def test_correlation_to_average_is_that_of_the_averages():
    cells, truth, signal = repeated(cells=20)
    prediction = np.repeat(signal, 8, axis=0) + np.random.default_rng(2).normal(size=truth.shape)
    found = correlation_to_average(sums_of(cells, truth, prediction, 20))
    averaged = [values.reshape(20, 8, 4).mean(axis=1) for values in (truth, prediction)]
    for output in range(4):
        expected = np.corrcoef(averaged[0][:, output], averaged[1][:, output])[0, 1]
        assert found[output] == pytest.approx(expected, abs=1e-12)


def test_cells_that_were_seen_once_and_negative_cells_do_not_count():
    cells, truth, _ = repeated(cells=20)
    prediction = truth + 0.5
    alone = sums_of(cells, truth, prediction, 25)
    more = sums_of(
        np.concatenate([cells, [21, 22, -1]]),
        np.concatenate([truth, np.full((3, 4), 100.0)]),
        np.concatenate([prediction, np.full((3, 4), -100.0)]),
        25,
    )
    np.testing.assert_allclose(correlation_to_average(more), correlation_to_average(alone))


def test_a_constant_prediction_has_no_correlation_to_the_average():
    cells, truth, _ = repeated(cells=20)
    found = correlation_to_average(sums_of(cells, truth, np.full_like(truth, 1 / 3), 20))
    assert np.isnan(found).all()


def test_samples_that_were_not_measured_are_left_out():
    cells, truth, signal = repeated(cells=50)
    holes = truth.copy()
    holes[::8, 1] = np.nan
    prediction = np.repeat(signal, 8, axis=0)
    found = sums_of(cells, holes, prediction, 50)
    kept = np.arange(len(cells)) % 8 != 0
    expected = sums_of(cells[kept], truth[kept], prediction[kept], 50)
    assert found.count[0].tolist() == [8, 7, 8, 8]
    assert correlation_to_average(found)[1] == pytest.approx(correlation_to_average(expected)[1])


def test_outputs_and_samples_may_come_in_parts():
    cells, truth, _ = repeated(cells=30)
    whole = sums_of(cells, truth, 2 * truth, 30)
    parts = RepeatSums(30, 4)
    for outputs in (slice(0, 3), slice(3, 4)):
        parts.add(cells, truth[:, outputs], 2 * truth[:, outputs], outputs=outputs)
    np.testing.assert_allclose(parts.truth, whole.truth)
    np.testing.assert_array_equal(parts.count, whole.count)
    half = len(cells) // 2
    parts = RepeatSums(30, 4)
    for samples in (slice(0, half), slice(half, None)):
        parts.add(cells[samples], truth[samples], 2 * truth[samples])
    np.testing.assert_allclose(correlation_to_average(parts), 1.0)


def test_without_repeats_there_is_nothing_to_say():
    cells, truth, _ = repeated(repeats=1)
    sums = sums_of(cells, truth, truth, 300)
    assert average_moments(sums) is None
