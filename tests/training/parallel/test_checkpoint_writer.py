"""Checkpoints of several ranks: each writes a part, and all of them raise the error of any."""

import errno
from pathlib import Path

import pytest
import torch

from omnimouse_cli.batch.dataset import open_dataset
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import DamagedCheckpointError, OmniMouseError
from omnimouse_cli.run.checkpoints import complete_checkpoints, read_checkpoint_state
from omnimouse_cli.training import checkpoint_writer
from omnimouse_cli.training.checkpoint import load_checkpoint
from omnimouse_cli.training.checkpoint_writer import CheckpointWriter
from omnimouse_cli.training.parallel.launch import launch
from omnimouse_cli.training.parallel.world import World, join_world
from omnimouse_cli.training.resolve import resolve_response_loss
from omnimouse_cli.training.state import TrainState


def _fill(state: TrainState) -> None:
    """Give every tensor a value of its own, the same on all ranks."""
    for name, tensor in state.tensors().items():
        tensor.fill_(sum(name.encode()) % 97)


def _fail(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def write_in_turn(shards: Path, run: Path, config: RunConfig) -> None:
    """Write one checkpoint, fail to write another, and damage the first, as one of two ranks."""
    with join_world("cpu") as world:
        dataset = open_dataset(shards)
        config = resolve_response_loss(config, dataset.sessions)
        state = TrainState(config, dataset, world)
        _fill(state)
        with CheckpointWriter(run, state, config=config, world=world) as writer:
            path = writer.start()
            # The ranks' own messages go on while the threads exchange theirs.
            for number in range(50):
                assert world.all_reduce_max([float(world.rank + number)]) == [number + 1.0]
            writer.wait()
            state.counters.step = 1
            if world.rank == 1:
                checkpoint_writer.FileSystemWriter.write_data = _fail
            writer.start()
            with pytest.raises(OmniMouseError, match="the disk is full"):
                writer.wait()
        assert complete_checkpoints(run) == [path]
        for file in sorted(path.glob("__*"))[world.rank : world.rank + 1]:
            content = file.read_bytes()
        world.barrier()
        if world.is_first:
            (path / "__1_0.distcp").write_bytes(b"damaged")
        world.barrier()
        with pytest.raises(DamagedCheckpointError, match=r"__1_0\.distcp does not match"):
            load_checkpoint(path, state, config=config, world=world)
        world.barrier()
        if world.rank == 1:
            (path / "__1_0.distcp").write_bytes(content)
        world.barrier()
        load_checkpoint(path, state, config=config, world=world)


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.usefixtures("forked_ranks")
def test_two_ranks_write_their_parts_and_agree_about_errors(make_shards, session, tiny, tmp_path):
    shards = make_shards([session(), session(key="2-1-1", num_neurons=4)])
    launch(2, write_in_turn, shards, tmp_path / "run", tiny)
    (path,) = complete_checkpoints(tmp_path / "run")
    names = [".metadata", "__0_0.distcp", "__1_0.distcp"]
    assert sorted(read_checkpoint_state(path)["checksums"]) == names
    sizes = [(path / name).stat().st_size for name in names[1:]]
    assert max(sizes) < 1.5 * min(sizes)
    dataset = open_dataset(shards)
    config = resolve_response_loss(tiny, dataset.sessions)
    state = TrainState(config, dataset, World())
    load_checkpoint(path, state, config=config, world=World())
    for name, tensor in state.tensors().items():
        assert torch.equal(tensor, torch.full_like(tensor, sum(name.encode()) % 97)), name
