"""`omnimouse train --dry-run`: how large a training would be, with and without data."""

import json

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app


def omnimouse(*arguments: str):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr or result.exception
    return result


def test_a_dry_run_says_how_large_the_training_would_be_and_writes_nothing(home):
    result = omnimouse("train", "shards", "--model", "80M", "--procs", "3", "--dry-run", "--json")
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
