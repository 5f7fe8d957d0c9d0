"""Checkpoints: whole or absent, found again, refused where they do not belong."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.files import read_document, write_document
from omnimouse_cli.run.checkpoints import (
    complete_checkpoints,
    latest_checkpoint,
)
from omnimouse_cli.train import checkpoint
from omnimouse_cli.train.checkpoint import load_checkpoint, save_checkpoint
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.resolve import resolve_response_loss
from omnimouse_cli.train.state import Counters, TrainState

WORLD = World()


@pytest.fixture
def dataset(make_shards, session):
    return open_dataset(make_shards([session(), session(key="2-1-1", num_neurons=4)]))


@pytest.fixture
def config(tiny, dataset):
    return resolve_response_loss(tiny, dataset.sessions)


def _save(run: Path, state: TrainState, config, step: int, keep: int = 9) -> Path:
    state.counters.step = step
    config = replace(config, train=replace(config.train, keep_checkpoints=keep))
    return save_checkpoint(run, state, config=config, world=WORLD)


def test_everything_that_training_changes_comes_back(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    for number, tensor in enumerate(state.tensors().values()):
        tensor.copy_(torch.full_like(tensor, number))
    state.counters.windows, state.counters.elapsed_seconds = 17, 0.1 + 0.2
    state.counters.shortcut_windows, state.counters.flops = 5, 1e9 / 3
    path = _save(tmp_path, state, config, 3)
    other = TrainState(replace(config, seed=99), dataset, WORLD)
    assert load_checkpoint(path, other, config=config)
    assert other.counters == state.counters
    for name, tensor in state.tensors().items():
        assert torch.equal(other.tensors()[name], tensor), name


def test_the_state_has_weights_and_moments_of_core_and_tables(config, dataset):
    state = TrainState(config, dataset, WORLD)
    parameters = [f"core.{name}" for name, _ in state.core.named_parameters()]
    parameters += [f"tables.{key}.neuron_embeddings" for key in ("1-1-1", "2-1-1")]
    wanted = {
        name.replace(section, f"{section.rstrip('s')}_optimizer", 1) + f".{moment}"
        for name in parameters
        for section in [name.partition(".")[0]]
        for moment in ("step", "exp_avg", "exp_avg_sq")
    }
    assert wanted.union(parameters) <= state.tensors().keys()


def test_latest_names_the_newest_and_older_ones_go(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    for step in (1, 2, 10):
        _save(tmp_path, state, config, step, keep=2)
    names = [path.name for path in complete_checkpoints(tmp_path)]
    assert names == ["step-00000002", "step-00000010"]
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step-00000010\n"
    assert latest_checkpoint(tmp_path).name == "step-00000010"


def test_what_a_kill_left_is_no_checkpoint_and_is_cleared_away(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    good = _save(tmp_path, state, config, 1)
    half = good.with_name(".step-00000002.partial")
    shutil.copytree(good, half)
    nameless = good.with_name("step-00000003")
    shutil.copytree(good, nameless)
    (nameless / "state.json").unlink()
    assert complete_checkpoints(tmp_path) == [good]
    assert latest_checkpoint(tmp_path) == good
    _save(tmp_path, state, config, 4)
    assert not half.exists()


def test_a_checkpoint_of_another_size_is_refused_with_both_named(tmp_path, config, dataset):
    path = _save(tmp_path, TrainState(config, dataset, WORLD), config, 1)
    larger = replace(config, model=replace(config.model, size="tiny", d_model=32))
    state = TrainState(larger, dataset, WORLD)
    before = {name: tensor.clone() for name, tensor in state.tensors().items()}
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path, state, config=larger)
    assert "of a nano model and this run is of a tiny model" in error.value.message
    assert "d_model 16 there and 32 here" in error.value.message
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, before[name])


def test_a_checkpoint_from_before_an_option_is_one_with_its_default(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    description = read_document(path / "state.json", "checkpoint")
    del description["model"]["dendrite"]["table"], description["model"]["dropout"]
    write_document(path / "state.json", "checkpoint", description)
    without = replace(config, model=replace(config.model, dropout=0.0))
    assert load_checkpoint(path, state, config=without)
    dropping = replace(config, model=replace(config.model, dropout=0.3))
    with pytest.raises(CheckpointError, match=r"dropout 0\.0 there and 0\.3 here"):
        load_checkpoint(path, state, config=dropping)


def test_counters_of_a_checkpoint_from_before_flops_were_counted_are_read(
    tmp_path, config, dataset
):
    state = TrainState(config, dataset, WORLD)
    state.counters.shortcut_windows = 5
    path = _save(tmp_path, state, config, 1)
    description = read_document(path / "state.json", "checkpoint")
    del description["flops"]
    description["short_windows"] = description.pop("shortcut_windows")
    write_document(path / "state.json", "checkpoint", description)
    load_checkpoint(path, state, config=config)
    assert state.counters == Counters(step=1, shortcut_windows=5, flops=None)


def test_a_checkpoint_of_other_sessions_is_refused(tmp_path, config, dataset, make_shards, session):
    path = _save(tmp_path, TrainState(config, dataset, WORLD), config, 1)
    other = open_dataset(make_shards([session(), session(key="2-1-1", num_neurons=5)]))
    with pytest.raises(CheckpointError, match="they differ in 2-1-1"):
        load_checkpoint(path, TrainState(config, other, WORLD), config=config)


def test_data_that_have_changed_are_noticed(tmp_path, config, dataset):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    state.fingerprint = "of other shards"
    assert not load_checkpoint(path, state, config=config)


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, config, dataset, name):
    state = TrainState(config, dataset, WORLD)
    path = _save(tmp_path, state, config, 1)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_checkpoint(path, state, config=config)


def test_a_full_disk_is_named_and_the_checkpoint_before_stays(
    tmp_path, config, dataset, monkeypatch
):
    state = TrainState(config, dataset, WORLD)
    good = _save(tmp_path, state, config, 1)

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.FileSystemWriter, "write_data", full)
    with pytest.raises(OmniMouseError, match="the disk is full"):
        _save(tmp_path, state, config, 2)
    assert complete_checkpoints(tmp_path) == [good]
    assert [path.name for path in good.parent.glob(".*")] == []
