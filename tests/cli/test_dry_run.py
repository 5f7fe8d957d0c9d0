"""`omnimouse train --dry-run`: how large a training would be, with and without data."""

import json

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app
from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.run.folder import lock_run, write_config


def omnimouse(*arguments: str):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr or result.exception
    return result


def test_a_dry_run_says_how_large_the_training_would_be_and_writes_nothing(home):
    result = omnimouse("train", "shards", "--model", "80M", "--gpus", "3", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    parameters = plan["parameters"]
    assert parameters["core"] == sum(parameters["components"].values()) == 114_482_432
    assert parameters["tables"] == 10 * 257 + 2 * 256
    assert parameters["total"] == parameters["core"] + parameters["tables"] + 2 * 256
    assert plan["flops_per_window"] > 0
    # Published sizes have no shortcuts.
    assert plan["shortcuts_first_fraction"] == plan["shortcuts_first_flops_per_window"] == 0
    assert plan["memory_bytes"].keys() >= {"parameters", "optimizer", "activations"}
    assert plan["sequence_lengths"]
    assert [part["sessions"] for part in plan["ranks"]] == [["100-1-1"], ["200-1-1"], []]
    assert not (home / "runs").exists()
    assert (plan["steps"], plan["seconds"], plan["seconds_per_step"]) == (1_000_000, None, None)
    assert plan["epochs"] > 100
    assert plan["not_measured"]


SMALL = ["--model", "nano", "--device", "cpu", "--set", "data.batch_size=2"]
SMALL += ["--set", "model.decoder.linear_rank=none"]


@pytest.mark.training
def test_length_time_and_epochs_of_a_plan_are_those_of_the_training(home):
    command = ["train", "shards", *SMALL, "--out", "run", "--epochs", "1.5"]
    plan = json.loads(omnimouse(*command, "--dry-run", "--json").stdout)
    assert list(home.iterdir()) == [home / "shards"]
    a_step = plan["seconds_per_step"]
    share = plan["shortcuts_first_fraction"]
    mean = share * a_step["shortcuts"] + (1 - share) * a_step["whole_model"]
    assert plan["seconds"] == pytest.approx(plan["steps"] * mean)
    assert plan["not_measured"] is None
    assert sum(plan["memory_bytes"].values()) < plan["available_memory_bytes"]
    summary = json.loads(omnimouse(*command, "--json").stdout)
    assert summary["steps"] == plan["steps"]
    assert summary["epochs"] == pytest.approx(plan["epochs"], rel=1e-9)
    assert summary["epochs"] == summary["tokens_seen"] / summary["unique_tokens"]
    resumed = ["train", "--resume", "run", "--steps", str(plan["steps"] + 10), "--dry-run"]
    longer = json.loads(omnimouse(*resumed, "--json").stdout)
    assert (longer["steps"], longer["steps_done"]) == (plan["steps"] + 10, plan["steps"])
    assert 0 < longer["seconds"] < (plan["steps"] + 10) * longer["seconds_per_step"]["whole_model"]
    lines = omnimouse(*resumed).stdout
    for text in ("length", "epochs", "of which are done", "time of the steps", "measured here"):
        assert text in lines


@pytest.mark.training
def test_a_plan_in_minutes_has_as_many_steps_as_fit(home):
    command = ["train", "shards", *SMALL, "--minutes", "3", "--dry-run", "--json"]
    plan = json.loads(omnimouse(*command).stdout)
    share, a_step = plan["shortcuts_first_fraction"], plan["seconds_per_step"]
    rate = share / a_step["shortcuts"] + (1 - share) / a_step["whole_model"]
    assert (plan["seconds"], plan["steps_done"]) == (180, 0)
    assert plan["steps"] == pytest.approx(180 * rate, abs=1)


REFUSED = [
    (["--sessions", "3"], "--sessions 3: shards has 2 sessions"),
    (["--device", "tpu"], "there is no device 'tpu'"),
    (["--set", "data.normalize=standardize"], "standardize, which subtracts the mean"),
    (["--out", "full"], "full"),
    (["--init-from", "full"], "is not a run"),
    (["--adapt-from", "full"], "is not a run folder"),
    (["--set", 'masking.files=["none.toml"]'], "none.toml"),
    (["--resume"], "no unfinished run"),
]


@pytest.mark.training
def test_a_dry_run_refuses_what_training_refuses(home):
    (home / "full").mkdir()
    (home / "full" / "file").write_text("")
    for arguments, problem in REFUSED:
        errors = []
        for dry_run in ([], ["--dry-run"]):
            shards = [] if "--resume" in arguments else ["shards"]
            command = ["train", *shards, "--steps", "1", *arguments, *dry_run]
            result = CliRunner().invoke(app, command)
            assert result.exit_code == 1, (arguments, result.stderr, result.exception)
            assert problem in result.stderr
            errors.append(result.stderr.partition("error: ")[2])
        assert errors[0] == errors[1]
    command = ["train", "shards", "--out", "full/file/run", "--dry-run"]
    assert "full/file is a file" in CliRunner().invoke(app, command).stderr


@pytest.mark.training
def test_a_start_that_does_not_fit_is_refused_before_it_begins(home, small_mouse, write_run):
    write_run(home / "other", small_mouse)
    channels = ["--set", 'data.behavior_channels=["running"]']
    for start in (["--init-from", "other"], ["--adapt-from", "other", *channels]):
        command = ["train", "shards", *SMALL[2:], "--steps", "1", *start]
        errors = []
        for dry_run in ([], ["--dry-run"]):
            result = CliRunner().invoke(app, [*command, *dry_run])
            assert result.exit_code == 1
            errors.append(result.stderr.partition("error: ")[2])
        assert errors[0] == errors[1] != ""


@pytest.mark.training
def test_a_training_that_does_not_fit_in_memory_is_planned_and_refused(home, monkeypatch):
    monkeypatch.setattr("omnimouse_cli.training.plan.available_memory", lambda _: 10**6)
    command = ["train", "shards", "--device", "cpu", "--dry-run", "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    plan = json.loads(result.stdout)
    assert (plan["available_memory_bytes"], plan["seconds"]) == (10**6, None)
    assert "of memory by the estimate, and this machine has 1.0 MiB" in result.stderr
    assert "\nhint: " in result.stderr


@pytest.mark.training
def test_a_run_that_is_being_trained_is_refused(home):
    (home / "run").mkdir()
    write_config(home / "run", default_run_config("nano"))
    command = ["train", "shards", *SMALL, "--steps", "1", "--out", "run", "--resume", "--dry-run"]
    with lock_run(home / "run"):
        result = CliRunner().invoke(app, command)
    assert result.exit_code == 1
    assert "run is being trained by another process" in result.stderr


def test_a_dry_run_tells_of_cheap_steps(home):
    command = ("train", "shards", "--model", "nano", "--dry-run")
    plan = json.loads(omnimouse(*command, "--json").stdout)
    assert plan["flops_per_window"] > plan["shortcuts_first_flops_per_window"] > 0
    lines = omnimouse(*command).stdout.splitlines()
    assert any("in the first 40.0 % of the run" in line for line in lines)
    assert any("memory of parameters" in line and "MiB" in line for line in lines)


def test_a_dry_run_without_data_plans_for_the_published_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = json.loads(omnimouse("train", "--model", "1M", "--dry-run", "--json").stdout)
    assert plan["parameters"]["core"] == 6_409_472


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("train.learning_rate=inf", "`learning_rate` must be finite: inf"),
        ("train.weight_decay=inf", "`weight_decay` must be finite: inf"),
        ("seed=-1", "`seed` must not be negative: -1"),
        ('data.tiers=["trian"]', "no trial has tier trian; tiers are"),
    ],
)
def test_values_that_no_training_can_have_are_refused(home, setting, problem):
    result = CliRunner().invoke(app, ["train", "shards", "--dry-run", "--set", setting])
    assert result.exit_code == 1
    assert problem in result.stderr
    assert result.stderr.count("error:") == 1
