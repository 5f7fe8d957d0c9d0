"""A new run takes a folder of its own: no other run's, no file's, none inside data."""

import json
import shutil
from pathlib import Path

import pytest

from omnimouse_cli.api.new_run import describe_folder, new_run
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.run.folder import lock_run, write_summary


@pytest.fixture
def begun(home, experanto_session):
    """A working folder with `shards/`, `recordings/`, and `run/`, which has begun."""
    Path("run/checkpoints/step-00000007").mkdir(parents=True)
    Path("run/checkpoints/step-00000007/state.json").touch()
    Path("run/config.toml").touch()
    shutil.copytree(experanto_session("300-1-1"), "recordings/100-1-1")
    return home


def refusal(out):
    before = sorted(Path().rglob("*"))
    with pytest.raises(OmniMouseError) as caught:
        new_run(Path(out), "nano")
    assert sorted(Path().rglob("*")) == before
    return caught.value.message, caught.value.hint


def test_an_unfinished_a_finished_and_a_running_run_are_named(begun):
    message, hint = refusal("run")
    assert message == "run exists already: it is an unfinished run at step 7"
    assert hint == "continue it with: omnimouse train --resume run; or name another folder"
    write_summary(Path("run"), {"steps": 1200})
    assert refusal("run")[0] == "run exists already: it is a finished run of 1,200 steps"
    Path("run/summary.json").write_text("damaged")
    assert refusal("run")[0] == "run exists already: it is a finished run"
    for name in ("run", "next"):
        with lock_run(Path(name)):
            message, hint = refusal(name)
            assert message == f"{name} exists already: it is a run that another process is training"
            assert hint.startswith("wait until it has ended")


@pytest.mark.parametrize(
    ("out", "what"),
    [
        ("shards", "a folder of shards"),
        ("recordings", "a folder of recordings"),
        ("recordings/100-1-1", "a recording"),
        ("notes", "a folder with other files"),
        ("notes/a.txt", "a file"),
    ],
)
def test_what_is_no_run_is_named(begun, out, what):
    Path("notes").mkdir()
    Path("notes/a.txt").touch()
    # The default folders, in which no run is begun, are elsewhere.
    Path("omnimouse.toml").write_text('[folders]\nrecordings = "raw"\nshards = "data"\n')
    if out.startswith("recordings/"):
        assert describe_folder(Path(out)) == what
        return
    message, hint = refusal(out)
    assert message == f"{out} exists already: it is {what}"
    assert "name another folder with --out" in hint


@pytest.mark.parametrize(
    ("out", "around", "what"),
    [
        ("shards/run", "shards", "a folder of shards"),
        ("shards/deep/er/run", "shards", "a folder of shards"),
        ("recordings/run", "recordings", "a folder of recordings"),
        ("recordings/100-1-1/run", "recordings/100-1-1", "a recording"),
        ("run/next", "run", "an unfinished run at step 7"),
    ],
)
def test_a_run_is_never_begun_inside_data_or_another_run(begun, out, around, what):
    message, _ = refusal(out)
    assert message == f"a run cannot be begun in {out}: {begun / around} is {what}"


def test_a_run_without_a_name_is_not_begun_inside_data_either(begun, monkeypatch):
    monkeypatch.chdir(begun / "shards")
    with pytest.raises(OmniMouseError, match=r"cannot be begun in runs/.*is a folder of shards"):
        new_run(None, "nano")
    assert not Path("runs").exists()


def test_a_default_folder_of_data_counts_while_it_is_empty(begun):
    Path("omnimouse.toml").write_text('[folders]\nrecordings = "raw"\n')
    Path("raw").mkdir()
    message, _ = refusal("raw/run")
    assert (
        message == f"a run cannot be begun in raw/run: {begun / 'raw'} is the folder of recordings"
    )


def test_a_folder_that_is_new_empty_or_left_by_a_start_that_failed_is_taken(begun):
    assert new_run(Path("new"), "nano") == Path("new")
    left = Path("left")
    left.mkdir()
    assert new_run(left, "nano") == left
    (left / ".lock").touch()
    (left / "environment.json").write_text(json.dumps({}))
    assert new_run(left, "nano") == left
    assert new_run(None, "nano").parent == Path("runs")
