"""`--restarts N`: what is tried again, on how many ranks, and when it ends."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import checkpoint_folder
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel import restart
from omnimouse_cli.training.parallel.launch import launch
from omnimouse_cli.training.parallel.restart import launch_with_restarts
from omnimouse_cli.training.parallel.verdict import RankFailedError
from omnimouse_cli.training.parallel.world import World, join_world
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train


class Lines(Silent):
    """Keeps what is reported."""

    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)

    def warn(self, message):
        self.said.append(f"warning: {message}")


@pytest.fixture
def job(tiny, tmp_path, monkeypatch) -> TrainingJob:
    monkeypatch.setattr(restart, "PAUSE_SECONDS", 0.0)
    return TrainingJob(config=tiny, shards=tmp_path / "shards", run=tmp_path / "run")


def run_attempts(job, outcomes, *, restarts, num_ranks=4, on_gpus=False):
    """Run attempts; `outcomes` are (checkpoint that is there afterwards, error or None)."""
    attempts, lines = [], Lines()

    def attempt(num_ranks, _):
        attempts.append(num_ranks)
        step, error = outcomes[len(attempts) - 1]
        checkpoint = checkpoint_folder(job.run, step)
        checkpoint.mkdir(parents=True, exist_ok=True)
        # The ranks would set a damaged checkpoint aside.
        (checkpoint / "state.json").write_text("damaged")
        if error is not None:
            raise error

    try:
        launch_with_restarts(
            attempt, job, num_ranks, restarts=restarts, on_gpus=on_gpus, reporter=lines
        )
    except OmniMouseError as error:
        return attempts, lines.said, error
    return attempts, lines.said, None


DEAD = RankFailedError("rank 1 of 4 died", rank=1)


def test_failures_end_it_only_without_a_new_checkpoint_in_between(job):
    outcomes = [(10, DEAD), (10, DEAD), (20, DEAD), (20, DEAD), (20, None)]
    attempts, said, error = run_attempts(job, outcomes, restarts=2)
    assert (attempts, error) == ([4] * 5, None)
    assert said[:2] == [
        "warning: rank 1 of 4 died",
        "starting again from step 10 on 4 ranks (restart 1 of 2 without a new checkpoint)",
    ]
    attempts, _, error = run_attempts(job, [(0, DEAD)] * 3, restarts=2)
    assert len(attempts) == 3
    assert error.message == (
        "rank 1 of 4 died; it was failure 3 without a new checkpoint, and --restarts is 2"
    )


def test_an_error_of_the_user_is_not_tried_again(job):
    error = OmniMouseError("the disk is full")
    assert run_attempts(job, [(0, error)], restarts=5) == ([4], [], error)


def test_a_gpu_that_does_not_work_any_more_is_not_used(job, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5,6")
    # The second of the visible GPUs fails.
    monkeypatch.setattr(restart, "_PROBE", "import sys; sys.exit(sys.argv[1] == '1')")
    outcomes = [(0, DEAD), (0, None)]
    attempts, said, _ = run_attempts(job, outcomes, restarts=1, on_gpus=True)
    assert attempts == [4, 3]
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,5,6"
    assert "warning: GPU 2 does not work any more and is not used" in said
    monkeypatch.setattr(restart, "_PROBE", "import sys; sys.exit(1)")
    _, _, error = run_attempts(job, outcomes, restarts=1, on_gpus=True)
    assert "no GPU works any more" in error.message


class DiesAt(Silent):
    """Kills this process at a step."""

    def __init__(self, step: int) -> None:
        self._left = step

    def advance(self, *_: object) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def train_and_die_once(job: TrainingJob, marker: Path) -> None:
    """Train as a rank; the first rank dies at the 8th step of the first attempt."""
    torch.set_num_threads(1)
    with join_world("cpu") as world:
        dies = world.is_first and not marker.exists()
        if dies:
            marker.touch()
        train(job, world, DiesAt(8) if dies else Silent())


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_a_training_whose_rank_dies_ends_as_if_nothing_had_happened(
    make_shards, session, tiny, tmp_path
):
    shards = make_shards([session(), session(key="2-1-1", num_neurons=4)])
    config = replace(
        tiny, train=replace(tiny.train, steps=12, batches_per_step=2, checkpoint_every=3)
    )
    alone, job = (
        TrainingJob(config=config, shards=shards, run=tmp_path / name) for name in ("a", "b")
    )
    train(alone, World(), Silent())
    lines = Lines()
    marker = tmp_path / "marker"
    launch_with_restarts(
        lambda num_ranks, job: launch(num_ranks, train_and_die_once, job, marker),
        job,
        2,
        restarts=1,
        on_gpus=False,
        reporter=lines,
    )
    assert "rank 0 of 2 was killed by SIGKILL" in lines.said[0]
    assert "on 2 ranks (restart 1 of 1" in lines.said[1]
    losses = [[line["loss"] for line in read_metrics(run)[:12]] for run in (alone.run, job.run)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert read_document(job.run / "summary.json", "summary")["steps"] == 12
