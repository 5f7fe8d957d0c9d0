"""Intervals agree with tables, verdicts with intervals, and misleading attacks are noticed."""

import numpy as np
import pytest

from omnimouse_cli.dendrites.images.assess import epochs_until
from omnimouse_cli.dendrites.images.claims import masking_failures, verdict_of
from omnimouse_cli.dendrites.intervals import (
    Interval,
    jackknife_interval,
    mean_interval,
    share_interval,
)


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


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.1, 0.3, "confirmed", "refuted"),
        (-0.3, -0.1, "refuted", "confirmed"),
        (-0.1, 0.3, "undetermined", "undetermined"),
        (0.0, 0.3, "undetermined", "undetermined"),
    ],
)
def test_a_verdict_needs_the_whole_interval(low, high, above, below):
    interval = Interval(value=(low + high) / 2, low=low, high=high)
    assert verdict_of(interval) == above
    assert verdict_of(interval, above=False) == below


def attacks(losses, left=0.0, square=0.5):
    budgets = (0.05, 0.1, 1.0)
    return {
        "epsilon": 0.1,
        "gradient": [
            {"epsilon": budget, "loss": [loss], "accuracy": [accuracy]}
            for budget, loss, accuracy in zip(budgets, losses, (0.6, 0.4, left), strict=True)
        ],
        "square": None if square is None else [square],
    }


def test_a_sound_attack_passes_and_each_sign_of_masking_is_named():
    assert masking_failures(attacks((1, 2, 3))) == []
    assert masking_failures(attacks((1, 2, 3), square=None)) == []
    assert "does not rise" in masking_failures(attacks((1, 2, 2)))[0]
    assert "leaves 10.0 % right" in masking_failures(attacks((1, 2, 3), left=0.1))[0]
    assert "without gradients" in masking_failures(attacks((1, 2, 3), square=0.3))[0]


def test_epochs_count_from_one_and_never_is_one_more_than_all():
    curves = np.array([[0.9, 0.1, 0.1], [0.1, 0.2, 0.8], [0.1, 0.2, 0.3]])
    assert epochs_until(curves, 0.8).tolist() == [1, 3, 4]
