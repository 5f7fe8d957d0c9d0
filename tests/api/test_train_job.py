"""`--sessions` is a number of sessions, or the key of one that is called by a number."""

import json
from pathlib import Path

import pytest

from omnimouse_cli.api.train_job import TrainOptions
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess


class Sayings(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def shards(experanto_session, tmp_path) -> Path:
    """Shards of three sessions called 2, 951980471 and 951980472."""
    recordings = [
        open_recording(experanto_session(name, data_key=key, neurons=3, seconds=10.0, seed=seed))
        for seed, (name, key) in enumerate({"a": "2", "b": "951980471", "c": "951980472"}.items())
    ]
    preprocess(recordings, tmp_path / "shards", PreprocessOptions(), Silent())
    return tmp_path / "shards"


def overrides(shards, sessions):
    options = TrainOptions(
        paths=(shards,),
        out=None,
        model=None,
        config=None,
        overrides=(),
        steps=None,
        epochs=None,
        minutes=None,
        sessions=sessions,
        seed=None,
        resume=False,
        no_compile=False,
        adapt_from=None,
        unfreeze=None,
    )
    reporter = Sayings()
    return options.config_overrides(shards, reporter), reporter.said


@pytest.mark.parametrize(
    ("text", "expected", "said"),
    [
        ("951980471", ["951980471"], ""),
        ("951980471,2", ["951980471", "2"], ""),
        ("1", 1, ""),
        ("3", 3, ""),
        ("2", ["2"], "--sessions 2 is taken for the session of that name"),
        ("2-1-1", ["2-1-1"], ""),
    ],
)
def test_a_number_that_is_a_key_names_the_session(shards, text, expected, said):
    found, sayings = overrides(shards, text)
    if isinstance(expected, int):
        assert found == [f"data.max_sessions={expected}"]
    else:
        assert found == [f"data.sessions={json.dumps(expected)}"]
    assert said in " ".join(sayings)
    assert bool(sayings) == bool(said)


@pytest.mark.parametrize("text", ["951980473", "4", "0", "9" * 5000])
def test_more_sessions_than_there_are_is_an_error_that_names_a_key(shards, text):
    with pytest.raises(OmniMouseError, match=f"--sessions {text}: .* has 3 sessions") as caught:
        overrides(shards, text)
    assert "from 1 to 3, or keys" in caught.value.hint
    if text == "951980473":
        assert "did you mean `951980472`?" in caught.value.hint


def test_without_shards_a_number_is_no_error_here(tmp_path):
    assert overrides(tmp_path / "nowhere", "5") == (["data.max_sessions=5"], [])
