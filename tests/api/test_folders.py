"""Where things are when no path is given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from omnimouse_cli.api import folders
from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.files import write_document
from omnimouse_cli.reporter import Silent


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_run(path, *, finished, at):
    path.mkdir(parents=True)
    (path / "config.toml").write_text("")
    if finished:
        (path / "summary.json").write_text("{}")
        os.utime(path / "summary.json", (at, at))
    return path


def test_the_newest_finished_run_is_the_one_whose_summary_is_newest(place):
    runs = place / "runs"
    make_run(runs / "z-old", finished=True, at=100)
    newest = make_run(runs / "sweep" / "a-new", finished=True, at=300)
    make_run(runs / "b-unfinished", finished=False, at=400)
    assert folders.newest_finished_run().resolve() == newest
    assert len(folders.all_runs()) == 3


def test_a_run_of_a_sweep_is_the_default_only_where_there_is_no_other(place):
    for at, name in ((200, "nano-sessions1-seed1"), (300, "nano-sessions2-seed1")):
        run = make_run(place / "runs" / "mine" / name, finished=True, at=at)
        facts = {"command_line": ["omnimouse", "sweep", "shards"], "resumes": []}
        write_document(run / "environment.json", "environment", facts)
    assert folders.newest_finished_run() == Path("runs/mine/nano-sessions2-seed1")
    alone = make_run(place / "runs" / "alone", finished=True, at=100)
    assert folders.newest_finished_run().resolve() == alone


class Sayings(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def test_a_name_is_taken_for_the_run_of_the_runs_folder(place):
    for name in ("20261129-193017-nano", "sweep/tiny"):
        make_run(place / "runs" / name, finished=True, at=100)
    reporter = Sayings()
    for name in ("20261129-193017-nano", "sweep/tiny", "sweep"):
        assert folders.find_run(Path(name), reporter) == Path("runs", name)
        assert reporter.said.pop() == f"taking runs/{name}"
    make_run(place / "sweep", finished=True, at=100)
    for path in (Path("sweep"), Path("runs/sweep/tiny"), Path("elsewhere")):
        assert folders.find_run(path, reporter) == path
    assert reporter.said == []


@pytest.mark.parametrize("typed", ["20261129-193071-nano", "runs/20261129-193017-nanoo"])
def test_the_name_of_no_run_is_refused_with_the_one_most_like_it(place, typed):
    make_run(place / "runs" / "20261129-193017-nano", finished=True, at=100)
    with pytest.raises(CheckpointError, match=f"{typed} does not exist") as caught:
        folders.find_run(Path(typed), Silent())
    assert caught.value.hint == "did you mean `runs/20261129-193017-nano`?"


def test_without_a_finished_run_the_error_says_how_to_get_one(place):
    with pytest.raises(OmniMouseError) as caught:
        folders.newest_finished_run()
    assert "there is no finished run in runs/" in caught.value.message
    assert "omnimouse train" in (caught.value.hint or "")


def test_settings_name_other_places(place):
    (place / "omnimouse.toml").write_text("[folders]\nshards = '/data/shards'\n")
    assert str(folders.default_shards()) == "/data/shards"
    assert str(folders.folder("runs")) == "runs"
    (place / "omnimouse.toml").write_text("[folders]\nshards = 3\n")
    with pytest.raises(OmniMouseError, match=r"folders\.shards must be a string: 3"):
        folders.default_shards()


def test_a_new_folder_never_takes_the_place_of_another(place):
    path = place / "runs" / "run"
    names = [folders.make_new_folder(path).name for _ in range(3)]
    assert names == ["run", "run-2", "run-3"]


MAKE_FOLDER = """
import sys
from pathlib import Path
from omnimouse_cli.api.folders import make_new_folder
sys.stdin.readline()
print(make_new_folder(Path("runs/20260101-000000-nano")))
"""


def test_trainings_that_start_in_the_same_second_get_different_folders(place):
    command = [sys.executable, "-c", MAKE_FOLDER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(18)]
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]
    assert len(set(answers)) == 18
    assert sorted(answers) == sorted(f"runs/{path.name}" for path in (place / "runs").iterdir())
