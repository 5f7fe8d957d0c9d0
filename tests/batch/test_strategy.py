"""Strategies that cannot work are refused with the rule that they break."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.batch.strategy import Strategy, is_visible, read_strategies
from omnimouse_cli.errors import ConfigError

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
        ({"behavior_range": (0, 61)}, "`behavior_range` must be a range"),
        ({"behavior_range": (2, 3)}, "no behavior sample lies in `behavior_range`"),
        ({"behavior_range": (0, 25), "behavior": "absent"}, "needs behavior that is `encoded`"),
    ],
)
def test_a_broken_rule_is_named(change, rule):
    with pytest.raises(ValueError, match=rule):
        Strategy(**{**GOOD, **change})


def test_inputs_name_what_is_seen():
    assert Strategy(**GOOD).inputs == ("responses", "behavior")
    strategy = Strategy(name="s", family="predict", num_visible=0, video=(0, 60), behavior="absent")
    assert strategy.inputs == ("stimulus",)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 59))
def test_a_sample_is_seen_within_five_samples_of_what_is_visible(first, last, sample):
    near = any(abs(sample - visible) <= 5 for visible in range(first, last))
    # Ranges are half-open: five samples after the last visible one are within the buffer.
    assert is_visible(sample, (first, last)) == near


def write_file(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


def test_a_file_gives_its_strategies_and_their_families(tmp_path):
    path = write_file(
        tmp_path,
        """
        [[strategy]]
        name = "short past"
        prefix = [10, 25]
        context = [0, 60]
        targets = [30, 60]
        behavior = "absent"

        [[strategy]]
        name = "look"
        video = [30, 60]
        targets = [30, 60]

        [[strategy]]
        name = "read out"
        prefix = [0, 60]
        context = [0, 60]
        behavior = "reconstructed"

        [[strategy]]
        name = "neighbours"
        num_visible = 12
        num_targets = 20
        literal_counts = true
        prefix = [30, 60]
        context = [30, 60]
        targets = [30, 60]
        """,
    )
    strategies = read_strategies(path)
    assert [s.family for s in strategies] == ["forecast", "predict", "decode", "population"]
    assert strategies[0].prefix == (10, 25)
    assert strategies[1].num_visible == 0
    assert strategies[2].targets is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"has no \[\[strategy\]\] table"),
        ("[[strategy]\n", "is not TOML"),
        ("[other]\n", "unknown key `other`"),
        ("strategy = 3\n", r"has no \[\[strategy\]\] table"),
        ("strategy = [3]\n", "a strategy is a table"),
        ("[[strategy]]\nprefix = [0, 25]\n", "needs a `name`"),
        ('[[strategy]]\nname = "a"\nprefx = [0, 25]\n', "unknown key `prefx`"),
        ('[[strategy]]\nname = "a"\nprefix = [0, 2.5]\n', "must be a pair of whole numbers"),
        ('[[strategy]]\nname = "a"\nnum_visible = true\n', "must be a whole number"),
        ('[[strategy]]\nname = "a"\nbehavior = 3\n', "must be a word"),
        ('[[strategy]]\nname = "a"\nliteral_counts = 3\n', "must be true or false"),
        ('[[strategy]]\nname = "a"\nbehavior = "encoded"\n', "neither responses nor behavior"),
        (
            '[[strategy]]\nname = "a"\ntargets = [30, 60]\n[[strategy]]\nname = "a"\n'
            "targets = [30, 60]\n",
            "two strategies are named a",
        ),
    ],
)
def test_a_mistake_is_told_with_the_file(tmp_path, text, sentence):
    path = write_file(tmp_path, text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_strategies(path)
    assert str(path) in caught.value.message


def test_a_misspelt_key_is_guessed(tmp_path):
    path = write_file(tmp_path, '[[strategy]]\nname = "a"\nprefx = [0, 25]\n')
    with pytest.raises(ConfigError) as caught:
        read_strategies(path)
    assert caught.value.hint == "did you mean `prefix`?"


def test_a_missing_file_is_an_error_of_the_user(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_strategies(tmp_path / "none.toml")
