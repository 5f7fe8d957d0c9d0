"""Verdicts agree with intervals, and gradient masking is noticed."""

import numpy as np
import pytest

from omnimouse_cli.dendrites.images.claims import find_masking
from omnimouse_cli.dendrites.images.scores import count_epochs
from omnimouse_cli.dendrites.soft_xor import judge_interval
from omnimouse_cli.metrics.intervals import Interval


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
    assert judge_interval(interval) == above
    assert judge_interval(interval, above=False) == below


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
    assert find_masking(attacks((1, 2, 3))) == []
    assert find_masking(attacks((1, 2, 3), square=None)) == []
    assert "does not rise" in find_masking(attacks((1, 2, 2)))[0]
    assert "leaves 10.0 % right" in find_masking(attacks((1, 2, 3), left=0.1))[0]
    assert "without gradients" in find_masking(attacks((1, 2, 3), square=0.3))[0]


def test_epochs_count_from_one_and_never_is_one_more_than_all():
    curves = np.array([[0.9, 0.1, 0.1], [0.1, 0.2, 0.8], [0.1, 0.2, 0.3]])
    assert count_epochs(curves, 0.8).tolist() == [1, 3, 4]
