"""Intervals agree with published tables and with each other."""

import numpy as np
import pytest
from scipy import stats

from omnimouse_cli.metrics.intervals import (
    Spread,
    autocorrelation_time,
    half_width,
    interval,
    jackknife_interval,
    mean_interval,
    resample_spread,
    share_interval,
    student_quantile,
    sum_spreads,
    unit_spread,
)
from omnimouse_cli.metrics.resamples import block_weights


def autoregressive(rng, steps, keep):
    noise = rng.normal(size=steps) * np.sqrt(1 - keep**2)
    series = np.empty(steps)
    level = rng.normal()
    for number in range(steps):
        level = keep * level + noise[number]
        series[number] = level
    return series


def test_the_interval_of_a_mean_is_students():
    # Twelve values 1 to 12: mean 6.5, std 3.6056, t(11) = 2.2010.
    found = mean_interval(list(range(1, 13)))
    assert found.value == 6.5
    assert found.high - found.value == pytest.approx(2.2010 * 3.60555 / 12**0.5, rel=1e-4)
    assert mean_interval([0.9, 1.0], within=(0, 1)).high == 1


@pytest.mark.parametrize("degrees", [1, 2, 2.5, 11, 60, 1000])
def test_students_quantile_is_scipys(degrees):
    assert student_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-4)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (19, 24, 0.5785, 0.9287)],
)
def test_the_interval_of_a_share_is_exact(count, total, low, high):
    assert share_interval(count, total) == pytest.approx((low, high), abs=1e-4)


def test_the_jackknife_of_a_mean_is_students_interval():
    values = np.random.default_rng(0).normal(size=9)
    plain = mean_interval(values)
    found = jackknife_interval(lambda weights: float(values @ weights / weights.sum()), 9)
    assert found.value == pytest.approx(plain.value)
    assert found.low == pytest.approx(plain.low)
    assert found.high == pytest.approx(plain.high)


def test_the_spread_of_a_mean_is_its_cosine_coefficients():
    values = np.random.default_rng(1).normal(size=40)
    resamples = block_weights(40) @ values / block_weights(40).sum(axis=1)
    found = resample_spread(values.mean(), resamples, 40)
    # The autocorrelation time of independent values is 1, estimated from above.
    assert 2 <= found.degrees <= 40 / 9
    half_periods = np.arange(1, found.degrees + 1)
    waves = np.cos(np.pi * np.outer(half_periods, (np.arange(40) + 0.5) / 40))
    assert found.variance == pytest.approx(2 * ((waves @ values / 40) ** 2).mean())
    assert found.bias == pytest.approx(0.0, abs=1e-15)


def test_slow_series_have_a_long_autocorrelation_time_and_few_degrees_of_freedom():
    rng = np.random.default_rng(2)
    # An autoregressive series has (1 + keep) / (1 - keep): 1 and 19.
    assert autocorrelation_time(rng.normal(size=4000)) == pytest.approx(1.0, abs=0.2)
    assert autocorrelation_time(autoregressive(rng, 20_000, 0.9)) == pytest.approx(19, rel=0.2)
    slow = autoregressive(rng, 200, 0.97)
    resamples = block_weights(200) @ slow / block_weights(200).sum(axis=1)
    assert resample_spread(slow.mean(), resamples, 200).degrees == 2


def test_there_is_no_spread_with_few_blocks_or_without_a_number():
    assert resample_spread(0.5, np.full(8, 0.5), 4) is None
    assert resample_spread(0.5, np.full(9, np.nan), 5) is None
    assert resample_spread(0.5, np.full(9, 0.5), 5) == Spread(variance=0.0, degrees=2)


def test_intervals_of_correlations_are_within_one_and_hold_the_value():
    for value in (-1.0, -0.999, 0.0, 0.9, 1.0 - 1e-16, 1.0):
        for bias in (-0.3, 0.0, 0.02):
            spread = Spread(variance=0.04, degrees=3, bias=bias)
            low, high = interval(value, spread, is_correlation=True)
            assert -1 <= low <= value <= high <= 1
    low, high = interval(0.9, Spread(variance=0.001, degrees=10), is_correlation=True)
    assert np.arctanh(low) + np.arctanh(high) == pytest.approx(2 * np.arctanh(0.9))
    assert 0.9 - low > high - 0.9


def test_the_bias_corrected_value_is_the_middle():
    low, high = interval(0.5, Spread(variance=0.01, degrees=5, bias=-0.1))
    assert (low + high) / 2 == pytest.approx(0.6)
    # Whatever the bias, the value is well inside.
    for bias in (-0.01, -0.1, -10.0):
        low, high = interval(0.5, Spread(variance=1e-6, degrees=25, bias=bias))
        assert abs(0.5 - (low + high) / 2) < 0.37 * (high - low) / 2


def test_independent_spreads_add_up():
    # Welch and Satterthwaite: equal variances add their degrees of freedom.
    both = sum_spreads([Spread(variance=1.0, degrees=4, bias=0.2)] * 2, [0.5, 0.5])
    assert (both.variance, both.degrees, both.bias) == (0.5, 8.0, 0.2)
    one = sum_spreads([Spread(variance=1.0, degrees=4), Spread(variance=0.0, degrees=9)], [1, 1])
    assert one.degrees == 4


def test_units_with_equal_weights_are_students_interval_of_their_means():
    values = np.random.default_rng(3).normal(size=8)
    found = unit_spread(values, np.full(8, 1 / 8), [1, 1, 2, 2, 3, 3, 4, 4])
    expected = mean_interval(values.reshape(4, 2).mean(axis=1))
    assert half_width(found) == pytest.approx(expected.high - expected.value)
    assert unit_spread(values[:2], [0.5, 0.5], ["a", "b"]) is None
