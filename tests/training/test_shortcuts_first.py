"""At first only the shortcuts and the session embeddings are trained."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import applies, training_strategies
from omnimouse_cli.config.load import load_config
from omnimouse_cli.config.sizes import default_run_config
from omnimouse_cli.cost.training import window_flops
from omnimouse_cli.files import read_document
from omnimouse_cli.model.shortcuts import is_shortcut_parameter
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import complete_checkpoints
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.checkpoint import load_checkpoint
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.resolve import resolve_config, resolve_shortcuts_first
from omnimouse_cli.training.run import train
from omnimouse_cli.training.schedule import Schedule
from omnimouse_cli.training.state import TrainState
from tests.reporter import MessageReporter

schedules = st.builds(
    Schedule,
    warmup_fraction=st.floats(0, 0.3),
    cooldown_fraction=st.floats(0, 0.5),
    shortcuts_first_fraction=st.floats(0, 0.6),
)


@given(schedules, st.floats(0, 1))
def test_the_transformer_rests_then_catches_up(schedule: Schedule, progress: float):
    factor = schedule.transformer_factor(progress)
    assert schedule.is_shortcuts_only(progress) == (progress < schedule.shortcuts_first_fraction)
    assert 0 <= factor <= schedule.factor(progress)
    if schedule.is_shortcuts_only(progress):
        assert factor == 0
    since = progress - schedule.shortcuts_first_fraction
    if not schedule.shortcuts_first_fraction or since >= schedule.warmup_fraction > 0:
        assert factor == schedule.factor(progress)


@pytest.fixture
def shards(make_shards, session) -> Path:
    return make_shards([session(behavior=True, screen=True), session(key="2-1-1", num_neurons=4)])


@pytest.fixture
def config(tiny):
    # Decay would move weights even where nothing is learned.
    return replace(
        tiny,
        train=replace(tiny.train, steps=4, shortcuts_first_fraction=0.5, weight_decay=0.5),
    )


@pytest.fixture
def reporter() -> MessageReporter:
    return MessageReporter()


@pytest.fixture
def run(shards, config, reporter, tmp_path) -> Path:
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "run"), World(), reporter)
    return tmp_path / "run"


@pytest.mark.training
def test_the_transformer_starts_to_move_when_its_warm_up_starts(run, shards, config):
    dataset = open_dataset(shards)
    config = resolve_config(config, dataset, World(), Silent())
    state = TrainState(config, dataset, World())
    before = {name: value.clone() for name, value in state.tensors().items()}
    halfway, end = complete_checkpoints(run)
    load_checkpoint(halfway, state, config=config, world=World())
    moved = {name for name, value in state.tensors().items() if not value.equal(before[name])}
    learning = {name.partition(".")[2] for name in moved if name.startswith("core.")}
    assert learning
    assert all(map(is_shortcut_parameter, learning))
    assert any(name.startswith("tables.") for name in moved)
    load_checkpoint(end, state, config=config, world=World())
    now = dict(state.core.named_parameters())
    rested = [name for name in now if not is_shortcut_parameter(name)]
    assert any(not now[name].equal(before[f"core.{name}"]) for name in rested)


@pytest.mark.training
def test_cheap_steps_are_logged_and_flops_are_those_of_what_was_computed(
    run, shards, config, reporter
):
    said = [line.split(" (")[0] for line in reporter.said if line.startswith("step ")]
    assert said[:2] == [
        "step 1: only the shortcuts are trained at first",
        "step 3: the transformer joins the shortcuts",
    ]
    assert "step 4: the learning rate begins to fall" in said
    (validation,) = (line for line in reporter.said if "validation loss" in line)
    assert re.search(r"[\d.]+ \(training mean [\d.]+\), of forecasts .* \(persistence ", validation)
    lines = [line for line in read_metrics(run) if "loss" in line]
    assert [line["shortcuts_only"] for line in lines] == [True, True, False, False]
    summary = read_document(run / "summary.json", "summary")
    assert summary["shortcut_windows_seen"] == lines[1]["windows"]
    dataset = open_dataset(shards)
    config = resolve_config(config, dataset, World(), Silent())
    strategies = {item.name: item for item in training_strategies(config.masking, dataset.sessions)}
    expected = 0.0
    with Loader(
        dataset, config.data, seed=config.seed, rank=0, num_ranks=1, first_batch=0, pin_memory=False
    ) as loader:
        for number, line in enumerate(lines):
            session = dataset.sessions[loader.session_index(number)]
            strategy = strategies[line["strategy"]]
            assert applies(strategy, session)
            whole, shortcuts = window_flops(config, [session], [strategy])
            assert 0 < shortcuts < whole / 2
            windows = config.data.batch_size
            expected += windows * (shortcuts if line["shortcuts_only"] else whole)
    assert summary["flops"] == pytest.approx(expected)


@pytest.fixture
def resolve() -> Callable[..., tuple[float | None, list[str]]]:
    def resolve(size="nano", *, fraction=None, init_from=None, adapt_from=None):
        config, reporter = default_run_config(size), MessageReporter()
        train = replace(config.train, shortcuts_first_fraction=fraction, adapt_from=adapt_from)
        config = resolve_shortcuts_first(replace(config, train=train), init_from, reporter)
        return config.train.shortcuts_first_fraction, reporter.said

    return resolve


def test_small_models_start_with_their_shortcuts(resolve):
    assert [resolve(size)[0] for size in ("nano", "tiny", "1M", "80M")] == [0.4, 0.4, 0, 0]


@pytest.mark.parametrize("source", [{"init_from": Path("old")}, {"adapt_from": "old"}])
def test_a_trained_model_is_trained_whole_unless_the_user_sets_the_fraction(resolve, source):
    fraction, said = resolve(**source)
    assert fraction == 0
    assert len(said) == 1
    assert "starts with the weights of old (default; train.shortcuts_first_fraction)" in said[0]
    assert resolve(fraction=0.1, **source) == (0.1, [])
    assert resolve("1M", **source) == (0, [])


@pytest.mark.training
def test_the_resolved_fraction_is_stored_and_its_old_name_is_read(run, tmp_path):
    assert load_config(run / "config.toml").train.shortcuts_first_fraction == 0.5
    reporter = MessageReporter()
    reporter.warn = reporter.said.append
    old = load_config(sets=["train.short_ways_fraction=0.125"], reporter=reporter)
    assert old.train.shortcuts_first_fraction == 0.125
    (line,) = reporter.said
    assert "train.shortcuts_first_fraction" in line
