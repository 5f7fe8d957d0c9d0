"""`omnimouse eval`: what it prints and writes, and how it ends."""

import importlib.util
import json
import shutil
from types import SimpleNamespace

import pytest
import torch
import typer
from typer.testing import CliRunner

from omnimouse_cli.api.evaluate import default_tier
from omnimouse_cli.batch import windows as windows_module
from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.cli.app import _with_exit_codes
from omnimouse_cli.cli.eval import command_eval
from omnimouse_cli.reporter import Silent

pytestmark = pytest.mark.slow

app = typer.Typer()
app.command()(_with_exit_codes(command_eval))


@pytest.fixture(scope="module")
def place(small_mouse, write_run, tmp_path_factory):
    """A working folder with `shards/` and one finished run of random weights in `runs/`."""
    folder = tmp_path_factory.mktemp("place")
    shards = shutil.copytree(small_mouse.folder, folder / "shards")
    small = ("model.d_model=16", "model.layers=1")
    run = write_run(folder / "runs" / "first", open_dataset(shards), sets=small)
    (run / "summary.json").write_text("{}")
    return folder


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_of(result):
    assert result.exit_code == 1, result.stderr
    first, hint = result.stderr.split("\n\nhint: ")
    assert first.startswith("error: ")
    assert result.stdout == ""
    return first.removeprefix("error: "), hint.strip()


def test_the_newest_finished_run_is_taken_and_its_json_is_one_document(place, monkeypatch):
    monkeypatch.chdir(place)
    result = invoke("--regime", "forecast", "--no-behavior", "--json")
    assert result.exit_code == 0, result.stderr
    content = json.loads(result.stdout)
    assert content["format"] == "omnimouse-eval"
    rows = {record["strategy"] for record in content["records"]}
    assert rows == {"forecast", "forecast+stimulus"}
    assert "taking runs/first (the newest finished run)" in result.stderr
    written = place / "runs/first/eval/test-forecast-no-behavior"
    assert json.loads((written / "eval.json").read_text()) == content
    assert (written / "neurons.npz").exists()
    assert (written / "eval.png").exists()


def test_the_table_has_a_line_for_each_row_beside_its_baselines(place):
    few = ("--baselines", "ridge,persistence,psth", "--draws", "2", "--stride", "90", "--metrics")
    command = (place / "runs/first", "--regime", "all", "--name", "whole", "--device", "cpu")
    result = invoke(*command, *few)
    assert result.exit_code == 0, result.stderr
    words = ("forecast+stimulus", "gaze", "running", "ridge", "persistence", "ceiling")
    for word in (*words, "forecast-causal", "SD of", "R2", "bits/", "cov. 95"):
        assert word in result.stdout
    assert "frames of 0-2 s (later ones included)" in result.stdout
    assert result.stderr.endswith(f"next: omnimouse report {place / 'runs/first'}\n")
    assert "(inputs not trained on)" in result.stdout
    assert "not available in 21001-1-1: psth of predict" in result.stdout
    assert "\x1b" not in result.stdout
    assert (place / "runs/first/eval/whole/eval.json").exists()


def test_the_base_install_evaluates_without_ridge_and_figure(place, monkeypatch, tmp_path):
    find_spec = importlib.util.find_spec

    def find_base_install(name, package=None):
        return None if name in ("sklearn", "scipy", "matplotlib") else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_base_install)
    shutil.copytree(place / "runs" / "first", tmp_path / "run")
    arguments = [str(tmp_path / "run"), "--regime", "predict", "--shards", str(place / "shards")]
    result = CliRunner().invoke(app, [*arguments, "--device", "cpu", "--name", "base"])
    assert result.exit_code == 0, result.stderr
    assert (
        "no figure: Matplotlib is not installed; pip install 'omnimouse[report]'" in result.stderr
    )
    (line,) = (one for one in result.stdout.splitlines() if "scikit-learn is not" in one)
    assert "ridge of predict, " in line
    assert "ridge of predict-causal" in line
    written = sorted(path.name for path in (tmp_path / "run" / "eval" / "base").iterdir())
    assert written == ["eval.json", "neurons.csv", "neurons.npz", "resamples.npz", "traces.npz"]
    refused = CliRunner().invoke(app, [*arguments, "--perturb", "noise"])
    assert refused.exit_code == 1
    assert "eval --perturb needs scipy, which is not installed" in refused.stderr


