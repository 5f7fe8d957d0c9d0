"""`omnimouse train` and `omnimouse sweep`: what options mean, what is printed, what is refused."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from omnimouse_cli.api.train_job import length_overrides
from omnimouse_cli.cli.app import app
from omnimouse_cli.errors import OmniMouseError

# A model of seconds.
SMALL = ["--device", "cpu", "--set", "model.d_model=16", "--set", "model.layers=1"]
SMALL += [
    "--set",
    "model.d_embedding=8",
    "--set",
    "data.batch_size=2",
    "--set",
    "train.log_every=1",
    # They are computed before each training.
    "--set",
    "model.decoder.linear_rank=none",
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Threads that wait for each other cost more than models of this size."""
    torch.set_num_threads(1)


def omnimouse(*arguments: str, code: int = 0):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.stderr or result.exception
    return result


@pytest.mark.training
def test_without_paths_shards_are_taken_and_a_new_run_is_made(home):
    result = omnimouse("train", *SMALL, "--steps", "2", "--json")
    summary = json.loads(result.stdout)
    assert summary["format"] == "omnimouse-summary"
    assert summary["steps"] == 2
    assert "taking shards/ (default)" in result.stderr
    (run,) = (home / "runs").iterdir()
    assert str(Path("runs") / run.name) in result.stderr
    environment = json.loads((run / "environment.json").read_text())
    assert environment["shards"] == str(home / "shards")


@pytest.mark.training
def test_a_run_is_never_overwritten(home):
    first = omnimouse("train", "shards", *SMALL, "--steps", "1", "--out", "run")
    assert "nano" in first.stdout
    assert first.stderr.endswith("next: omnimouse eval run\n")
    before = (home / "run" / "model.safetensors").read_bytes()
    command = ["train", "shards", *SMALL, "--steps", "1", "--seed", "9"]
    second = omnimouse(*command, "--out", "run", code=1)
    assert "error: run exists already: it is a finished run of 1 step\n" in second.stderr
    assert "omnimouse train --resume run" in second.stderr
    assert (home / "run" / "model.safetensors").read_bytes() == before
    assert not (home / "run-2").exists()


@pytest.mark.training
def test_a_training_that_cannot_begin_leaves_no_folder(home):
    omnimouse("train", "shards", *SMALL, "--sessions", "100-1-2", code=1)
    assert not [*(home / "runs").iterdir()]


@pytest.mark.training
def test_a_run_goes_on_by_its_name_with_what_it_was_begun_with(home):
    omnimouse("train", "shards", *SMALL, "--steps", "1", "--out", "run", "--seed", "9")
    result = omnimouse("train", "--resume", "run", "--steps", "3", "--device", "cpu", "--json")
    summary = json.loads(result.stdout)
    assert (summary["steps"], summary["seed"]) == (3, 9)
    assert "continuing from" in result.stderr
    again = omnimouse("train", "--resume", "--out", "run", "--device", "cpu")
    assert "has finished already" in again.stderr


@pytest.mark.training
def test_another_model_cannot_go_on_with_a_run(home):
    omnimouse("train", "shards", *SMALL, "--steps", "1", "--out", "run")
    before = (home / "run" / "config.toml").read_text()
    change = ["--set", "model.d_model=32", "--model", "tiny"]
    result = omnimouse("train", "--resume", "run", "--device", "cpu", *change, code=1)
    assert "is of a nano model and this run is of a tiny model" in result.stderr
    assert "\nhint: " in result.stderr
    assert (home / "run" / "config.toml").read_text() == before


@pytest.mark.training
def test_another_size_cannot_begin_with_a_run(home):
    omnimouse("train", "shards", *SMALL, "--steps", "1", "--out", "run")
    wish = ("--init-from", "run", "--model", "tiny", "--steps", "1", "--out", "next")
    result = omnimouse("train", "shards", *wish, code=1)
    assert "error: run has a model of size nano, and --model is tiny" in result.stderr
    assert "\nhint: " in result.stderr
    assert not (home / "next").exists()


@pytest.mark.training
def test_the_same_command_begins_and_goes_on_for_job_queues(home):
    command = ["train", "shards", *SMALL, "--steps", "2", "--out", "run", "--resume"]
    begun = omnimouse(*command).stderr
    assert begun.startswith("no run stands at run: a new one begins\n")
    assert "has finished already" in omnimouse(*command).stderr


@pytest.mark.training
@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    [
        (["nowhere"], "nowhere does not exist", "omnimouse preprocess"),
        (["shards", "--model", "nana"], "no model size 'nana'", "nano"),
        (["shards", "--set", "train.lerning_rate=1"], "train.lerning_rate", "train.learning_rate"),
        (["shards", "--sessions", "100-1-2"], "no session 100-1-2", "100-1-1"),
        (["shards", "--sessions", "99"], "--sessions 99: shards has 2 sessions", "from 1 to 2"),
        (["shards", "--set", "data.max_sessions=3"], "has 2 sessions, and the first 3", "up to 2"),
        (["shards", "--steps", "1", "--minutes", "2"], "only one of --steps", ""),
        (["shards", "--gpus", "2", "--procs", "2"], "cannot be given together", ""),
        (["shards", "--device", "tpu"], "no device 'tpu'", "cpu, cuda or auto"),
        (["shards", "--set", "data.normalize=standardize"], "standardize, which subtracts", ""),
    ],
)
def test_what_cannot_be_is_one_sentence_and_leaves_no_run(home, arguments, problem, hint):
    result = omnimouse("train", *arguments, "--out", "run", code=1)
    assert result.stderr.count("error: ") == 1
    assert problem in result.stderr
    assert hint in result.stderr
    assert not (home / "run").exists()


