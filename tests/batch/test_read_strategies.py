"""Strategies from TOML files: what is read, and how mistakes are told."""

import pytest

from omnimouse_cli.batch.strategy import read_strategies
from omnimouse_cli.errors import ConfigError


def write(tmp_path, text):
    path = tmp_path / "own.toml"
    path.write_text(text)
    return path


def test_a_file_gives_its_strategies_and_their_families(tmp_path):
    path = write(
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
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=sentence) as caught:
        read_strategies(path)
    assert str(path) in caught.value.message


def test_a_misspelt_key_is_guessed(tmp_path):
    path = write(tmp_path, '[[strategy]]\nname = "a"\nprefx = [0, 25]\n')
    with pytest.raises(ConfigError) as caught:
        read_strategies(path)
    assert caught.value.hint == "did you mean `prefix`?"


def test_a_missing_file_is_an_error_of_the_user(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        read_strategies(tmp_path / "none.toml")
