"""A run that was interrupted or killed ends exactly as one that was not."""

import os
import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.checkpoints import complete_checkpoints, latest_checkpoint
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.interrupt import catch_interrupts
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train
from tests.forked import FORKSERVER


@pytest.fixture
def shards(make_shards, session) -> Path:
    return make_shards([session(behavior=True), session(key="2-1-1", num_neurons=4)])


def _losses(run: Path) -> list[tuple]:
    """What must not depend on interruptions, line by line."""
    kept = ("step", "epoch", "windows", "tokens", "loss", "losses", "learning_rate")
    kept += ("gradient_norm", "strategy", "validation")
    return [tuple((key, line.get(key)) for key in kept) for line in read_metrics(run)]


def _same_run(one: Path, other: Path) -> bool:
    left, right = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert left.keys() == right.keys()
    return _losses(one) == _losses(other) and all(left[name].equal(right[name]) for name in left)


@pytest.fixture
def undisturbed(shards, tiny, tmp_path) -> Path:
    config = replace(
        tiny, train=replace(tiny.train, steps=24, validate_every=5, checkpoint_every=999)
    )
    train(TrainingJob(config=config, shards=shards, run=tmp_path / "whole"), World(), Silent())
    return tmp_path / "whole"


def _train_for_ever(job: TrainingJob) -> None:
    """Train in the process that is killed."""
    import torch

    torch.set_num_threads(1)
    train(job, World(), Silent())


def _killed_after(job: TrainingJob, seconds: float) -> bool:
    """Train in another process and kill it; return whether it was still running."""
    process = FORKSERVER.Process(target=_train_for_ever, args=(job,))
    process.start()
    process.join(seconds)
    alive = process.is_alive()
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert alive or process.exitcode == 0
    return alive


@pytest.mark.training
@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_as_if_nothing_had_happened(
    undisturbed, shards, tiny, tmp_path
):
    config = replace(
        tiny, train=replace(tiny.train, steps=24, validate_every=5, checkpoint_every=1)
    )
    run, generator = tmp_path / "killed", random.Random(0)
    job = TrainingJob(config=config, shards=shards, run=run, resume=True)
    kills = 0
    for _ in range(10):
        kills += _killed_after(job, generator.uniform(0.3, 1.2))
        # Whatever is there can be read: training goes on from it in the next round.
        for path in complete_checkpoints(run):
            read_document(path / "state.json", "checkpoint")
    _killed_after(job, 120)
    assert kills >= 3
    assert read_document(run / "summary.json", "summary")["steps"] == 24
    assert _same_run(undisturbed, run)


class _StopsAt(Silent):
    """Sends Ctrl-C to this process after a number of steps."""

    def __init__(self, steps: int) -> None:
        self._left = steps + 1

    def advance(self, *arguments: object) -> None:  # noqa: ARG002
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.training
def test_ctrl_c_finishes_the_step_keeps_a_checkpoint_and_says_how_to_go_on(
    undisturbed, shards, tiny, tmp_path
):
    config = replace(
        tiny, train=replace(tiny.train, steps=24, validate_every=5, checkpoint_every=999)
    )
    run = tmp_path / "stopped"
    job = TrainingJob(config=config, shards=shards, run=run)
    with pytest.raises(KeyboardInterrupt, match=r"step 7 is saved.*--resume"):
        train(job, World(), _StopsAt(7))
    assert latest_checkpoint(run).name == "step-00000007"
    assert not (run / "summary.json").exists()
    train(replace(job, resume=True), World(), Silent())
    assert _same_run(undisturbed, run)


@pytest.mark.training
def test_killed_between_its_last_validation_and_its_summary_a_run_ends_the_same(
    undisturbed, shards, tiny
):
    config = replace(tiny, train=replace(tiny.train, steps=24, validate_every=5))
    before = _losses(undisturbed)
    assert before[-1][-1] is not None
    (undisturbed / "summary.json").unlink()
    train(
        TrainingJob(config=config, shards=shards, run=undisturbed, resume=True), World(), Silent()
    )
    assert _losses(undisturbed) == before


@pytest.mark.training
def test_a_finished_run_is_left_as_it_is_and_a_longer_one_goes_on(undisturbed, shards, tiny):
    config = replace(tiny, train=replace(tiny.train, steps=24, validate_every=5))
    job = TrainingJob(config=config, shards=shards, run=undisturbed, resume=True)
    before = (undisturbed / "summary.json").stat().st_mtime_ns
    train(job, World(), Silent())
    assert (undisturbed / "summary.json").stat().st_mtime_ns == before
    longer = replace(config, train=replace(config.train, steps=26))
    train(replace(job, config=longer), World(), Silent())
    assert read_document(undisturbed / "summary.json", "summary")["steps"] == 26


@pytest.mark.training
def test_seconds_before_a_resume_count(shards, tiny, tmp_path):
    config = replace(tiny, train=replace(tiny.train, steps=None, minutes=1 / 60))
    job = TrainingJob(config=config, shards=shards, run=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train(job, World(), _StopsAt(2))
    first = read_document(latest_checkpoint(job.run) / "state.json", "checkpoint")
    started = time.perf_counter()
    train(replace(job, resume=True), World(), Silent())
    seconds = read_document(job.run / "summary.json", "summary")["wall_seconds"]
    assert 1.0 <= seconds <= first["elapsed_seconds"] + time.perf_counter() - started


@pytest.mark.training
def test_a_folder_that_somebody_trains_in_is_refused(shards, tiny, tmp_path):
    class Intruder(Silent):
        error: OmniMouseError | None = None

        def start(self, *arguments: object) -> None:  # noqa: ARG002
            with pytest.raises(OmniMouseError) as caught:
                train(replace(job, resume=True), World(), Silent())
            Intruder.error = caught.value

    job = TrainingJob(config=tiny, shards=shards, run=tmp_path / "run")
    train(job, World(), Intruder())
    assert "is being trained by another process" in Intruder.error.message


def test_a_second_ctrl_c_does_not_wait():
    with pytest.raises(KeyboardInterrupt), catch_interrupts() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.is_requested
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class _Listens(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    warn = say


@pytest.mark.training
def test_a_damaged_newest_checkpoint_is_set_aside_and_the_one_before_it_is_used(
    undisturbed, shards, tiny, tmp_path
):
    train_config = replace(tiny.train, steps=24, validate_every=5, checkpoint_every=10)
    run = tmp_path / "run"
    job = TrainingJob(config=replace(tiny, train=train_config), shards=shards, run=run, resume=True)
    train(job, World(), Silent())
    (run / "summary.json").unlink()
    newest = latest_checkpoint(run)
    file = newest / "__0_0.distcp"
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 4
    file.write_bytes(content)
    reporter = _Listens()
    train(job, World(), reporter)
    said = [line for line in reporter.lines if "is damaged" in line]
    assert said == [
        f"the checkpoint {newest} is damaged: __0_0.distcp does not match its checksum; training "
        "continues from step-00000020, and the damaged one is kept as step-00000024.damaged"
    ]
    assert bytes(content) == (run / "checkpoints/step-00000024.damaged" / file.name).read_bytes()
    assert _same_run(undisturbed, run)
    longer = replace(tiny, train=replace(train_config, steps=26))
    # Without an earlier one there is nothing to go on from, and nothing is renamed.
    for path in complete_checkpoints(run):
        (path / "__0_0.distcp").write_bytes(content)
    with pytest.raises(OmniMouseError, match=r"step-\d+ is damaged") as caught:
        train(replace(job, config=longer), World(), Silent())
    assert "remove the folder" in caught.value.hint
    assert len(complete_checkpoints(run)) == 1
