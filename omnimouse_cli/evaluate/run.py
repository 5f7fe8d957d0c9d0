"""A finished run, read from its folder: weights, configuration, and whose neurons it knows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.config.convert import from_dict
from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.table import SessionTable

WEIGHTS = "model.safetensors"
CONFIG = "config.toml"
FORMAT, VERSION = "omnimouse-weights", 1
CORE, TABLES = "core.", "tables."


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSession:
    """A session that a run has a table for."""

    session: str
    animal: str
    neurons: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedRun:
    """A trained model with everything that is needed to ask it.

    Args:
        folder: The run's folder.
        config: Complete.
        model: The core, in evaluation mode, on the CPU.
        tables: Each session's own parameters, by session key.
        sessions: In the order of training.
        behavior_channels: Channels in the order that the core knows them.
        animals: Animals in the order that the core knows them.
        response_loss: `poisson` or `gaussian`.
        step: Optimizer steps; None if whoever trained it did not say.
        shards: What it was trained on, as a path of the machine it was trained on; None where
            weights were imported without.
    """

    folder: Path
    config: RunConfig
    model: OmniMouse
    tables: Mapping[str, SessionTable]
    sessions: tuple[RunSession, ...]
    behavior_channels: tuple[str, ...]
    animals: tuple[str, ...]
    response_loss: ResponseLoss
    step: int | None
    shards: Path | None

    def animal_of(self, session: str) -> str:
        """Whose session it is."""
        return next(entry.animal for entry in self.sessions if entry.session == session)


def load_run(run: Path) -> LoadedRun:
    """Read the weights of a run and build its model.

    Raises:
        CheckpointError: No run, an unfinished one, damaged weights, or those of another version.
    """
    path = run / WEIGHTS
    if not path.is_file():
        raise _no_weights(run)
    try:
        with safe_open(path, framework="pt") as stream:
            description = _description(path, stream.metadata() or {})
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}", hint="copy the run folder again"
        ) from error
    try:
        return _built(run, description, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged: its description lacks or misstates {error}",
            hint="copy the run folder again",
        ) from error
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{path} does not fit the model that it describes: {first}",
            hint="it was written by another omnimouse; evaluate it with that one",
        ) from error


def open_run_data(run: LoadedRun, shards: Path | None) -> Dataset:
    """Open the sessions that a run knows, in its own shards or in a folder that replaces them.

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
    return open_sessions(folder, run.sessions, run.folder)


def open_sessions(folder: Path, sessions: Sequence[RunSession], where: Path) -> Dataset:
    """Open those of some sessions that a folder of shards holds.

    Args:
        folder: The shards.
        sessions: Which ones, with their numbers of neurons.
        where: What has tables for them, for messages.

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
    dataset = open_dataset(folder, sessions=known)
    expected = {entry.session: entry.neurons for entry in sessions}
    for session in dataset.sessions:
        if session.num_neurons != expected[session.key]:
            raise CheckpointError(
                f"session {session.key} has {session.num_neurons} neurons in {session.path} and "
                f"{expected[session.key]} in {where}",
                hint="name the shards that the run was trained on: --shards FOLDER",
            )
    return dataset


def _no_weights(run: Path) -> CheckpointError:
    if not run.is_dir():
        return CheckpointError(
            f"{run} is not a run folder: there is no such folder",
            hint="train one: omnimouse train SHARDS --out RUN",
        )
    if (run / CONFIG).is_file():
        return CheckpointError(
            f"{run} has not finished training: it has no {WEIGHTS}",
            hint=f"finish it: omnimouse train --resume {run}",
        )
    return CheckpointError(
        f"{run} is not a run folder: it has neither {WEIGHTS} nor {CONFIG}",
        hint="name a folder that `omnimouse train` made",
    )


def _description(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} holds no weights of omnimouse: its format is {metadata.get('format')}",
            hint="name a folder that `omnimouse train` made",
        )
    if metadata.get("version") != str(VERSION):
        raise CheckpointError(
            f"{path} has version {metadata.get('version')}; this omnimouse reads version {VERSION}",
            hint="install the omnimouse that wrote it",
        )
    try:
        description = json.loads(metadata.get("description", ""))
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{path} is damaged: its description is not JSON: {error}",
            hint="copy the run folder again",
        ) from error
    if not isinstance(description, dict):
        raise CheckpointError(f"{path} is damaged: its description is no object")
    return description


def _built(run: Path, description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> LoadedRun:
    config = from_dict(RunConfig, description["config"])
    sessions = tuple(
        RunSession(session=entry["session"], animal=entry["animal"], neurons=int(entry["neurons"]))
        for entry in description["sessions"]
    )
    channels, animals = tuple(description["behavior_channels"]), tuple(description["animals"])
    with torch.device("cpu"):
        model = OmniMouse(config.model, behavior_channels=channels, animals=animals)
        tables = {
            entry.session: SessionTable(entry.neurons, config.model.d_embedding)
            for entry in sessions
        }
    model.load_state_dict(_part(tensors, CORE))
    for session, table in tables.items():
        table.load_state_dict(_part(tensors, f"{TABLES}{session}."))
    return LoadedRun(
        folder=run,
        config=config,
        model=model.eval(),
        tables=tables,
        sessions=sessions,
        behavior_channels=channels,
        animals=animals,
        response_loss=description["response_loss"],
        step=None if description["step"] is None else int(description["step"]),
        shards=None if description["shards"] is None else Path(description["shards"]),
    )


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