def test_a_moved_run_evaluates_with_its_shards(place, tmp_path):
    run = shutil.copytree(place / "runs/first", tmp_path / "moved")
    shards = shutil.copytree(place / "shards", tmp_path / "shards")
    result = invoke(run, "--shards", shards, "--regime", "predict", "--no-baselines", "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "predict" in result.stdout
    assert result.stderr == ""


def test_an_ensemble_is_scored_as_one_model(place, tmp_path):
    runs = [shutil.copytree(place / "runs/first", tmp_path / name) for name in ("a", "b")]
    options = ("--shards", place / "shards", "--regime", "forecast", "--draws", 1, "--json")
    options = (*options, "--baselines", "train_mean")
    single = invoke(runs[1], *options, "--name", "single")
    result = invoke(*runs, *options, "--ensemble")
    assert result.exit_code == 0, result.stderr
    assert "scoring the mean prediction of 2 runs: a, b" in result.stderr
    document = json.loads(result.stdout)
    assert (document["run"], document["runs"]) == ("a", ["a", "b"])
    name = "test-forecast-baselines-train_mean-draws-1-ensemble-of-2-b"
    stored = tmp_path / "a" / "eval" / name / "eval.json"
    assert json.loads(stored.read_text()) == document
    assert not (tmp_path / "b" / "eval" / name).exists()
    # The mean of two equal models is the model.
    models = [one for one in document["records"] if one["predictor"] == "model"]
    alone = json.loads(single.stdout)["records"]
    assert models == [one for one in alone if one["predictor"] == "model"]
    assert {one["predictor"] for one in document["records"]} >= {"train_mean", "model"}
    message, hint = error_of(invoke(runs[0], "--ensemble"))
    assert "an ensemble has several runs" in message
    assert "seed" in hint


def test_an_unfinished_run_is_refused(place, tmp_path):
    shutil.copy(place / "runs/first/config.toml", tmp_path)
    message, hint = error_of(invoke(tmp_path))
    assert message == f"{tmp_path} has not finished training: it has no model.safetensors"
    assert hint == f"finish it: omnimouse train --resume {tmp_path}"


def test_an_unknown_regime_is_refused_before_anything_is_read(tmp_path):
    message, hint = error_of(invoke(tmp_path / "nothing", "--regime", "forcast"))
    assert message == "there is no regime or strategy forcast"
    assert hint.startswith("did you mean `forecast`?")
    assert "regimes are predict, decode, forecast, population and all" in hint


def test_an_unknown_regime_or_baseline_is_refused_before_a_run_is_chosen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert error_of(invoke("--regime", "foo"))[0] == "there is no regime or strategy foo"
    assert error_of(invoke("--baselines", "rigde"))[0] == "there is no baseline rigde"
    assert error_of(invoke("--baselines", ""))[0] == "--baselines names no baseline"


def test_a_tier_that_no_trial_has_lists_the_tiers(place):
    message, _ = error_of(invoke(place / "runs/first", "--tier", "final"))
    assert message.startswith("no trial has tier final; tiers are ")
    assert "test" in message


def test_no_run_at_all_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message, hint = error_of(invoke())
    assert "no run was named and there is no finished run" in message
    assert "omnimouse train" in hint


def test_runs_are_perturbed_side_by_side(place, small_mouse, write_run, tmp_path):
    small = ("model.d_model=16", "model.layers=1")
    runs = [
        write_run(tmp_path / kind, small_mouse, sets=(*small, f"model.feed_forward={kind}"))
        for kind in ("swiglu", "dendritic")
    ]
    command = [*runs, "--perturb", "noise", "--stride", "900", "--no-baselines"]
    result = invoke(*command, "--device", "cpu")
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines() if line.startswith("noise ")]
    assert [line[:3] for line in lines] == [
        ["noise", "swiglu", "swiglu"],
        ["noise", "dendritic", "dendritic"],
    ]
    assert "noise: 0.05, 0.2, 0.4 (standard deviation" in result.stdout
    name = "test-predict-perturbed-noise-no-baselines-stride-900"
    written = [json.loads((run / "eval" / name / "eval.json").read_text()) for run in runs]
    again = json.loads(invoke(*command, "--device", "cpu", "--json", "--quiet").stdout)
    # They differ in more than their seed.
    assert again.pop("combined") == []
    assert [{**again, "runs": None} | one for one in again["runs"]] == [
        {**one, "runs": None} for one in written
    ]
    number = written[0]["perturbed"][-1]
    assert {"perturbation", "severity", "level", "level_unit", "metric", "value"} <= set(number)
    assert written[0]["attack_checks"] == []


