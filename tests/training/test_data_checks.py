"""Data that change or are damaged during a training, and validations without a finite loss."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.cli.train_output import _summary_lines
from omnimouse_cli.errors import OmniMouseError, ShardError
from omnimouse_cli.files import read_document
from omnimouse_cli.model.losses import Losses
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import latest_checkpoint
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training import validate as validate_module
from omnimouse_cli.training.data_checks import ShardFiles
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train
from tests.reporter import MessageReporter


class Lines(MessageReporter):
    """Does something when training advances for the third time."""

    def __init__(self, action=None):
        super().__init__()
        self._advances, self._action = 0, action

    def advance(self, *_):
        self._advances += 1
        if self._advances == 3 and self._action is not None:
            self._action()


@pytest.fixture
def shards(make_shards, session, tmp_path) -> Path:
    """Two sessions, in a folder of the test."""
    made = make_shards([session(key="1-1-1"), session(key="1-1-2", num_neurons=7)])
    return Path(shutil.copytree(made, tmp_path / "shards"))


@pytest.fixture
def other(make_shards, session) -> Path:
    return make_shards([session(key="1-1-2", num_neurons=7, seconds=72.0)]) / "1-1-2.safetensors"


def _train(shards, config, run, reporter=None):
    train(TrainingJob(config=config, shards=shards, run=run), World(), reporter or Silent())


@pytest.mark.training
@pytest.mark.parametrize("kind", ["replaced", "removed", "cut"])
def test_a_shard_that_changes_during_training_ends_it_after_a_checkpoint(
    shards, other, tiny, tmp_path, kind
):
    path, run = shards / "1-1-2.safetensors", tmp_path / "run"
    actions = {
        "replaced": lambda: Path(shutil.copy(other, shards / "new")).replace(path),
        "removed": path.unlink,
        # A new file: what is mapped stays whole.
        "cut": lambda: (path.unlink(), path.write_bytes(b"12345678")),
    }
    with pytest.raises(ShardError, match=r"1-1-2.safetensors .*during the training") as caught:
        _train(shards, tiny, run, Lines(actions[kind]))
    assert "session 1-1-2" in caught.value.hint
    newest = latest_checkpoint(run)
    assert newest is not None
    assert not (run / "summary.json").exists()


@pytest.mark.training
def test_an_equal_file_and_a_new_time_are_only_reported(shards, tiny, tmp_path):
    path, copy = shards / "1-1-2.safetensors", tmp_path / "copy"
    reporter = Lines(lambda: Path(shutil.copy(path, copy)).replace(path))
    _train(shards, tiny, tmp_path / "run", reporter)
    assert [line for line in reporter.warnings if "1-1-2" in line and "same header" in line]
    assert len(reporter.warnings) == 1


def test_the_first_change_on_any_rank_is_an_error_on_every_rank(shards):
    class Gathered(World):
        def all_gather(self, value):
            return [value, ShardError("b has changed", hint="do this")]

    files = ShardFiles(open_dataset(shards), Silent())
    assert files.find_change(World()) is None
    change = files.find_change(Gathered())
    assert (change.message, change.hint) == ("b has changed", "do this")
    (shards / "1-1-1.safetensors").unlink()
    assert "1-1-1.safetensors cannot be found" in files.find_change(Gathered()).message


def _damage(path: Path, value: float) -> None:
    """Write a number over all responses, as damaged bytes may have it."""
    shard = open_dataset(path.parent).session(path.stem).shard
    entry = shard.header.tensors["responses"]
    number = np.array([value], np.float16 if entry.dtype == "F16" else np.float32)
    with path.open("r+b") as stream:
        stream.seek(shard.header.data_start + entry.first_byte)
        stream.write(number.tobytes() * int(np.prod(entry.shape)))


@pytest.mark.training
def test_an_infinite_loss_names_the_damaged_shard_and_how_to_check_it(shards, tiny, tmp_path):
    _damage(shards / "1-1-2.safetensors", np.inf)
    config = replace(tiny, data=replace(tiny.data, verify=False))
    with pytest.raises(
        ShardError, match=r"a response of session 1-1-2 is not, at .*safetensors, which is damaged$"
    ) as e:
        _train(shards, config, tmp_path / "run")
    assert f"omnimouse inspect {shards} --verify" in e.value.hint


@pytest.mark.training
def test_an_infinite_loss_on_sound_data_advises_both(shards, tiny, tmp_path):
    settings = {"learning_rate": 1e30, "table_learning_rate": 1e30, "steps": 30}
    config = replace(tiny, train=replace(tiny.train, **settings))
    with pytest.raises(OmniMouseError, match=r"not a finite number: [a-z]+$") as caught:
        _train(shards, config, tmp_path / "run")
    assert "learning_rate" in caught.value.hint
    assert "--verify" in caught.value.hint


@pytest.mark.training
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_validation_that_is_not_finite_ends_in_a_finished_run(
    shards, tiny, tmp_path, monkeypatch, value
):
    monkeypatch.setattr(
        validate_module,
        "compute_batch_losses",
        lambda *_, **__: Losses(torch.tensor(value), None),
    )
    reporter = Lines()
    _train(shards, tiny, tmp_path / "run", reporter)
    (warning,) = reporter.warnings
    assert "the validation loss is not a finite number: forecast of session 1-1-1" in warning
    assert f"(neurons) is {value}, and " in warning
    summary = read_document(tmp_path / "run" / "summary.json", "summary")
    assert summary["validation"]["neural_loss"] is None
    records = summary["validation"]["records"]
    assert {one["value"] for one in records if one["predictor"] == "model"} == {None}
    lines = dict(_summary_lines(summary))
    assert lines["validation, poisson loss"] == "not finite"
    assert lines["  forecast, neurons"].startswith("not finite (training mean ")
    validations = [line for line in read_metrics(tmp_path / "run") if "validation" in line]
    assert validations
