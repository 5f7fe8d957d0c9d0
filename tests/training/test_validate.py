"""Validation records mean what the records of an evaluation mean."""

import math
from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run, open_run_data
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.resolve import resolve_config
from omnimouse_cli.training.run import train
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.validate import validate
from omnimouse_cli.training.validation_baselines import baseline_losses
from omnimouse_cli.training.validation_records import Validation, describe_validation
from omnimouse_cli.training.validation_windows import resolve_validation_windows, sample_windows
from tests.reporter import MessageReporter

pytestmark = pytest.mark.training


def test_records_of_validation_and_evaluation_agree_for_one_run(
    make_shards, session, tiny, tmp_path
):
    shards = make_shards(
        [
            session(key="1-1-1", screen=True, behavior=True),
            # Every two seconds a sample of the treadmill is lost.
            session(key="1-1-2", num_neurons=40, screen=True, behavior=True, lost_every=40),
        ]
    )
    config = replace(
        tiny,
        data=replace(tiny.data, max_neurons=64),
        train=replace(tiny.train, steps=2, checkpoint_every=999),
    )
    run = tmp_path / "run"
    train(TrainingJob(config=config, shards=shards, run=run), World(), Silent())
    summary = read_document(run / "summary.json", "summary")["validation"]["records"]
    loaded = load_run(run)
    # Validation reads windows that do not overlap, and no blanks.
    options = EvalOptions(
        tier="validation",
        include_blanks=False,
        stride_samples=NUM_RESPONSE_SAMPLES,
        baselines=(),
    )
    evaluation = evaluate(loaded, open_run_data(loaded, None), options, Silent())
    evaluated = {
        (record.strategy, record.session, record.target): record
        for record in evaluation.records
        if record.metric == "loss" and record.predictor == "model"
        # Causal rows are those of an evaluation.
        if not record.strategy.endswith("-causal")
    }
    # The one channel of behavior is a target of its own in an evaluation.
    names = {"neurons": "neurons", "behavior": "running", "running": "running"}
    summary = [record for record in summary if record["predictor"] == "model"]
    found = {(record["strategy"], record["session"], names[record["target"]]) for record in summary}
    assert found == {*evaluated}
    assert {record["target"] for record in summary} == {*names}
    for record in summary:
        other = evaluated[record["strategy"], record["session"], names[record["target"]]]
        # A validation takes the first neurons as context, an evaluation random ones.
        if other.draws is not None:
            continue
        for field in ("regime", "tier", "neurons", "windows", "samples", "scored_seconds"):
            assert record[field] == getattr(other, field), (field, record, other)
        assert record["value"] == pytest.approx(other.value, rel=1e-5)
    overall = evaluated["forecast", "overall", "neurons"]
    assert (overall.neurons, overall.samples) == (46, 30 * overall.windows)


@pytest.mark.parametrize("full_population", [True, False])
def test_losses_of_the_training_mean_and_of_persistence_are_known(full_population):
    """Responses that rise by one with every sample, in two windows of three neurons."""
    samples = torch.arange(60.0)
    batch = Batch(
        number=0,
        session="1-1-1",
        responses=samples[None, :, None].expand(2, -1, 3).clone(),
        neuron_index=torch.arange(3).expand(2, -1),
        video=None,
        behavior=None,
        behavior_present=np.zeros(0, bool),
        start_seconds=np.zeros(2),
    )
    counts = {} if full_population else {"num_visible": 1, "num_targets": 2, "literal_counts": True}
    strategy = Strategy(
        name="s",
        family="forecast",
        prefix=(0, 25),
        context=(0, 60),
        targets=(30, 60),
        behavior="absent",
        **counts,
    )
    chosen = select(strategy, num_neurons=3, num_windows=2, generator=None)
    mean = torch.tensor([1.0, 2.0, 4.0])
    found = dict(baseline_losses(batch, strategy, chosen, mean, "gaussian"))
    scored = samples[30:, None]
    means = mean if full_population else mean[1:]
    assert found["train_mean"].neural == pytest.approx(float((scored - means).square().mean()))
    if full_population:
        assert found["persistence"].neural == pytest.approx(float((scored - 24).square().mean()))
    else:
        # The targets are hidden all the time.
        assert "persistence" not in found


def test_a_silent_last_sample_is_no_infinite_loss():
    batch = Batch(
        number=0,
        session="1-1-1",
        responses=torch.cat([torch.zeros(1, 30, 1), torch.ones(1, 30, 1)], dim=1),
        neuron_index=torch.zeros(1, 1, dtype=torch.long),
        video=None,
        behavior=None,
        behavior_present=np.zeros(0, bool),
        start_seconds=np.zeros(1),
    )
    strategy = Strategy(
        name="s",
        family="forecast",
        prefix=(0, 25),
        context=(0, 60),
        targets=(30, 60),
        behavior="absent",
    )
    chosen = select(strategy, num_neurons=1, num_windows=1, generator=None)
    found = dict(baseline_losses(batch, strategy, chosen, torch.tensor([0.5]), "poisson"))
    # A hundredth of the training mean.
    assert found["persistence"].neural == pytest.approx(0.005 - math.log(0.005), rel=0.01)


