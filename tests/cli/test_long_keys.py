"""Session keys, citations and names of files that are longer than file systems take."""

import json

import pytest
from typer.testing import CliRunner

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.cli.app import program

KEY = "k" * 260
MODEL = ("--set", "model.d_model=16", "--set", "model.layers=1", "--device", "cpu")
PROBE = ("--directions", "4", "--spatial", "0.08", "--temporal", "2", "--noise-windows", "8")
COMMANDS = {
    "inspect": ("shards", "--plot", "plot.png", "--session", KEY),
    "eval": ("run", "--regime", "predict", "--no-baselines", "--stride", "60"),
    "predict": ("run", "--tier", "test", "--out", "predicted.npz", "--device", "cpu"),
    "mei": ("run", "--session", KEY, "--neurons", "0", "--steps", "1", "--starts", "1"),
    "probe": ("run", "--session", KEY, *PROBE, "--gradient-windows", "0", "--pictures", "0"),
    "report": ("run",),
    "export-embeddings": ("run",),
}  # fmt: skip
TOO_LONG = {
    "simulate": ("x" * 256,),
    "train": ("shards", "--steps", "1", "--out", "x" * 256),
    "eval": ("run", "--regime", "predict", "--out", "x" * 256),
    "predict": ("run", "--tier", "test", "--out", "x" * 252 + ".npz"),
    "inspect": ("shards", "--plot", "x" * 252 + ".png"),
}


def run(command, *arguments):
    return CliRunner().invoke(program(command), [command, *arguments])


@pytest.fixture(scope="module")
def folder(small_mouse, write_run, tmp_path_factory):
    """A folder with two sessions, one of which has a long key, and a run that knows both."""
    folder = tmp_path_factory.mktemp("long")
    raw = small_mouse.folder.parent / "recordings" / small_mouse.sessions[0].key
    terms = ("--citation", "c" * 300, "--licence", "l" * 300)
    for key in (KEY, "short"):
        arguments = (str(raw), "--out", str(folder / "shards"), "--key", key, *terms, "--json")
        done = run("preprocess", *arguments)
        assert done.exit_code == 0, done.stderr
    write_run(folder / "run", open_dataset(folder / "shards"), sets=MODEL[1:4:2])
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_key_of_260_letters_is_a_session_like_any_other(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    done = run(command, *COMMANDS[command])
    assert done.exit_code == 0, done.stderr


def test_files_are_named_after_the_beginning_of_a_long_key(folder):
    names = [path.stem for path in (folder / "shards").glob("k*.safetensors")]
    catalogue = json.loads((folder / "shards" / "catalogue.json").read_text())
    assert [len(name) for name in names] == [189]
    assert KEY in {entry["session"] for entry in catalogue["sessions"]}


@pytest.mark.parametrize("command", TOO_LONG)
def test_a_name_that_no_file_system_takes_is_a_sentence(folder, monkeypatch, command):
    monkeypatch.chdir(folder)
    done = run(command, *TOO_LONG[command])
    assert done.exit_code == 1
    assert "File name too long\n\nhint: use a shorter name" in done.stderr, done.stderr


def test_a_strategy_of_300_letters_is_unknown_and_no_file(folder, monkeypatch):
    monkeypatch.chdir(folder)
    done = run("eval", "run", "--regime", "s" * 300)
    assert done.exit_code == 1
    assert "there is no regime or strategy sss" in done.stderr
