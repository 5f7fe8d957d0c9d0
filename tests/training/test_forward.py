"""The precision of a run, and that compiling changes no loss."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train

pytestmark = pytest.mark.training


def _losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run) if "loss" in line]


def test_half_precision_is_near_to_full_precision(make_shards, session, tiny, tmp_path):
    shards = make_shards([session(behavior=True)])
    for precision in ("float32", "bfloat16"):
        config = replace(tiny, train=replace(tiny.train, precision=precision))
        job = TrainingJob(config=config, shards=shards, run=tmp_path / precision)
        train(job, World(), Silent())
    assert _losses(tmp_path / "bfloat16") == pytest.approx(_losses(tmp_path / "float32"), rel=0.02)


@pytest.mark.slow
# Compilers warn about themselves; what counts here are the numbers.
@pytest.mark.filterwarnings("default")
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs g++")
def test_compiling_changes_no_loss(make_shards, session, tiny, tmp_path):
    shards = make_shards([session(behavior=True)])
    for name, compiled in (("plain", False), ("compiled", True)):
        config = replace(tiny, train=replace(tiny.train, compile=compiled))
        train(TrainingJob(config=config, shards=shards, run=tmp_path / name), World(), Silent())
    assert _losses(tmp_path / "compiled") == pytest.approx(_losses(tmp_path / "plain"), rel=1e-4)
