"""Intervals agree with published tables and with each other."""

import numpy as np
import pytest

from omnimouse_cli.metrics.intervals import jackknife_interval, mean_interval, share_interval


def test_the_interval_of_a_mean_is_students():
    # Twelve values 1 to 12: mean 6.5, std 3.6056, t(11) = 2.2010.
    found = mean_interval(list(range(1, 13)))
    assert found.value == 6.5
    assert found.high - found.value == pytest.approx(2.2010 * 3.60555 / 12**0.5, rel=1e-4)
    assert mean_interval([0.9, 1.0], within=(0, 1)).high == 1


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
