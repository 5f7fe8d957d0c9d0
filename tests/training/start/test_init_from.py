"""A run that begins with another's weights: what is taken, what is refused, what the loss does."""

from dataclasses import replace

import pytest
import torch

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.dendrite import DendriteConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.folder import read_summary
from omnimouse_cli.run.load import load_run
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.resolve import resolve_config
from omnimouse_cli.training.run import train
from tests.reporter import MessageReporter


@pytest.fixture(scope="module")
def shards(make_shards, session):
    return make_shards([session(behavior=True, screen=True)])


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def learned(shards, tiny, kept):
    """A trained run, the same for all tests."""
    if not (kept / "learned").exists():
        train_config = replace(
            tiny.train, steps=60, checkpoint_every=100, shortcuts_first_fraction=0.0
        )
        config = replace(tiny, train=train_config)
        train(TrainingJob(config=config, shards=shards, run=kept / "learned"), World(), Silent())
    return kept / "learned"


def begun(learned, shards, config, out, **model):
    """Train one step from a run's weights, and give its losses."""
    config = replace(
        config,
        model=replace(config.model, dropout=0.0, **model),
        train=replace(config.train, steps=1),
    )
    job = TrainingJob(config=config, shards=shards, run=out, init_from=learned)
    train(job, World(), Silent())
    lines = [line for line in read_metrics(out) if "loss" in line]
    return lines[0], load_run(out)


@pytest.mark.training
@pytest.mark.parametrize("sharing", ["layer", "model"])
def test_a_swiglu_run_becomes_dendritic_without_a_jump_of_its_loss(
    learned, shards, tiny, tmp_path, sharing
):
    first, _ = begun(learned, shards, tiny, tmp_path / "same")
    # Sixteen units fit SwiGLU well enough for one function in all layers.
    dendrite = DendriteConfig(sharing=sharing, hidden=16)
    other, run = begun(
        learned, shards, tiny, tmp_path / "other", feed_forward="dendritic", dendrite=dendrite
    )
    fresh = begun_anew(shards, tiny, tmp_path / "fresh")
    assert other["step"] == first["step"] == 1
    assert other["loss"] == pytest.approx(first["loss"], rel=0.01)
    # The loss is one that training has brought about.
    assert abs(fresh["loss"] / first["loss"] - 1) > 0.05
    names = [name for name in run.model.state_dict() if name.endswith("dendrite.weights")]
    assert len(names) == (1 if sharing == "model" else 3 + 2)


def begun_anew(shards, config, out):
    config = replace(
        config,
        model=replace(config.model, dropout=0.0),
        train=replace(config.train, steps=1),
    )
    train(TrainingJob(config=config, shards=shards, run=out), World(), Silent())
    return next(line for line in read_metrics(out) if "loss" in line)


@pytest.mark.training
def test_weights_are_taken_and_counters_are_not(learned, shards, tiny, tmp_path):
    still = replace(tiny, train=replace(tiny.train, learning_rate=1e-12, table_learning_rate=1e-12))
    _, run = begun(learned, shards, still, tmp_path / "same")
    before = load_run(learned)
    assert (before.step, run.step) == (60, 1)
    for name, value in before.model.state_dict().items():
        torch.testing.assert_close(run.model.state_dict()[name], value)
    for key, table in before.embeddings.items():
        for name, value in table.state_dict().items():
            torch.testing.assert_close(run.embeddings[key].state_dict()[name], value)


@pytest.mark.training
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feed_forward": "relu"}, "a swiglu run cannot become a relu one"),
        (
            {"feed_forward": "dendritic", "dendrite": DendriteConfig(normalize=True)},
            "normalize",
        ),
        ({"d_embedding": 12}, "do not fit the model"),
    ],
)
def test_what_does_not_fit_is_refused(learned, shards, tiny, tmp_path, changes, message):  # noqa: PLR0917
    with pytest.raises(CheckpointError, match=message):
        begun(learned, shards, tiny, tmp_path / "other", **changes)
    assert not (tmp_path / "other" / "config.toml").exists()


@pytest.mark.training
def test_other_data_are_refused(learned, make_shards, session, tiny, tmp_path):
    other = make_shards([session(key="2-1-1", num_neurons=4)])
    with pytest.raises(CheckpointError, match="no neurons of 2-1-1"):
        begun(learned, other, tiny, tmp_path / "other")


@pytest.mark.training
def test_other_data_of_the_same_key_are_refused_unless_they_are_allowed(
    learned, make_shards, session, tiny, tmp_path
):
    other = make_shards([session(behavior=True, screen=True, seconds=54.0)])
    with pytest.raises(CheckpointError, match=r"holds other data of 1-1-1 than .*learned was"):
        begun(learned, other, tiny, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    config = replace(tiny, train=replace(tiny.train, steps=1))
    job = TrainingJob(
        config=config,
        shards=other,
        run=tmp_path / "allowed",
        init_from=learned,
        allow_other_data=True,
    )
    reporter = MessageReporter()
    train(job, World(), reporter)
    assert any("(--allow-other-data)" in line for line in reporter.warnings)
    # The new run records the data that it was trained on.
    fingerprint = open_dataset(other).sessions[0].fingerprint
    assert load_run(job.run).sessions[0].fingerprint == fingerprint
    summary = read_summary(job.run)
    assert [one["fingerprint"] for one in summary["data"]] == [fingerprint]


def test_a_network_that_no_gpu_can_hold_is_reported(tiny, shards):
    dendrite = DendriteConfig(hidden=32)
    config = replace(tiny, model=replace(tiny.model, feed_forward="dendritic", dendrite=dendrite))
    reporter = MessageReporter()
    dataset = open_dataset(shards)
    resolve_config(config, dataset, replace(World(), device=torch.device("cuda")), reporter)
    assert "32" in reporter.warnings[0]
    assert "one layer of 12: plain PyTorch computes it" in reporter.warnings[0]
    reporter.warnings.clear()
    resolve_config(config, dataset, World(), reporter)
    assert reporter.warnings == []
    frozen = replace(config.model, dendrite=replace(dendrite, freeze=True))
    config = replace(config, model=frozen)
    resolve_config(config, dataset, replace(World(), device=torch.device("cuda")), reporter)
    assert reporter.warnings == []


@pytest.mark.training
@pytest.mark.parametrize(
    "case",
    [(None, [False] * 4), (0.5, [True, True, False, False])],
)
def test_trained_weights_are_trained_whole_unless_the_user_sets_a_fraction(
    learned, shards, tiny, tmp_path, case
):
    fraction, shortcuts_only = case
    config = replace(tiny, train=replace(tiny.train, steps=4, shortcuts_first_fraction=fraction))
    job = TrainingJob(config=config, shards=shards, run=tmp_path / "run", init_from=learned)
    train(job, World(), Silent())
    lines = [line for line in read_metrics(tmp_path / "run") if "loss" in line]
    assert [line["shortcuts_only"] for line in lines] == shortcuts_only
