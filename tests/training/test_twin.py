"""A digital twin is trained, resumed and scored by the same commands as a transformer."""

import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.config.load import load_config
from omnimouse_cli.config.sizes import MODELS, default_run_config
from omnimouse_cli.cost.training import estimate_training
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.files import read_document
from omnimouse_cli.published.convert import export_weights
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run, open_run_data
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.resolve import resolve_shortcuts_first
from omnimouse_cli.training.run import train

pytestmark = pytest.mark.training


@pytest.fixture
def shards(make_shards, session):
    return make_shards([session(behavior=True, screen=True)])


@pytest.fixture
def small_twin():
    config = default_run_config("cnn-twin")
    return replace(
        config,
        model=replace(
            config.model,
            d_embedding=8,
            twin=replace(config.model.twin, channels=(2, 3), pooling=(4, 1)),
        ),
        data=replace(config.data, batch_size=2),
        train=replace(config.train, steps=6, log_every=1, checkpoint_every=3),
    )


class _StopsAt(Silent):
    """Sends Ctrl-C to this process after a number of steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps + 1

    def advance(self, *arguments: object) -> None:  # noqa: ARG002
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_resumed_twin_is_the_undisturbed_one_and_predicts_only(shards, small_twin, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(TrainingJob(config=small_twin, shards=shards, run=whole), World(), Silent())
    job = TrainingJob(config=small_twin, shards=shards, run=halves)
    with pytest.raises(KeyboardInterrupt, match="step 3 is saved"):
        train(job, World(), _StopsAt(3))
    train(replace(job, resume=True), World(), Silent())
    left, right = (load_file(run / "model.safetensors") for run in (whole, halves))
    assert all(torch.equal(left[name], right[name]) for name in left | right)

    records = read_document(whole / "summary.json", "summary")["validation"]["records"]
    assert {record["strategy"] for record in records} == {"predict"}
    run = load_run(whole)
    options = EvalOptions(tier="validation", baselines=())
    found = evaluate(run, open_run_data(run, None), options, Silent())
    assert {record.regime for record in found.records} == {"predict"}
    missing = {one.strategy: one.reason for one in found.unavailable}
    assert missing["decode"] == missing["forecast"] == missing["forecast+stimulus"]
    assert missing["decode"].startswith("a cnn-twin predicts responses from stimulus and behavior")
    with pytest.raises(OmniMouseError, match=r"no strategy of decode can be scored: .* cnn-twin"):
        evaluate(run, open_run_data(run, None), replace(options, regime="decode"), Silent())
    with pytest.raises(OmniMouseError, match="is a cnn-twin, and the published names"):
        export_weights(run, tmp_path / "out.safetensors", "published")
    adapted = load_config(
        sets=[f"train.adapt_from={json.dumps(str(whole))}"], size="cnn-twin", start=run.config
    )
    job = TrainingJob(config=adapted, shards=shards, run=tmp_path / "adapted")
    with pytest.raises(ConfigError, match="is a cnn-twin, which cannot be frozen"):
        train(job, World(), Silent())


def test_other_masking_strategies_are_refused():
    with pytest.raises(ConfigError, match=r"a cnn-twin is trained with `masking.table` predict"):
        load_config(sets=["masking.table=families"], size="cnn-twin")


def test_a_twin_that_shall_be_compiled_is_refused():
    with pytest.raises(ConfigError, match=r"a cnn-twin is not compiled: `train.compile` is True"):
        load_config(sets=["train.compile=true"], size="cnn-twin")


def test_the_cost_of_a_twin_is_counted(shards):
    config = default_run_config("cnn-twin")
    config = replace(config, model=replace(config.model, response_loss="gaussian"))
    config = resolve_shortcuts_first(config, None, Silent())
    dataset = open_dataset(shards)
    cost = estimate_training(
        config,
        dataset.sessions,
        training_strategies(config.masking, dataset.sessions),
        owned=[[0]],
        device="cpu",
    )
    assert cost["shortcuts_first_fraction"] == 0
    parameters = cost["parameters"]
    assert parameters["total"] == parameters["core"] + parameters["tables"]
    assert cost["flops_per_window"] > 1e8
    assert cost["memory_bytes"]["activations"] > 1e6
    assert cost["sequence_lengths"] == {}


def test_a_plain_nano_has_no_shortcuts_to_train_first():
    config = resolve_shortcuts_first(default_run_config("nano-plain"), None, Silent())
    assert config.train.shortcuts_first_fraction == 0
    assert not MODELS["nano-plain"].decoder.has_shortcuts
    assert MODELS["nano"].decoder.has_shortcuts