@pytest.mark.parametrize("is_made", [False, True])
def test_without_shards_nothing_is_made_and_no_training_announced(tmp_path, monkeypatch, is_made):
    monkeypatch.chdir(tmp_path)
    if is_made:
        (tmp_path / "shards").mkdir()
    result = omnimouse("train", "--device", "cpu", code=1)
    assert "error: shards " in result.stderr
    assert "training in" not in result.stderr
    assert not (tmp_path / "runs").exists()
    if not is_made:
        assert result.stderr.startswith("error: shards does not exist\n")


@pytest.fixture
def core(home) -> Path:
    """A finished run on the first session, with linear models: an adaptation computes them too."""
    omnimouse("train", "shards", *SMALL[:-2], "--steps", "1", "--sessions", "1", "--out", "core")
    return home / "core"


@pytest.mark.training
def test_a_core_is_adapted_and_the_same_command_goes_on(core):
    command = ["train", "shards", "--adapt-from", "core", "--sessions", "200-1-1", "--steps", "2"]
    command += ["--device", "cpu", "--out", "new", "--resume", "--set", "data.batch_size=2"]
    plan = json.loads(omnimouse(*command, "--dry-run", "--json").stdout)
    learned = plan["parameters"]["tables"] + 8
    assert plan["memory_bytes"]["optimizer"] == 8 * learned
    opened = [*command, "--unfreeze", "latents", "--dry-run", "--json"]
    latents = json.loads(omnimouse(*opened).stdout)["memory_bytes"]["optimizer"] - 8 * learned
    assert latents == 8 * (16 + 16 + 3) * 16
    result = omnimouse(*command, "--json")
    assert "is frozen except for: animal embeddings, session embeddings" in result.stderr
    summary = json.loads(result.stdout)
    assert (summary["adapted_from"], summary["model"]) == (str(core), "nano")
    assert "has finished already" in omnimouse(*command).stderr
    omnimouse("eval", "new", "--regime", "decode", "--no-baselines", "--device", "cpu")


NOT_ADAPTED = [
    (["--model", "tiny"], "`model.size` is nano there and tiny here", "leave --model"),
    (["--set", "model.layers=3"], "`model.layers` is 1 there and 3 here", "leave --model"),
    (["--set", "model.response_loss=gaussian"], "is poisson there and gaussian", ""),
    (["--unfreeze", "readouts"], "cannot be 'readouts'", "did you mean `readout`?"),
    (["--adapt-from", "nowhere"], "nowhere is not a run folder", ""),
    (["--adapt-from", "shards"], "is not a run folder", "omnimouse train"),
    (["--adapt-from", "begun"], "has not finished training", "--resume"),
    (["--adapt-from", "later"], "has version 2", "install the omnimouse that wrote it"),
]


@pytest.mark.training
def test_what_cannot_be_adapted_is_one_sentence_and_leaves_no_run(core):
    # One core for all: making it takes longer than refusing.
    Path("begun").mkdir()
    shutil.copy("core/config.toml", "begun")
    Path("later").mkdir()
    save_file({}, "later/model.safetensors", {"format": "omnimouse-weights", "version": "2"})
    for arguments, problem, hint in NOT_ADAPTED:
        command = ["train", "shards", "--adapt-from", "core", *arguments]
        result = omnimouse(*command, "--out", "new", code=1)
        assert result.stderr.count("error: ") == 1
        assert problem in result.stderr
        assert hint in result.stderr
        assert not Path("new").exists()


@pytest.mark.training
def test_parts_cannot_be_opened_without_a_core(home):
    result = omnimouse("train", "shards", "--unfreeze", "decoder", "--out", "new", code=1)
    assert "`unfreeze` needs a run to `adapt_from`: decoder" in result.stderr


@pytest.mark.training
def test_without_an_unfinished_run_there_is_nothing_to_go_on_with(home):
    result = omnimouse("train", "--resume", code=1)
    assert "runs/ has no unfinished run" in result.stderr
    assert "--resume RUN" in result.stderr