def test_a_validation_is_described_beside_its_baselines():
    def record(strategy, predictor, value):
        return SimpleNamespace(
            session="overall", target="neurons", strategy=strategy, predictor=predictor, value=value
        )

    records = (
        record("predict", "model", 0.5),
        record("forecast", "model", 0.3),
        record("predict", "train_mean", 0.9),
        record("forecast", "train_mean", 0.7),
        record("forecast", "persistence", 0.6),
    )
    text = describe_validation(Validation(records=records, neural_loss=0.4))
    assert text == "0.4000 (training mean 0.8000), of forecasts 0.3000 (persistence 0.6000)"


def test_the_loss_of_behavior_is_the_mean_over_channels_weighted_by_their_samples(trained):
    config, dataset, state, _ = trained()
    records = [
        record
        for record in validate(state, config, dataset, World()).records
        if record.session == "1-1-1" and record.regime == "decode"
    ]
    for predictor in ("model", "train_mean"):
        of_channels = [
            record
            for record in records
            if record.target not in ("neurons", "behavior") and record.predictor == predictor
        ]
        (mean,) = (
            record
            for record in records
            if record.target == "behavior" and record.predictor == predictor
        )
        assert [record.target for record in of_channels] == list(dataset.sessions[0].channels)
        values = [record.value for record in of_channels]
        samples = [record.samples for record in of_channels]
        assert mean.value == pytest.approx(np.average(values, weights=samples), rel=1e-5)
        assert mean.samples * len(values) == pytest.approx(sum(samples), rel=0.01)


@pytest.fixture
def trained(make_shards, session, tiny):
    """Return a function that returns configuration, data set and untrained state."""

    def start(**settings):
        shards = make_shards(
            [
                session(key="1-1-1", screen=True, behavior=True, lost_every=40),
                session(key="1-1-2", num_neurons=9, seconds=90.0),
            ]
        )
        dataset, reporter = open_dataset(shards), MessageReporter()
        config = replace(tiny, train=replace(tiny.train, **settings))
        config = resolve_config(config, dataset, World(), reporter)
        return config, dataset, TrainState(config, dataset, World()), reporter.said

    return start


class StopRankError(Exception):
    """A rank has sent its losses, and the others have not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneAfterAnother(World):
    """A rank whose `all_gather` has all values when the last rank has called it."""

    sent: list

    def all_gather(self, value):
        self.sent.append(value)
        if len(self.sent) < self.num_ranks:
            raise StopRankError
        return self.sent

    def all_reduce_max(self, values):
        """All ranks have the same values here."""
        return list(values)


@pytest.mark.parametrize("num_ranks", [2, 3, 7])
def test_a_validation_does_not_depend_on_the_number_of_ranks(trained, num_ranks, monkeypatch):
    config, dataset, state, _ = trained()
    alone = validate(state, config, dataset, World())
    sent, computed = [], []
    for rank in range(num_ranks):
        world = OneAfterAnother(rank=rank, num_ranks=num_ranks, sent=sent)

        def receive(indices, *, trained, rank=rank):
            assert len(indices) == num_ranks
            assert not trained
            if indices[rank] is None:
                return None
            computed.append(rank)
            return state.embeddings.owned[dataset.sessions[indices[rank]].key]

        monkeypatch.setattr(state.embeddings, "receive", receive)
        with suppress(StopRankError):
            together = validate(state, config, dataset, world)
    assert together == alone
    # No rank has computed more than one batch more than another.
    counts = [computed.count(rank) for rank in range(num_ranks)]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) > 3


def test_a_sample_of_windows_is_evenly_spaced_and_reported(trained):
    config, dataset, state, said = trained(validation_windows=2)
    assert config.train.validation_windows == 2
    assert any("validating on 4 of 19 windows: at most 2 of each session" in line for line in said)
    records = validate(state, config, dataset, World()).records
    assert {record.windows for record in records if record.session != "overall"} == {2}
    assert sample_windows(9, 2).tolist() == [2, 6]
    for num_windows, limit in ((1000, 64), (65, 64), (64, 64), (3, 64)):
        sample = sample_windows(num_windows, limit)
        assert len(set(sample.tolist())) == min(num_windows, limit)
        assert 0 <= sample.min() <= sample.max() < num_windows
        # The same distance from both ends, but for rounding.
        assert abs(sample[0] - (num_windows - 1 - sample[-1])) <= 1


def test_few_sessions_are_validated_on_all_windows_without_a_word(trained):
    config, _, _, said = trained()
    assert config.train.validation_windows == "all"
    assert not any("validating" in line for line in said)


def test_hundreds_of_sessions_are_validated_on_64_windows_each(trained, monkeypatch):
    config, dataset, _, _ = trained()
    config = replace(config, train=replace(config.train, validation_windows=None))
    many = SimpleNamespace(
        sessions=dataset.sessions * 150,
        windows=lambda *_: SimpleNamespace(num_windows=300),
    )
    reporter = MessageReporter()
    assert resolve_validation_windows(config, many, reporter).validation_windows == 64
    assert "19,200 of 90,000 windows" in reporter.said[0]
