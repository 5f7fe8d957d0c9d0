"""Strategies that cannot work are refused with the rule that they break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.batch.strategy import Strategy, is_visible

GOOD = {
    "name": "s",
    "family": "forecast",
    "prefix": (0, 25),
    "context": (0, 60),
    "targets": (30, 60),
}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"prefix": (0, 70)}, "`prefix` must be a range within 0 to 60"),
        ({"prefix": (25, 0)}, "`prefix` must be a range"),
        ({"context": (0, 20)}, "must lie in `context`"),
        ({"context": None}, "must lie in `context`"),
        ({"prefix": None}, "exactly when neurons are visible"),
        ({"num_visible": 0}, "exactly when neurons are visible"),
        ({"prefix": (0, 5)}, "is not 10 plus a multiple of 5"),
        ({"prefix": (0, 23)}, "is not 10 plus a multiple of 5"),
        ({"num_visible": 64, "full_population_prefix": 20}, "a visible part of 5 samples"),
        ({"num_visible": 64, "full_population_prefix": 30}, "is longer than `prefix`"),
        ({"targets": (30, 58)}, "must be a multiple of 5"),
        ({"num_targets": 0}, "`num_targets` must be positive"),
        ({"num_targets": -1}, "must not be negative"),
        ({"targets": None}, "neither responses nor behavior are targets"),
        ({"prefix": (0, 60)}, "covers all `targets`"),
        ({"prefix": None, "num_visible": 0, "behavior": "absent"}, "are inputs"),
        (
            {"prefix": None, "num_visible": 0, "full_population_prefix": 10},
            "`full_population_prefix` needs a `prefix`",
        ),
        ({"behavior": "both"}, "`behavior` must be one of"),
        ({"family": "guess"}, "`family` must be one of"),
        ({"video": (0, 61)}, "`video` must be a range"),
    ],
)
def test_a_broken_rule_is_named(change, rule):
    with pytest.raises(ValueError, match=rule):
        Strategy(**{**GOOD, **change})


def test_inputs_name_what_is_seen():
    assert Strategy(**GOOD).inputs == ("responses", "behavior")
    seen = Strategy(name="s", family="predict", num_visible=0, video=(0, 60), behavior="absent")
    assert seen.inputs == ("stimulus",)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 59))
def test_a_sample_is_seen_within_five_samples_of_what_is_visible(first, last, sample):
    near = any(abs(sample - seen) <= 5 for seen in range(first, last))
    # Ranges are half-open: five samples after the last visible one are within the buffer.
    assert is_visible(sample, (first, last)) == near