def test_runs_of_several_seeds_have_a_mean_over_windows_and_seeds(small_mouse, write_run, tmp_path):
    def other_weights(tensors):
        for tensor in tensors.values():
            tensor.add_(0.05 * torch.randn(tensor.shape))

    small = ("model.d_model=16", "model.layers=1")
    runs = [
        write_run(
            tmp_path / str(seed),
            small_mouse,
            sets=(*small, f"seed={seed}"),
            weights=other_weights if seed == 2 else None,
        )
        for seed in (1, 2)
    ]
    command = [*runs, "--regime", "forecast", "--no-stimulus", "--no-baselines", "--device", "cpu"]
    content = json.loads(invoke(*command, "--json", "--quiet").stdout)
    (combined,) = content["combined"]
    assert (combined["runs"], combined["seeds"]) == (["1", "2"], [1, 2])
    first, second = (list(run["records"]) for run in content["runs"])
    for record, *each in zip(combined["records"], first, second, strict=True):
        assert record["runs"] == 2
        assert record["value"] == pytest.approx((each[0]["value"] + each[1]["value"]) / 2)
        assert record["interval_over"] == "windows, seeds"
        assert record["low"] < record["value"] < record["high"]
    shown = invoke(*command, "--quiet").stdout
    assert "mean of 2 runs of seeds 1, 2: 1, 2" in shown
    assert "95 % interval over windows, seeds" in shown


def test_an_unknown_perturbation_is_refused_before_anything_is_read(tmp_path):
    message, hint = error_of(invoke(tmp_path / "nothing", "--perturb", "noise,adverserial"))
    assert message == "there is no perturbation 'adverserial'"
    assert hint == "did you mean `adversarial`?"


def test_an_interruption_leaves_nothing_behind(place, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("omnimouse_cli.evaluation.evaluate.evaluate", interrupted)
    result = invoke(place / "runs/first", "--regime", "predict", "--name", "cut")
    assert result.exit_code == 130
    assert "nothing was written for" in result.stderr
    assert not (place / "runs/first/eval/cut").exists()


class _Said(Silent):
    def __init__(self):
        self.lines = []

    def say(self, message):
        self.lines.append(message)


@pytest.mark.parametrize(
    ("has_windows", "expected"),
    [
        ({"train", "validation", "oracle", "test"}, "test"),
        ({"train", "oracle", "live_test_main"}, "oracle"),
        ({"train", "validation"}, "validation"),
        ({"train"}, "test"),
    ],
)
def test_without_a_tier_the_first_usual_one_is_scored_and_said(has_windows, expected, monkeypatch):
    # Trials of a tier whose responses are withheld have no window.
    monkeypatch.setattr(
        windows_module,
        "window_table",
        lambda _shard, tiers, **_: SimpleNamespace(num_windows=len(has_windows & set(tiers))),
    )
    said, sessions = _Said(), (SimpleNamespace(shard=None),)
    assert default_tier(SimpleNamespace(sessions=sessions), said) == expected
    assert [f"scoring tier {expected}" in line for line in said.lines] == [True] * (
        expected != "test"
    )
