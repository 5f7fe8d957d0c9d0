"""model.safetensors: the weights of a finished run, for everything else."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.files import PARTIAL_SUFFIX, full_disk_named, sync_folder, usual_mode
from omnimouse_cli.run.weights import CORE, FORMAT, TABLES, VERSION, WEIGHTS, RunSession
from omnimouse_cli.train.objective import effective_kind
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.state import TrainState


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
            f"{CORE}{name}": _stored(value) for name, value in state.core.state_dict().items()
        }
    for index, session in enumerate(dataset.sessions):
        table = state.tables.collect(index)
        if table is not None:
            for name, value in table.state_dict().items():
                tensors[f"{TABLES}{session.key}.{name}"] = _stored(value)
    if world.is_first:
        description = describe(
            config=config,
            sessions=[
                RunSession(session=item.key, animal=item.animal, neurons=item.num_neurons)
                for item in dataset.sessions
            ],
            behavior_channels=dataset.behavior_channels,
            animals=dataset.animals,
            response_kind=effective_kind(dataset.sessions[0]),
            step=state.counters.step,
            shards=dataset.folder,
        )
        write_weights(run / WEIGHTS, tensors, description)
    world.wait_for_all()


def describe(
    *,
    config: RunConfig,
    sessions: Sequence[RunSession],
    behavior_channels: Sequence[str],
    animals: Sequence[str],
    response_kind: str | None,
    step: int | None,
    shards: Path | None,
) -> dict[str, Any]:
    """Give what a reader needs to build the model again.

    Args:
        config: Complete.
        sessions: Those that have a table.
        behavior_channels: In the order that the core knows them.
        animals: In the order that the core knows them.
        response_kind: What it was trained on: `rate` or `dff`; None if nobody knows.
        step: Optimizer steps; None if nobody knows.
        shards: What it was trained on; None if that is elsewhere.
    """
    return {
        "config": to_dict(config),
        "sessions": [asdict(session) for session in sessions],
        "behavior_channels": list(behavior_channels),
        "animals": list(animals),
        "response_loss": config.model.response_loss,
        "response_kind": response_kind,
        "step": step,
        "shards": None if shards is None else str(shards.resolve()),
    }


def _stored(value: Tensor) -> Tensor:
    # A copy: safetensors refuses tensors that share memory.
    return value.detach().to("cpu", copy=True).contiguous()


def write_weights(
    path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> None:
    """Write weights that `eval` reads; the file appears whole or not at all.

    Args:
        path: The file.
        tensors: Contiguous ones that share no memory, named as in a run.
        description: Of `describe`.
    """
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": json.dumps(description),
    }
    write_tensors(path, tensors, metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that appears whole or not at all."""
    partial = path.with_name(f".{path.name}{PARTIAL_SUFFIX}")
    with full_disk_named(path):
        try:
            save_file(dict(tensors), partial, dict(metadata))
            # safetensors makes files that only their owner reads; a run belongs to a lab.
            partial.chmod(usual_mode())
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)
