"""At first the ways past the transformer learn alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.cost.training import window_flops
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import complete_checkpoints
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.train.checkpoint import load_checkpoint
from omnimouse_cli.train.optimizer import is_short_way
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.resolve import resolve_config
from omnimouse_cli.train.run import TrainingJob, train
from omnimouse_cli.train.schedule import Schedule
from omnimouse_cli.train.state import TrainState

schedules = st.builds(
    Schedule,
    warmup_fraction=st.floats(0, 0.3),
    cooldown_fraction=st.floats(0, 0.5),
    short_ways_fraction=st.floats(0, 0.6),
)


@given(schedules, st.floats(0, 1))
def test_the_transformer_rests_then_catches_up(schedule: Schedule, progress: float):
    pace = schedule.pace(progress)
    assert pace.factor == schedule.factor(progress)
    assert pace.is_short == (progress < schedule.short_ways_fraction)
    assert 0 <= pace.transformer_factor <= pace.factor
    if pace.is_short:
        assert pace.transformer_factor == 0
    since = progress - schedule.short_ways_fraction
    if not schedule.short_ways_fraction or since >= schedule.warmup_fraction > 0:
        assert pace.transformer_factor == pace.factor


@pytest.fixture
def shards(make_shards, session) -> Path:
    return make_shards([session(behavior=True, screen=True), session(key="2-1-1", num_neurons=4)])


@pytest.fixture
def config(tiny):
    # Decay would move weights even where nothing is learned.
    return replace(
        tiny,
        train=replace(tiny.train, steps=4, short_ways_fraction=0.5, weight_decay=0.5),
    )


@pytest.fixture
def run(shards, config, tmp_path) -> Path:
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "run"), World(), Silent())
    return tmp_path / "run"


def test_what_is_no_short_way_starts_to_move_when_its_time_has_come(run, shards, config):
    dataset = open_dataset(shards)
    config = resolve_config(config, dataset, World(), Silent())
    state = TrainState(config, dataset, World())
    before = {name: value.clone() for name, value in state.tensors().items()}
    halfway, end = complete_checkpoints(run)
    load_checkpoint(halfway, state, config=config)
    moved = {name for name, value in state.tensors().items() if not value.equal(before[name])}
    learning = {name.partition(".")[2] for name in moved if name.startswith("core.")}
    assert learning
    assert all(map(is_short_way, learning))
    assert any(name.startswith("tables.") for name in moved)
    load_checkpoint(end, state, config=config)
    now = dict(state.core.named_parameters())
    rested = [name for name in now if not is_short_way(name)]
    assert any(not now[name].equal(before[f"core.{name}"]) for name in rested)


def test_cheap_steps_are_told_and_their_operations_are_counted(run, shards, config):
    lines = [line for line in read_metrics(run) if "loss" in line]
    assert [line["is_short"] for line in lines] == [True, True, False, False]
    summary = read_document(run / "summary.json", "summary")
    assert summary["short_windows_seen"] == lines[1]["windows"]
    dataset = open_dataset(shards)
    config = resolve_config(config, dataset, World(), Silent())
    strategies = training_strategies(config.masking, dataset.sessions)
    whole, short = window_flops(config, dataset.sessions, strategies)
    assert 0 < short < whole / 2
    short_windows = summary["short_windows_seen"]
    later_windows = summary["windows_seen"] - short_windows
    assert summary["flops"] == pytest.approx(short_windows * short + later_windows * whole)
