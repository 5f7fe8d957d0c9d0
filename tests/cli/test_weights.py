"""`omnimouse import-weights` and `export-weights`: what they write and print, and how they end."""

import json

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app
from omnimouse_cli.recording.open import open_recording
from omnimouse_cli.recording.simulated.settings import SimulationConfig
from omnimouse_cli.recording.simulated.simulation import simulate
from omnimouse_cli.reporter import Silent
from omnimouse_cli.shard.preprocess import PreprocessOptions, preprocess

NUM_NEURONS = 8


@pytest.fixture(autouse=True)
def one_thread():
    """Threads that wait for each other cost more than models of this size."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def place(tmp_path_factory, published_layout):
    """A folder with `shards/` of one simulated session, and a `checkpoint/` that knows it."""
    folder = tmp_path_factory.mktemp("place")
    config = SimulationConfig(sessions=1, neurons=NUM_NEURONS, minutes=1.0, seed=1)
    simulated = simulate(folder / "recordings", config, reporter=Silent())[0]
    options = PreprocessOptions()
    preprocess([open_recording(simulated.path)], folder / "shards", options, Silent())
    ranks = (
        {simulated.session: (simulated.animal, NUM_NEURONS)},
        {"300-4-7": ("300", 5)},
    )
    published_layout.Checkpoint(ranks=ranks).write(folder / "checkpoint")
    return folder


@pytest.fixture
def home(place, tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def omnimouse(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.stderr or result.exception
    return result


def error_of(*arguments):
    result = omnimouse(*arguments, code=1)
    message, hint = result.stderr.split("error: ")[1].split("\n\nhint: ")
    assert result.stdout == ""
    return message, hint.strip()


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_imported_checkpoint_is_evaluated_as_a_trained_run_is(place, home):
    result = omnimouse("import-weights", place / "checkpoint", "--shards", place / "shards")
    assert "warning: 1 of 2 sessions are in" in result.stderr
    assert (
        "warning: the weights are of no published size; the nearest is 1M, with d_model is 128"
        in (result.stderr)
    )
    assert "2 of 2 animals" in result.stdout
    # No path: the newest finished run, and the shards that it was imported with.
    options = ["--no-stimulus", "--no-baselines", "--device", "cpu", "--json"]
    result = omnimouse("eval", "--regime", "causal_response_25_behavior", *options)
    content = json.loads(result.stdout)
    assert (content["model"], content["step"]) == ("1M", 20_000)
    (record,) = (
        item
        for item in content["records"]
        if item["metric"] == "single_trial_correlation" and item["session"] != "overall"
    )
    assert (record["neurons"], record["predictor"]) == (NUM_NEURONS, "model")
    assert -1 < record["value"] < 1
    assert "sessions of the run without a shard: 1 of 2" in result.stderr


def test_json_is_one_document_and_a_run_is_never_overwritten(place, home):
    words = ("import-weights", place / "checkpoint", "--out", "mine", "--json", "--quiet")
    content = json.loads(omnimouse(*words).stdout)
    assert content["format"] == "omnimouse-import"
    assert (content["folder"], content["step"], content["epoch"]) == ("mine", 20_000, 3)
    assert content["sessions"][1] == {"session": "300-4-7", "animal": "300", "neurons": 5}
    message, _ = error_of(*words)
    assert message.startswith("mine exists already: it is a finished run")
    assert names_in(home) == ["mine"]


def test_shards_with_another_number_of_neurons_are_refused_with_both(place, home, published_layout):
    session = next(place.glob("shards/*.safetensors")).stem
    ranks = ({session: (session.partition("-")[0], 7)},)
    checkpoint = published_layout.Checkpoint(ranks=ranks).write(home / "other")
    shards = ("--shards", place / "shards")
    wanted = f"session {session} has 8 neurons in {place}/shards/{session}.safetensors and 7 in "
    message, _ = error_of("import-weights", checkpoint, *shards, "--out", "run")
    assert message.endswith(wanted + str(checkpoint))
    assert not (home / "run").exists()
    omnimouse("import-weights", checkpoint, "--out", "run")
    message, hint = error_of("eval", "run", *shards, "--regime", "forecast")
    assert message == wanted + "run"
    assert "--shards" in hint


def test_without_shards_eval_asks_for_them_and_training_is_not_resumed(place, home):
    omnimouse("import-weights", place / "checkpoint", "--out", "run", "--quiet")
    message, hint = error_of("eval", "run", "--regime", "forecast")
    assert message == "run does not name its shards: its weights were imported without"
    assert hint.endswith("--shards FOLDER")
    before = (home / "run/summary.json").read_bytes()
    message, _ = error_of("train", "--resume", "run")
    assert message == "run does not name its shards: its weights were imported without"
    sessions = ["--sessions", next(place.glob("shards/*.safetensors")).stem]
    message, _ = error_of("train", place / "shards", "--resume", "run", *sessions)
    assert message.startswith("run has finished and has no checkpoint to continue from")
    assert (home / "run/summary.json").read_bytes() == before


def test_a_file_that_holds_more_than_data_is_refused_and_leaves_nothing(
    place, home, published_layout
):
    checkpoint = published_layout.Checkpoint()
    checkpoint.files[1]["metrics"] = {"then": [print]}
    folder = checkpoint.write(home / "bad")
    message, hint = error_of("import-weights", folder, "--out", "run")
    assert message == (
        f"{folder}/rank_1.ckpt holds builtins.print, and only tensors, numbers, strings, "
        "containers and numpy arrays are allowed"
    )
    assert hint == "nothing of the file was run; take weights from a source that you trust"
    assert names_in(home) == ["bad"]


def test_a_folder_that_is_no_checkpoint_is_refused(home):
    message, hint = error_of("import-weights", home)
    assert message == f"{home} is not a published checkpoint: it has no file rank_0.ckpt"
    assert "rank_0.ckpt, rank_1.ckpt" in hint


def test_weights_are_exported_by_either_name_and_never_overwritten(place, home):
    omnimouse("import-weights", place / "checkpoint", "--out", "run", "--quiet")
    result = omnimouse("export-weights", "run", "--out", "ours.safetensors")
    assert result.stdout.startswith("ours.safetensors: 100 tensors, ")
    options = ("--out", "theirs.safetensors", "--names", "published", "--json")
    content = json.loads(omnimouse("export-weights", "run", *options).stdout)
    assert content["format"] == "omnimouse-export"
    theirs = load_file("theirs.safetensors")
    assert {name: list(value.shape) for name, value in theirs.items()} == content["tensors"]
    assert content["parameters"] == sum(value.numel() for value in theirs.values())
    ours = load_file("ours.safetensors")
    assert torch.equal(ours["core.encoder.query.weight"], theirs["enc.attention.wq.weight"])
    before = (home / "theirs.safetensors").read_bytes()
    message, _ = error_of("export-weights", "run", *options)
    assert message == "theirs.safetensors exists"
    assert (home / "theirs.safetensors").read_bytes() == before


def test_an_interruption_leaves_nothing_behind(place, home, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("omnimouse_cli.published.convert.write_config", interrupted)
    result = omnimouse("import-weights", place / "checkpoint", "--out", "run", code=130)
    assert "nothing was written; run the same command again" in result.stderr
    assert names_in(home) == []
