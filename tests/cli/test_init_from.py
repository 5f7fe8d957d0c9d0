"""`omnimouse train --init-from`: what is taken, what is told, what is refused, exit codes."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from omnimouse_cli.cli.app import app
from omnimouse_cli.config.load import load_config

pytestmark = pytest.mark.training

SMALL = ("model.d_model=16", "model.layers=1", "data.batch_size=2")
SHORT = ("--steps", "1", "--device", "cpu")


@pytest.fixture
def home(tmp_path, monkeypatch, small_mouse, write_run):
    """A working folder with shards and a run of random weights on them."""
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(small_mouse.folder, "shards")
    write_run(tmp_path / "first", small_mouse, sets=SMALL)
    return tmp_path


def train(*arguments, code=0):
    result = CliRunner().invoke(app, ["train", *arguments])
    assert result.exit_code == code, result.stderr or result.exception
    return result


def test_a_swiglu_run_becomes_a_dendritic_one_of_the_same_shape(home):
    change = ("--set", "model.feed_forward=dendritic", "--set", "model.dendrite.hidden=4")
    result = train("shards", "--init-from", "first", *change, *SHORT, "--out", "second", "--json")
    summary = json.loads(result.stdout)
    assert (summary["model"], summary["steps"]) == ("nano", 1)
    assert "decoder.feed_forward: distilled with a relative error of 0." in result.stderr
    assert "starting from the weights of first" in result.stderr
    config = load_config(Path("second/config.toml"))
    assert (config.model.d_model, config.model.layers) == (16, 1)
    assert config.model.feed_forward == "dendritic"
    lines = [json.loads(line) for line in Path("second/metrics.jsonl").read_text().splitlines()]
    assert next(line["step"] for line in lines if "loss" in line) == 1
    shown = CliRunner().invoke(app, ["dendrites", "second", "--device", "cpu", "--json"])
    assert shown.exit_code == 0, shown.stderr
    # Each of its functions is still close to silu(a) b, which is a saddle.
    found = json.loads(shown.stdout)
    assert found["hyperbolic"] == found["total"] > 3


def test_the_stored_fraction_of_shortcuts_is_not_that_of_the_new_run(home, small_mouse, write_run):
    write_run(home / "small", small_mouse, sets=(*SMALL, "train.shortcuts_first_fraction=0.3"))
    command = ("shards", "--init-from", "small", *SHORT)
    result = train(*command, "--out", "second")
    assert "because training starts with the weights of small" in result.stderr
    assert load_config(Path("second/config.toml")).train.shortcuts_first_fraction == 0
    result = train(*command, "--out", "third", "--set", "train.short_ways_fraction=0.25")
    assert load_config(Path("third/config.toml")).train.shortcuts_first_fraction == 0.25
    assert result.stderr.count("train.shortcuts_first_fraction") == 1


REFUSED = [
    (("--init-from", "nowhere"), "--init-from nowhere is not a run", ""),
    (("--init-from", "first", "--adapt-from", "first"), "cannot be given together", "--init-from"),
    (
        ("--init-from", "first", "--set", "model.feed_forward=gelu"),
        "a swiglu run cannot become a gelu one",
        "keep its feed-forward",
    ),
    (
        ("--init-from", "first", "--set", "model.feed_forward=dendritc"),
        "`model.feed_forward` cannot be 'dendritc'",
        "did you mean `dendritic`?",
    ),
    (
        ("--init-from", "first", "--set", "model.d_embedding=8"),
        "do not fit the model",
        "keep the size of the run's model",
    ),
    (
        (
            "--init-from", "first", "--set", "model.feed_forward=dendritic",
            "--set", "model.dendrite.normalize=true",
        ),
        "`dendrite.normalize` changes",
        "--set model.dendrite.normalize=false",
    ),
]  # fmt: skip


def test_what_cannot_begin_a_run_is_one_sentence_and_leaves_none(home):
    for arguments, problem, hint in REFUSED:
        result = train("shards", *arguments, *SHORT, "--out", "new", code=1)
        assert result.stderr.count("error: ") == 1, result.stderr
        assert problem in result.stderr
        assert hint in result.stderr
        assert not Path("new").exists()