@pytest.mark.training
def test_more_gpus_than_there_are_says_how_many_there_are(home, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    result = omnimouse("train", "shards", "--gpus", "8", code=1)
    assert "this machine has 3" in result.stderr
    assert "--procs" in result.stderr
    assert not (home / "runs").exists()


@pytest.mark.training
def test_wrong_usage_has_exit_code_2(home):
    omnimouse("train", "--stepz", "3", code=2)
    omnimouse("train", "--steps", "0", code=2)


@pytest.mark.training
def test_a_length_on_the_command_line_replaces_that_of_a_file(home):
    Path("run.toml").write_text("[train]\nminutes = 5\n")
    result = omnimouse("train", *SMALL, "--config", "run.toml", "--steps", "1", "--json")
    assert json.loads(result.stdout)["steps"] == 1
    with pytest.raises(OmniMouseError, match="steps, minutes"):
        length_overrides(1, None, 1.0)


@pytest.mark.training
def test_a_misspelled_run_is_not_resumed_as_another(home):
    omnimouse("train", "shards", *SMALL, "--steps", "1", "--out", "runs/one")
    (home / "runs" / "one" / "summary.json").unlink()
    for name in ("runs/on", "on"):
        result = omnimouse("train", "--resume", name, code=1)
        assert f"error: {name} does not exist: it is neither a run to resume nor" in result.stderr
        assert "hint: did you mean `runs/one`?" in result.stderr
    result = omnimouse("train", "--resume", "runs", code=1)
    assert "error: runs is a folder with other files, neither a run to resume" in result.stderr
    shutil.copytree("runs/one", "runs/two")
    for command in (("runs/one", "runs/two"), ("runs/one", "--out", "runs/two")):
        result = omnimouse("train", "--resume", *command, code=1)
        assert "error: only one run can be resumed: runs/one, runs/two" in result.stderr


def test_without_shards_resume_begins_no_run_at_a_misspelled_out(home, small_mouse, write_run):
    for name in ("runs/one", "runs/two"):
        write_run(home / name, small_mouse)
    result = omnimouse("train", "--resume", "--out", "runs/on", code=1)
    assert "error: there is no run runs/on to resume" in result.stderr
    assert "hint: did you mean `runs/one`?" in result.stderr
    result = omnimouse("train", "--resume", "--out", "elsewhere", code=1)
    assert "omnimouse train SHARDS --out elsewhere --resume" in result.stderr
    assert not (home / "runs" / "on").exists()


def test_a_run_that_resume_begins_is_said_first_with_the_runs_beside_it(
    home, small_mouse, write_run
):
    for name in ("runs/one", "runs/two"):
        write_run(home / name, small_mouse)
    command = ("train", "shards", "--resume", "--out", "runs/on", *SMALL, "--set", "no.key=1")
    lines = omnimouse(*command, code=1).stderr
    assert lines.startswith("no run stands at runs/on: a new one begins; runs beside it: one, two")


@pytest.mark.training
@pytest.mark.slow
def test_under_torchrun_one_rank_talks_and_all_train(home):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["-m", "omnimouse_cli", "train", *SMALL, "--steps", "2", "--json"]
    result = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["num_ranks"], summary["windows_seen"]) == (2, 8)
    assert result.stderr.count("taking shards/ (default)") == 1
    assert len(list((home / "runs").iterdir())) == 1


@pytest.mark.training
def test_a_sweep_trains_the_grid_and_goes_on_where_it_stopped(home):
    grid = ["--models", "nano", "--sessions", "2,1", "--seeds", "1", "--steps", "1", *SMALL]
    command = ["sweep", "shards", *grid, "--json"]
    document = json.loads(omnimouse(*command).stdout)
    assert document["format"] == "omnimouse-sweep"
    assert [row["run"] for row in document["runs"]] == [
        f"nano-sessions{count}-seed1" for count in (1, 2)
    ]
    folders = sorted((home / "runs" / "sweep").glob("nano*"))
    summaries = [json.loads((path / "summary.json").read_text()) for path in folders]
    assert len({summary["split"] for summary in summaries}) == 1
    assert [summary["sessions"] for summary in summaries] == [1, 2]
    assert len({summary["subset"] for summary in summaries}) == 2
    for summary in summaries:
        hours = summary["unique_tokens"] / summary["unique_neuron_hours"]
        assert 3600 * 4 < hours < 3600 * 40, "a neuron is sampled 4 to 40 times a second"
        assert summary["learning_rate"] == 2e-3
    (folders[1] / "summary.json").unlink()
    times = [(path / "environment.json").stat().st_mtime_ns for path in folders]
    again = omnimouse(*command)
    assert "2 runs in runs/sweep, 1 already finished" in again.stderr
    changed = [
        path.name
        for path, before in zip(folders, times, strict=True)
        if (path / "environment.json").stat().st_mtime_ns != before
    ]
    assert changed == [folders[1].name]


@pytest.mark.training
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--sessions", "3"], "--sessions 3: shards has 2 sessions, and none has this key"),
        (["--sessions", "a"], "--sessions a: shards has 2 sessions, and none has this key"),
        (["--sessions", "0"], "--sessions 0: shards has 2 sessions"),
        (["--models", "nana"], "no model size 'nana'"),
    ],
)
def test_a_sweep_that_cannot_be_trains_nothing(home, arguments, problem):
    result = omnimouse("sweep", "shards", "--steps", "1", *arguments, code=1)
    assert problem in result.stderr
    assert not (home / "runs").exists()
