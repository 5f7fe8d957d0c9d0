"""Writes checkpoints for tests."""

from pathlib import Path

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.training.checkpoint_writer import CheckpointWriter
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import TrainState


def save_checkpoint(run: Path, state: TrainState, config: RunConfig) -> Path:
    """Write a checkpoint as the only rank, wait for it and return its folder."""
    with CheckpointWriter(run, state, config=config, world=World()) as writer:
        path = writer.start()
        writer.wait()
    return path
