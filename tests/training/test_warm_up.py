"""Compilation before a training: what is run for it, what it changes, where it is kept."""

import os
from dataclasses import replace
from functools import partial

import pytest
import torch

from omnimouse_cli.batch.strategies import TRAINING_STRATEGIES, regime_strategies
from omnimouse_cli.config.sizes import SIZES
from omnimouse_cli.cost.training import make_task
from omnimouse_cli.model.compile import compile_parts, compiled_code, usual_fusion_length
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training import warm_up
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train


class Listener(Silent):
    """Keeps what is reported."""

    def __init__(self):
        self.tasks, self.lines = [], []

    def start(self, task, total=None):  # noqa: ARG002 - of the protocol
        self.tasks.append(task)

    def say(self, message):
        self.lines.append(message)

    warn = say


def tasks(size, strategies, *, has_screen=True):
    config = SIZES[size]
    return [
        make_task(config, strategy, num_neurons=254, num_channels=3, has_screen=has_screen)
        for strategy in strategies
    ]


def test_published_sizes_are_compiled_for_one_length_and_others_for_any():
    for size in ("1M", "5M", "20M", "80M", "300M"):
        of_size = tasks(size, TRAINING_STRATEGIES)
        assert usual_fusion_length(SIZES[size], of_size) == 4096
        code = [compiled_code(SIZES[size], task, 4096) for task in of_size]
        assert all("fusion, usual length" in names for names in code)
    for size in ("nano", "tiny"):
        assert usual_fusion_length(SIZES[size], tasks(size, TRAINING_STRATEGIES)) is None
    without_screen = tasks("1M", TRAINING_STRATEGIES, has_screen=False)
    assert usual_fusion_length(SIZES["1M"], without_screen) is None


def test_few_passes_use_all_code_of_training_and_validation():
    strategies = (
        *TRAINING_STRATEGIES,
        *regime_strategies("all", population=254, stimulus=True, behavior=True),
    )
    config = SIZES["80M"]
    passes = [
        warm_up.Pass(None, strategy, task)
        for strategy, task in zip(strategies, tasks("80M", strategies), strict=True)
    ]
    chosen = warm_up._choose_passes(passes, config, 4096)
    assert len(chosen) == 2
    assert set().union(*(compiled_code(config, each.task, 4096) for each in chosen)) == {
        "video",
        "encoder",
        "decoder",
        "fusion, usual length",
        "fusion, usual length, masked",
        "fusion",
    }


@pytest.mark.training
# Compilers warn about themselves; what counts here are the numbers.
@pytest.mark.filterwarnings("default")
def test_a_compiled_training_is_warmed_up_and_has_the_same_losses(
    make_shards, session, tiny, tmp_path, monkeypatch
):
    shards = make_shards([session(behavior=True), session(key="2-1-1", num_neurons=4)])
    monkeypatch.setattr(warm_up, "compile_parts", partial(compile_parts, backend="eager"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(warm_up.CACHE_VARIABLE, "")
    monkeypatch.delenv(warm_up.CACHE_VARIABLE)
    losses = {}
    for is_compiled in (True, False):
        listener, run = Listener(), tmp_path / f"run-{is_compiled}"
        how = "cuda-graphs" if is_compiled else False
        config = replace(tiny, train=replace(tiny.train, compile=how))
        train(TrainingJob(config=config, shards=shards, run=run), World(), listener)
        losses[is_compiled] = [line["loss"] for line in read_metrics(run) if line.get("loss")]
        assert (warm_up.WARM_UP_TASK in listener.tasks) == is_compiled
        assert any("compiled the model in" in line for line in listener.lines) == is_compiled
        assert any("no layer is captured" in line for line in listener.lines) == is_compiled
    assert losses[True] == pytest.approx(losses[False], rel=1e-6)


def test_compiled_code_is_kept_where_the_user_says_or_in_the_cache_of_the_user(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(warm_up.CACHE_VARIABLE, str(tmp_path / "own"))
    cpu = torch.device("cpu")
    assert warm_up._choose_cache(cpu, Silent()) == tmp_path / "own"
    monkeypatch.delenv(warm_up.CACHE_VARIABLE)
    folder = warm_up._choose_cache(cpu, Silent())
    assert folder.is_relative_to(tmp_path / "cache" / "omnimouse")
    assert torch.__version__ in folder.name
    assert os.environ[warm_up.CACHE_VARIABLE] == str(folder)


def test_without_a_cache_of_the_user_a_temporary_folder_is_used_and_said(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(warm_up.CACHE_VARIABLE, "")
    monkeypatch.delenv(warm_up.CACHE_VARIABLE)
    listener = Listener()
    folder = warm_up._choose_cache(torch.device("cpu"), listener)
    assert "torchinductor" in folder.name
    assert "temporary folder" in listener.lines[0]
