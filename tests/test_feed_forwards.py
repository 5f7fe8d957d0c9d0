"""The comparison of feed-forwards: intervals with a known answer, and runs that are kept."""

import importlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def comparison(monkeypatch):
    """Import the benchmark as it is imported when it is run."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("feed_forward")


def test_feed_forwards_are_compared_seed_by_seed(comparison):
    # Student's quantile of .975 with two degrees of freedom.
    quantile = 4.302652729749464
    scores = {
        "dendritic": [{"predict": 0.5}, {"predict": 0.6}, {"predict": 0.7}],
        "relu": [{"predict": 0.4}, {"predict": 0.5}, {"predict": 0.6}],
    }
    ours, relu = comparison.compare(scores)
    assert (ours["feed_forward"], relu["feed_forward"]) == ("dendritic", "relu")
    assert ours["mean"]["value"] == pytest.approx(0.6)
    assert ours["mean"]["high"] == pytest.approx(0.6 + quantile * 0.1 / 3**0.5)
    # The spread of seeds that both share is in neither difference.
    assert relu["dendritic_less_this"] == pytest.approx({"value": 0.1, "low": 0.1, "high": 0.1})


# What neither the comparison nor its table depends on: the size, linear models, further regimes.
SMALL = ("model.decoder.linear_rank=none", "model.d_model=16", "model.layers=1")
SHORTER = {
    "simulate": ("--minutes", "1"),
    "train": tuple(word for value in SMALL for word in ("--set", value)),
    "eval": ("--regime", "predict,forecast,decode"),
}


def run_command_here(*command):
    """Run a command without a process of its own, which would load torch once more."""
    words = [*map(str, command), *SHORTER.get(command[0], ()), "--quiet"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output


def test_a_comparison_of_feed_forwards_keeps_runs_that_are_there(comparison, monkeypatch, tmp_path):
    monkeypatch.setattr(comparison, "KINDS", ("dendritic",))
    monkeypatch.setattr(comparison, "_run", run_command_here)
    rows = comparison.measure(tmp_path, comparison.QUICK, jobs=1)
    names = [row["score"] for row in rows]
    assert {"loss", "predict", "forecast+stimulus", "decode running"} <= set(names)
    assert all(len(row["values"]) == 2 for row in rows)
    (of_loss,) = (row for row in rows if row["score"] == "loss")
    summaries = [
        json.loads((tmp_path / f"dendritic-{seed}-2" / "summary.json").read_text())
        for seed in (0, 1)
    ]
    losses = [summary["validation"]["neural_loss"] for summary in summaries]
    assert of_loss["values"] == losses

    def refuse(*command):
        raise AssertionError(f"was run again: {command}")

    monkeypatch.setattr(comparison, "_run", refuse)
    assert comparison.measure(tmp_path, comparison.QUICK, jobs=1) == rows
