"""p values agree with SciPy's paired test, and Holm's correction with its definition."""

import numpy as np
import pytest
from scipy.stats import ttest_rel

from omnimouse_cli.metrics.intervals import Interval, mean_interval
from omnimouse_cli.metrics.significance import adjust_holm, interval_p


def test_a_p_value_is_that_of_the_paired_t_test():
    generator = np.random.default_rng(0)
    first, second = generator.normal(0.3, 1, 12), generator.normal(0, 1, 12)
    interval = mean_interval(first - second)
    assert interval_p(interval, 11) == pytest.approx(ttest_rel(first, second).pvalue)
    moved = Interval(value=interval.value + 5, low=interval.low + 5, high=interval.high + 5)
    assert interval_p(moved, 11, border=5) == pytest.approx(interval_p(interval, 11))


def test_without_spread_only_the_border_itself_is_no_difference():
    assert interval_p(Interval(value=0.0, low=0.0, high=0.0), 3) == 1
    assert interval_p(Interval(value=0.1, low=0.1, high=0.1), 3) == 0


def test_holm_multiplies_by_the_number_that_is_left_and_never_falls():
    adjusted = adjust_holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_holm([0.5, 0.6]) == [1.0, 1.0]
    assert adjust_holm([0.2]) == [0.2]
    assert adjust_holm([]) == []


def test_holm_keeps_false_findings_among_eight_true_nulls_at_one_in_twenty():
    generator = np.random.default_rng(1)
    p_values = generator.uniform(size=(2000, 8))
    found = np.mean([min(adjust_holm(row)) < 0.05 for row in p_values])
    assert found == pytest.approx(0.05, abs=0.015)
    assert np.mean(p_values.min(axis=1) < 0.05) > 0.3
