"""model.safetensors: the weights of a finished run, for everything else."""

import json
import os
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.files import PARTIAL_SUFFIX, full_disk_named, sync_folder
from omnimouse_cli.train.objective import effective_kind
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.world import World

WEIGHTS = "model.safetensors"
VERSION = "1"


def export(
    run: Path, state: TrainState, *, config: RunConfig, dataset: Dataset, world: World
) -> None:
    """Write the weights; tables travel to the first rank one by one, so every rank takes part.

    Args:
        run: The run's folder.
        state: Model and tables.
        config: Complete.
        dataset: What was trained on.
        world: The ranks.
    """
    tensors: dict[str, Tensor] = {}
    if world.is_first:
        tensors = {
            f"core.{name}": _stored(value) for name, value in state.core.state_dict().items()
        }
    for index, session in enumerate(dataset.sessions):
        table = state.tables.collect(index)
        if table is not None:
            for name, value in table.state_dict().items():
                tensors[f"tables.{session.key}.{name}"] = _stored(value)
    if world.is_first:
        _write(run / WEIGHTS, tensors, describe(state, config, dataset))
    world.wait_for_all()


def describe(state: TrainState, config: RunConfig, dataset: Dataset) -> dict[str, Any]:
    """Give what a reader needs to build the model again."""
    return {
        "config": to_dict(config),
        "sessions": [
            {"session": item.key, "animal": item.animal, "neurons": item.num_neurons}
            for item in dataset.sessions
        ],
        "behavior_channels": list(dataset.behavior_channels),
        "animals": list(dataset.animals),
        "response_loss": config.model.response_loss,
        "response_kind": effective_kind(dataset.sessions[0]),
        "step": state.counters.step,
        "shards": str(dataset.folder.resolve()),
    }


def _stored(value: Tensor) -> Tensor:
    # A copy: safetensors refuses tensors that share memory.
    return value.detach().to("cpu", copy=True).contiguous()


def _write(path: Path, tensors: dict[str, Tensor], description: dict[str, Any]) -> None:
    metadata = {
        "format": "omnimouse-weights",
        "version": VERSION,
        "description": json.dumps(description),
    }
    partial = path.with_name(f".{path.name}{PARTIAL_SUFFIX}")
    with full_disk_named(path):
        try:
            save_file(tensors, partial, metadata)
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)
