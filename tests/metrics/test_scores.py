"""One number per session and overall: undefined neurons count as 0, sessions by population."""

import numpy as np
import pytest

from omnimouse_cli.metrics.moments import correlation, moments_of
from omnimouse_cli.metrics.scores import (
    fraction_of_ceiling,
    mean_correlation,
    overall_value,
)


def moments(seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(100, 4))
    return truth, truth + rng.normal(size=truth.shape)


def test_a_session_is_the_mean_over_its_neurons():
    value, num_undefined = mean_correlation(moments_of(*moments()))
    expected = correlation(moments_of(*moments())).mean()
    assert value == pytest.approx(expected)
    assert num_undefined == 0


def test_a_constant_neuron_counts_as_zero_and_is_reported():
    truth, prediction = moments()
    truth[:, 1] = 3.0
    each = correlation(moments_of(truth, prediction))
    value, num_undefined = mean_correlation(moments_of(truth, prediction))
    assert value == pytest.approx(np.nansum(each) / 4)
    assert num_undefined == 1


def test_a_constant_prediction_has_no_score():
    truth, _ = moments()
    value, num_undefined = mean_correlation(moments_of(truth, np.ones_like(truth)))
    assert value is None
    assert num_undefined == 4


def test_neurons_weigh_by_their_samples():
    truth, prediction = moments()
    truth[50:, 0] = np.nan
    each = correlation(moments_of(truth, prediction))
    expected = (50 * each[0] + 100 * each[1:].sum()) / 350
    assert mean_correlation(moments_of(truth, prediction))[0] == pytest.approx(expected)


def test_sessions_weigh_by_their_whole_population():
    assert overall_value([0.1, 0.5], [100, 300]) == pytest.approx(0.4)
    assert overall_value([0.1, None], [100, 300]) == pytest.approx(0.1)
    assert overall_value([None], [100]) is None


@pytest.mark.parametrize(
    ("value", "ceiling", "expected"),
    [(0.3, 0.6, 0.5), (None, 0.6, None), (0.3, None, None), (0.3, 0.0, None), (-0.1, 0.5, -0.2)],
)
def test_a_fraction_exists_where_both_do(value, ceiling, expected):
    assert fraction_of_ceiling(value, ceiling) == (
        None if expected is None else pytest.approx(expected)
    )
