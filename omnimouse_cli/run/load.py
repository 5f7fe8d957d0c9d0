"""A finished run read from its folder: the model, the session embeddings and their shards."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, open_dataset
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.model.build import Core, build_core
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.weights import (
    CORE,
    TABLES,
    RunDescription,
    RunSession,
    explain_mismatch,
    read_description,
    read_session_tensors,
    read_tensors,
)
from omnimouse_cli.text import pluralize

_SILENT = Silent()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedRun(RunDescription):
    """A trained model with the description of its run.

    Args:
        model: The core, in evaluation mode, on the CPU.
        embeddings: Session embeddings by session key.
    """

    model: Core
    embeddings: Mapping[str, SessionEmbeddings]

    def animal_of(self, session: str) -> str:
        """Return the animal of a session."""
        return next(entry.animal for entry in self.sessions if entry.session == session)

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights by their names in model.safetensors."""
        tensors = {f"{CORE}{name}": value for name, value in self.model.state_dict().items()}
        for session, embeddings in self.embeddings.items():
            for name, value in embeddings.state_dict().items():
                tensors[f"{TABLES}{session}.{name}"] = value
        return tensors


def load_run(run: Path) -> LoadedRun:
    """Read the weights of a run and build its model.

    Raises:
        CheckpointError: The folder is not a run, the run has not finished, or its weights are
            damaged or of another version.
    """
    description = read_description(run)
    config = description.config.model
    num_weights = config.decoder.num_neuron_weights(len(description.behavior_channels))
    with explain_mismatch(run):
        with torch.device("cpu"):
            model = build_core(
                config,
                behavior_channels=description.behavior_channels,
                animals=description.animals,
            )
            embeddings = {
                entry.session: SessionEmbeddings(entry.neurons, config.d_embedding, num_weights)
                for entry in description.sessions
            }
        model.load_state_dict(read_tensors(run, CORE))
        for session, module in embeddings.items():
            module.load_state_dict(read_session_tensors(run, session))
    known = {field.name: getattr(description, field.name) for field in fields(description)}
    return LoadedRun(**known, model=model.eval(), embeddings=embeddings)


def open_run_data(
    run: LoadedRun,
    shards: Path | None,
    reporter: Reporter = _SILENT,
    *,
    allow_other_data: bool = False,
) -> Dataset:
    """Open the sessions of a run, with its behavior channels.

    Args:
        run: The run.
        shards: Folder of the shards; None takes the one that the run was trained on.
        reporter: Receives warnings of `require_same_data`.
        allow_other_data: Whether sessions may hold other values than those of the training.

    Raises:
        CheckpointError: The folder does not exist, has none of the run's sessions, or has one with
            another number of neurons or other values.
    """
    folder = shards if shards is not None else run.shards
    if folder is None:
        raise CheckpointError(
            f"{run.folder} does not name its shards: its weights were imported without",
            hint="name the folder with the shards of its sessions: --shards FOLDER",
        )
    if shards is None and not folder.is_dir():
        raise CheckpointError(
            f"the shards that {run.folder} was trained on are not at {folder}",
            hint="say where they are now: --shards FOLDER",
        )
    dataset = open_sessions(
        folder, run.sessions, run.folder, behavior_channels=run.behavior_channels
    )
    require_same_data(
        run.folder, run.sessions, dataset.sessions, reporter, allow_other=allow_other_data
    )
    return dataset


def open_sessions(
    folder: Path,
    sessions: Sequence[RunSession],
    source: Path,
    *,
    behavior_channels: Sequence[str] | None = None,
) -> Dataset:
    """Open those of some sessions that a folder of shards has.

    Args:
        folder: Folder of the shards.
        sessions: Sessions whose embeddings are known.
        source: Run or checkpoint with these embeddings, for messages.
        behavior_channels: Behavior channels in the order of the core; None takes the sessions'.

    Raises:
        CheckpointError: The folder has none of the sessions, or one with another number of
            neurons.
    """
    stored = {session.key for session in open_dataset(folder).sessions}
    known = [entry.session for entry in sessions if entry.session in stored]
    if not known:
        names = ", ".join(entry.session for entry in sessions)
        raise CheckpointError(
            f"{folder} holds none of the sessions of {source}: {names}",
            hint="name the folder with the shards of these sessions: --shards FOLDER",
        )
    dataset = open_dataset(folder, sessions=known, behavior_channels=behavior_channels)
    require_same_neurons(source, sessions, dataset.sessions)
    return dataset


def require_same_neurons(
    source: Path, trained: Iterable[RunSession], sessions: Iterable[SessionInfo]
) -> None:
    """Check that shards have as many neurons as a run has embeddings, in sessions that both have.

    Raises:
        CheckpointError: A session has another number of neurons.
    """
    neurons = {entry.session: entry.neurons for entry in trained}
    for session in sessions:
        expected = neurons.get(session.key, session.num_neurons)
        if session.num_neurons != expected:
            raise CheckpointError(
                f"session {session.key} has {session.num_neurons} neurons in {session.path} and "
                f"{expected} in {source}",
                hint="name the shards that it was trained on (--shards FOLDER), and preprocess "
                "another recording under another key (--key)",
            )


def require_same_data(
    source: Path,
    trained: Iterable[RunSession],
    sessions: Iterable[SessionInfo],
    reporter: Reporter,
    *,
    allow_other: bool,
) -> None:
    """Check that shards hold the values that a run was trained on, in sessions that both have.

    Args:
        source: Folder of the run, for messages.
        trained: Sessions of the run.
        sessions: Sessions of the shards.
        reporter: Receives a warning about sessions that hold other values and are allowed, or that
            cannot be compared.
        allow_other: Whether sessions may hold other values.

    Raises:
        CheckpointError: A session holds other values, which are not allowed.
    """
    fingerprints = {entry.session: entry.fingerprint for entry in trained}
    common = [session for session in sessions if session.key in fingerprints]
    unknown = [session.key for session in common if fingerprints[session.key] is None]
    if unknown:
        reporter.warn(
            f"{source} does not record which data it was trained on: of "
            f"{pluralize(len(unknown), 'session')} only key and number of neurons were compared "
            "with the shards"
        )
    other = [
        session
        for session in common
        if session.key not in unknown and session.fingerprint != fingerprints[session.key]
    ]
    if not other:
        return
    names = ", ".join(session.key for session in other)
    text = (
        f"{other[0].path.parent} holds other data of {names} than {source} was trained on "
        f"(fingerprint {other[0].fingerprint[:8]}, not {fingerprints[other[0].key]:.8})"
    )
    if not allow_other:
        raise CheckpointError(
            f"{text}: another recording of the same key, or preprocessed with other options",
            hint="name the shards that it was trained on (--shards FOLDER), preprocess another "
            "recording under another key (--key), or allow it with --allow-other-data",
        )
    reporter.warn(f"{text}; it is used all the same (--allow-other-data)")
