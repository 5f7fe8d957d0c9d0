"""Several ranks compute what one does, whatever their number, and fail with one sentence."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from omnimouse_cli.cli.train_ranks import train_rank
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.metrics_log import read_metrics
from omnimouse_cli.training.parallel.launch import launch, require_gpus
from omnimouse_cli.training.parallel.verdict import RankFailedError
from omnimouse_cli.training.parallel.world import World, join_world, select_device
from omnimouse_cli.training.prepare import TrainingJob
from omnimouse_cli.training.run import train
from omnimouse_cli.training.start.adapt import default_adaptation


@pytest.fixture
def shards(make_shards, session) -> Path:
    return make_shards(
        [session(behavior=True), session(key="2-1-1", num_neurons=4), session(key="2-1-2")]
    )


def _losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run) if "loss" in line]


def _require_same(one: Path, other: Path) -> None:
    left, right = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, rtol=1e-5, atol=1e-6, msg=name)
    assert _losses(other) == pytest.approx(_losses(one), rel=1e-5)
    losses = [
        read_document(run / "summary.json", "summary")["validation"]["neural_loss"]
        for run in (one, other)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def train_in_turn(jobs: tuple[TrainingJob, ...]) -> None:
    """Train one run after the other as a rank of one world."""
    with join_world("cpu") as world:
        for job in jobs:
            train(job, world, Silent())


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_two_ranks_train_what_one_rank_with_two_batches_a_step_trains(shards, tiny, tmp_path):
    config = replace(
        tiny, train=replace(tiny.train, steps=8, batches_per_step=2, checkpoint_every=4)
    )
    one, two = (TrainingJob(config=config, shards=shards, run=tmp_path / name) for name in "ab")
    train(one, World(), Silent())
    # What one rank has trained is adapted too: by one, and by the same two.
    start = default_adaptation(one.run)
    settings = replace(
        config.train, steps=2, adapt_from=str(one.run), unfreeze=("readout",), batches_per_step=2
    )
    adapted = replace(start, data=replace(start.data, batch_size=2), train=settings)
    alone, together = (replace(one, config=adapted, run=tmp_path / name) for name in "cd")
    train(alone, World(), Silent())
    launch(2, train_in_turn, (two, together))
    _require_same(one.run, two.run)
    _require_same(alone.run, together.run)
    environment = read_document(two.run / "environment.json", "environment")
    assert environment["num_ranks"] == 2
    # And what two ranks have kept, one rank goes on with, as if it had always been alone.
    longer = replace(config, train=replace(config.train, steps=10))
    for job in (one, two):
        train(replace(job, config=longer, resume=True), World(), Silent())
    _require_same(one.run, two.run)


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_three_ranks_go_on_with_one_session_and_two_batches_a_step(
    make_shards, session, tiny, tmp_path
):
    """More ranks than sessions, and than batches: one owns the table, one only watches."""
    shards = make_shards([session()])
    config = replace(
        tiny, train=replace(tiny.train, steps=8, batches_per_step=2, checkpoint_every=4)
    )
    one, three = (TrainingJob(config=config, shards=shards, run=tmp_path / name) for name in "ab")
    train(one, World(), Silent())
    # What depends on the length of a run would differ after the first half.
    steady = replace(config.train, cooldown_fraction=0, shortcuts_first_fraction=0)
    short = replace(config, train=replace(steady, steps=4))
    whole = replace(config, train=steady)
    train(replace(one, config=whole, run=tmp_path / "c"), World(), Silent())
    train(replace(three, config=short), World(), Silent())
    launch(3, train_rank, replace(three, config=whole, resume=True), "cpu", True)
    weights = [load_file(run / "model.safetensors") for run in (tmp_path / "c", three.run)]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.training
@pytest.mark.usefixtures("forked_ranks")
def test_a_rank_that_refuses_its_input_is_heard_as_if_it_were_alone(tiny, tmp_path):
    job = TrainingJob(config=tiny, shards=tmp_path / "nothing", run=tmp_path / "run")
    with pytest.raises(OmniMouseError, match="nothing does not exist") as caught:
        launch(2, train_rank, job, "cpu", True)
    assert "check the path" in caught.value.hint


def kill_myself_unless_first() -> None:
    """Kill this process if it is not the first rank, which waits."""
    if os.environ["RANK"] == "0":
        signal.pause()
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.training
@pytest.mark.usefixtures("forked_ranks")
def test_a_rank_that_is_killed_is_named_with_its_signal():
    with pytest.raises(OmniMouseError, match="rank 1 of 2 was killed by SIGKILL") as caught:
        launch(2, kill_myself_unless_first)
    assert "--resume" in caught.value.hint
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def stop_unless_first() -> None:
    """Stop this process, as SIGSTOP does, if it is not the first rank, which waits for it."""
    with join_world("cpu") as world:
        world.activity.silence_seconds = 2.0
        if not world.is_first:
            os.kill(os.getpid(), signal.SIGSTOP)
        world.barrier()


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_a_rank_that_is_stopped_is_named_and_ended():
    with pytest.raises(RankFailedError, match=r"rank 1 of 2 \(.*\) has been silent for") as caught:
        launch(2, stop_unless_first)
    assert caught.value.rank == 1


def fail_unless_first() -> None:
    """Raise if this is not the first rank, which waits for it."""
    with join_world("cpu") as world:
        if not world.is_first:
            raise OmniMouseError("the shard is damaged", hint="convert it again")
        world.barrier()


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_an_error_of_one_rank_ends_the_others_with_the_same_sentence():
    with pytest.raises(OmniMouseError, match="the shard is damaged") as caught:
        launch(2, fail_unless_first)
    assert caught.value.hint == "convert it again"


def test_more_gpus_than_there_are_is_refused_with_their_number(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    with pytest.raises(OmniMouseError, match="this machine has 3") as caught:
        require_gpus(8)
    assert "--procs" in caught.value.hint
    require_gpus(3)


def test_a_device_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert select_device("auto", 0) == torch.device("cuda", 0)
    with pytest.raises(OmniMouseError, match="there are 1"):
        select_device("cuda", 1)
    with pytest.raises(OmniMouseError, match="no device 'tpu'"):
        select_device("tpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert select_device("auto") == torch.device("cpu")
