"""A finished run, read from its folder: weights, configuration, and whose neurons it knows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.session_embeddings import SessionTable
from omnimouse_cli.run.weights import (
    CORE,
    TABLES,
    RunDescription,
    RunSession,
    describe_run,
    misfits_named,
    read_tensors,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedRun(RunDescription):
    """A trained model with everything that is needed to ask it.

    Args:
        model: The core, in evaluation mode, on the CPU.
        tables: Each session's own parameters, by session key.
    """

    model: OmniMouse
    tables: Mapping[str, SessionTable]

    def animal_of(self, session: str) -> str:
        """Whose session it is."""
        return next(entry.animal for entry in self.sessions if entry.session == session)


def load_run(run: Path) -> LoadedRun:
    """Read the weights of a run and build its model.

    Raises:
        CheckpointError: No run, an unfinished one, damaged weights, or those of another version.
    """
    description = describe_run(run)
    with misfits_named(run):
        return _built(description, read_tensors(run))


def open_run_data(run: LoadedRun, shards: Path | None) -> Dataset:
    """Open the sessions and channels that a run knows, in its own shards or in another folder.

    Args:
        run: The run.
        shards: Where the shards are now; None takes the folder that the run was trained on.

    Raises:
        CheckpointError: The shards are gone, hold none of the run's sessions, or hold a session
            with another number of neurons.
    """
    folder = shards if shards is not None else run.shards
    if folder is None:
        raise CheckpointError(
            f"{run.folder} does not know its shards: its weights were imported without",
            hint="name the folder with the shards of its sessions: --shards FOLDER",
        )
    if shards is None and not folder.is_dir():
        raise CheckpointError(
            f"the shards that {run.folder} was trained on are not at {folder}",
            hint="say where they are now: --shards FOLDER",
        )
    return open_sessions(folder, run.sessions, run.folder, behavior_channels=run.behavior_channels)


def open_sessions(
    folder: Path,
    sessions: Sequence[RunSession],
    where: Path,
    *,
    behavior_channels: Sequence[str] | None = None,
) -> Dataset:
    """Open those of some sessions that a folder of shards holds.

    Args:
        folder: The shards.
        sessions: Which ones, with their numbers of neurons.
        where: What has tables for them, for messages.
        behavior_channels: Those that the core knows, in its order; None takes the sessions'.

    Raises:
        CheckpointError: The folder holds none of the sessions, or one with another number of
            neurons.
    """
    there = {session.key for session in open_dataset(folder).sessions}
    known = [entry.session for entry in sessions if entry.session in there]
    if not known:
        raise CheckpointError(
            f"{folder} holds none of the sessions of {where}: "
            f"{', '.join(entry.session for entry in sessions)}",
            hint="name the folder with the shards of these sessions: --shards FOLDER",
        )
    dataset = open_dataset(folder, sessions=known, behavior_channels=behavior_channels)
    expected = {entry.session: entry.neurons for entry in sessions}
    for session in dataset.sessions:
        if session.num_neurons != expected[session.key]:
            raise CheckpointError(
                f"session {session.key} has {session.num_neurons} neurons in {session.path} and "
                f"{expected[session.key]} in {where}",
                hint="name the shards that the run was trained on: --shards FOLDER",
            )
    return dataset


def _built(description: RunDescription, tensors: Mapping[str, Tensor]) -> LoadedRun:
    config = description.config
    with torch.device("cpu"):
        model = OmniMouse(
            config.model,
            behavior_channels=description.behavior_channels,
            animals=description.animals,
        )
        tables = {
            entry.session: SessionTable(entry.neurons, config.model.d_embedding)
            for entry in description.sessions
        }
    model.load_state_dict(_part(tensors, CORE))
    for session, table in tables.items():
        table.load_state_dict(_part(tensors, f"{TABLES}{session}."))
    known = {field.name: getattr(description, field.name) for field in fields(description)}
    return LoadedRun(**known, model=model.eval(), tables=tables)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
