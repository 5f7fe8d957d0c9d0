"""Results of `omnimouse eval`: they do not overwrite each other, and other data are refused."""

import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.eval import command_eval
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.convert import Storage
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

pytestmark = pytest.mark.slow

app = typer.Typer()
app.command()(_with_exit_codes(command_eval))
SHORT = ("--regime", "forecast", "--no-stimulus", "--no-baselines", "--stride", "900")
SHORT += ("--device", "cpu")
NAME = "test-forecast-no-stimulus-no-baselines-stride-900"


@pytest.fixture
def run(write_run, small_mouse, tmp_path):
    return write_run(tmp_path / "run", small_mouse, sets=("model.d_model=16", "model.layers=1"))


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result):
    assert result.exit_code == 1, result.stderr
    assert result.stdout == ""
    return result.stderr.partition("error: ")[2].split("\n\nhint: ")


def test_what_differs_is_in_the_name_and_a_repeat_is_said(run, small_mouse):
    for options, done in ((), "wrote "), (("--seed", "3"), "wrote "), ((), "replaced "):
        result = invoke(run, *SHORT, *options)
        assert result.exit_code == 0, result.stderr
        assert f"\n{done}" in f"\n{result.stderr}"
    assert sorted(path.name for path in (run / "eval").iterdir()) == [NAME, f"{NAME}-seed-3"]
    document = json.loads((run / "eval" / NAME / "eval.json").read_text())
    assert document["omnimouse"] == importlib.metadata.version("omnimouse")
    assert document["version"] == 1
    options = document["options"]
    facts = {"stride": 900, "seed": 0, "baselines": [], "precision": "float32"}
    assert facts.items() <= options.items()
    assert options["shards"] == {
        "path": str(small_mouse.folder.resolve()),
        "fingerprint": small_mouse.fingerprint,
        "sessions": {one.key: one.fingerprint for one in small_mouse.sessions},
        "other_data": [],
        "is_default": True,
    }
    message, hint = error_of(invoke(run, *SHORT, "--seed", "3", "--out", run / "eval" / NAME))
    assert message.endswith("holds another evaluation, which differs in seed (0, now 3)")
    assert "--out" in hint


def test_other_data_of_the_same_key_are_refused_unless_they_are_allowed(run, small_mouse, tmp_path):
    (session,) = small_mouse.sessions
    recording = open_recording(Path(session.shard.description.source.path))
    options = PreprocessOptions(storage=Storage(dtype="float32"))
    preprocess([recording], tmp_path / "other", options, Silent())
    shards = tmp_path / "other"
    message, hint = error_of(invoke(run, *SHORT, "--shards", shards))
    assert f"{shards} holds other data of {session.key} than {run} was trained on" in message
    assert "--allow-other-data" in hint
    result = invoke(run, *SHORT, "--shards", shards, "--allow-other-data")
    assert result.exit_code == 0, result.stderr
    assert "it is used all the same (--allow-other-data)" in result.stderr
    fingerprint = open_dataset(shards).fingerprint
    (written,) = (run / "eval").iterdir()
    assert written.name == f"{NAME}-shards-{fingerprint[:8]}"
    found = json.loads((written / "eval.json").read_text())["options"]["shards"]
    assert (found["fingerprint"], found["other_data"]) == (fingerprint, [session.key])


def test_a_run_that_cannot_be_written_to_says_so_first_and_prints_its_table(run, tmp_path):
    (run / "eval").touch()
    result = invoke(run, *SHORT)
    assert result.exit_code == 0, result.stderr
    first = result.stderr.splitlines()[0]
    assert first.startswith(f"warning: {run}/eval/{NAME} cannot be written to (Not a directory)")
    assert "forecast" in result.stdout
    message, _ = error_of(invoke(run, *SHORT, "--out", run / "eval" / "deep"))
    assert message.endswith(f"cannot be made: {run}/eval is a file")
    again = shutil.copytree(run, tmp_path / "again" / "run")
    message, _ = error_of(invoke(run, again, *SHORT, "--out", tmp_path / "out"))
    assert "cannot hold evaluations of several runs of the same name" in message


def test_the_table_is_printed_even_if_the_files_cannot_be_written(run, monkeypatch):
    def full(*_):
        raise OmniMouseError("the disk is full")

    monkeypatch.setattr("omnimouse_cli.evaluation.store.store", full)
    result = invoke(run, *SHORT)
    assert result.exit_code == 1
    assert "error: the disk is full" in result.stderr
    assert "forecast" in result.stdout
