"""What the tests of several commands begin with."""

from pathlib import Path

import pytest

from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess


@pytest.fixture
def home(experanto_session, tmp_path, monkeypatch) -> Path:
    """A working folder with shards of two sessions."""
    recordings = [
        open_recording(experanto_session(name, neurons=5, seconds=40.0, seed=seed))
        for seed, name in enumerate(("100-1-1", "200-1-1"))
    ]
    home = tmp_path / "home"
    preprocess(recordings, home / "shards", PreprocessOptions(), Silent())
    monkeypatch.chdir(home)
    return home
