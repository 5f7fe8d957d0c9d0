"""A published checkpoint: the files of all its ranks, checked and put together."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.published.names import (
    ANIMAL_PREFIX,
    ANIMALS,
    BUFFERS,
    TABLE,
    animals_of,
    core_names,
    session_of,
    table_names,
)
from omnimouse_cli.published.rank_file import RankFile, read_rank_file
from omnimouse_cli.published.shape import core_shapes, model_of, require_shapes
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.weights import RunSession

TASK = "reading the checkpoint"
_RANK = re.compile(r"rank_(0|[1-9]\d*)\.ckpt")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublishedCheckpoint:
    """The weights of a published training, by our names.

    Args:
        folder: Where the files are.
        model: Derived from the tensors' shapes.
        core: What all animals share; memory-mapped but for the table of animals.
        tables: Each session's own tensors; memory-mapped.
        sessions: In the order of the ranks' files.
        animals: In the order of the core's table.
        epoch: Of the training; None where it is not said.
        step: Of the training; None where it is not said.
        num_ranks: Files.
    """

    folder: Path
    model: ModelConfig
    core: Mapping[str, Tensor]
    tables: Mapping[str, Mapping[str, Tensor]]
    sessions: tuple[RunSession, ...]
    animals: tuple[str, ...]
    epoch: int | None
    step: int | None
    num_ranks: int


def read_checkpoint(folder: Path, reporter: Reporter) -> PublishedCheckpoint:
    """Read a folder of rank_0.ckpt, rank_1.ckpt, ...

    Args:
        folder: The first file holds what all ranks share and its own sessions, the others their
            sessions.
        reporter: Hears of progress.

    Raises:
        CheckpointError: A file is missing, damaged or holds more than data, or tensors are
            missing, unknown, of another shape, or at odds with each other.
    """
    paths = rank_paths(folder)
    reporter.start(TASK, len(paths))
    first = read_rank_file(paths[0])
    shared = {name: value for name, value in first.tensors.items() if session_of(name) is None}
    model = model_of(shared, first.path)
    core, animals = _core(shared, model, first.path)
    tables: dict[str, dict[str, Tensor]] = {}
    owners: dict[str, Path] = {}
    told = first
    for path in paths:
        file = first if path == first.path else read_rank_file(path)
        _require_same_training(first, file)
        told = file if told.sessions is None else told
        for session, table in _tables(file, model.d_embedding, is_first=file is first):
            if session in owners:
                _require_equal(session, tables[session], table, (owners[session], path))
            else:
                tables[session], owners[session] = table, path
        reporter.advance(TASK, note=path.name)
    reporter.finish(TASK)
    if not tables:
        raise CheckpointError(f"{folder} holds no session: no tensor is named sess_params.*")
    _require_whole_map(told, owners, len(paths))
    return PublishedCheckpoint(
        folder=folder,
        model=model,
        core=core,
        tables=tables,
        sessions=tuple(_session(key, tables[key], told, animals) for key in owners),
        animals=animals,
        epoch=first.epoch,
        step=first.step,
        num_ranks=len(paths),
    )


def rank_paths(folder: Path) -> list[Path]:
    """Find the files of a checkpoint, by rank.

    Raises:
        CheckpointError: There is none, or a rank between them is missing.
    """
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _RANK.fullmatch(path.name)
        if match:
            found[int(match[1])] = path
    if not found:
        raise CheckpointError(
            f"{folder} is not a published checkpoint: it has no file rank_0.ckpt",
            hint="name the folder with the files rank_0.ckpt, rank_1.ckpt, ...",
        )
    for rank in range(max(found)):
        if rank not in found:
            raise _missing(folder, rank, f"and rank_{max(found)}.ckpt is there")
    return [found[rank] for rank in sorted(found)]


def _missing(folder: Path, rank: int, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{folder / f'rank_{rank}.ckpt'} is missing, {reason}",
        hint="copy the whole checkpoint: sessions lie in the files of all ranks",
    )


def _core(
    shared: Mapping[str, Tensor], model: ModelConfig, path: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Give the core by our names, and whose vectors the rows of its table of animals are."""
    names = core_names(model)
    animals = animals_of(shared)
    rows = {f"{ANIMAL_PREFIX}{animal}": (model.d_embedding,) for animal in animals}
    wanted = {names[ours]: shape for ours, shape in core_shapes(model).items()}
    require_shapes(shared, {**wanted, **rows}, path)
    unknown = sorted(set(shared) - set(wanted) - set(rows) - BUFFERS)
    if unknown:
        raise CheckpointError(
            f"{path} holds the tensor {unknown[0]}, which the published model does not have",
            hint="this is not a checkpoint of the published model",
        )
    if not animals:
        raise CheckpointError(f"{path} holds no animal: no tensor is named {ANIMAL_PREFIX}*")
    core = {ours: shared[theirs].contiguous() for ours, theirs in names.items()}
    core[ANIMALS] = torch.stack([shared[name] for name in rows])
    return core, animals


def _tables(
    file: RankFile, d_embedding: int, *, is_first: bool
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Give the tables in a file, each checked."""
    names: dict[str, set[str]] = {}
    for name in file.tensors:
        session = session_of(name)
        if session is not None:
            names.setdefault(session, set()).add(name)
        elif not is_first:
            raise CheckpointError(
                f"{file.path} holds the tensor {name}, which belongs into rank_0.ckpt",
                hint="files of other ranks hold sess_params.* alone; copy the checkpoint again",
            )
    for session, present in names.items():
        ours = table_names(session)
        vectors = file.tensors.get(ours["neuron_embeddings"])
        neurons = 1 if vectors is None or vectors.dim() == 0 else max(1, vectors.shape[0])
        shapes = {
            ours["neuron_embeddings"]: (neurons, d_embedding),
            ours["neuron_biases"]: (neurons, 1),
            ours["session_embedding"]: (d_embedding,),
        }
        require_shapes(file.tensors, shapes, file.path)
        unknown = sorted(present - set(shapes))
        if unknown:
            raise CheckpointError(
                f"{file.path} holds the tensor {unknown[0]}, and of a session it may hold "
                f"{', '.join(TABLE.values())}"
            )
        yield session, {name: file.tensors[theirs].contiguous() for name, theirs in ours.items()}


def _require_same_training(first: RankFile, file: RankFile) -> None:
    for what in ("step", "epoch"):
        here, there = getattr(file, what), getattr(first, what)
        if here != there:
            raise CheckpointError(
                f"{file.path} is of {what} {here} and {first.path} of {what} {there}",
                hint="copy the files of one checkpoint into a folder of their own",
            )


def _require_equal(
    session: str,
    one: Mapping[str, Tensor],
    other: Mapping[str, Tensor],
    paths: tuple[Path, Path],
) -> None:
    for name, value in one.items():
        if not torch.equal(value, other[name]):
            raise CheckpointError(
                f"session {session} is in {paths[0]} and in {paths[1]}, with different values of "
                f"{TABLE[name]}",
                hint="copy the files of one checkpoint into a folder of their own",
            )


def _require_whole_map(told: RankFile, owners: Mapping[str, Path], num_ranks: int) -> None:
    """Refuse sessions that the session map names and no file holds."""
    for session, facts in (told.sessions or {}).items():
        if session in owners:
            continue
        rank = facts.get("on_rank")
        if isinstance(rank, int) and rank >= num_ranks:
            reason = f"which holds session {session} by the session map of {told.path}"
            raise _missing(told.path.parent, rank, reason)
        raise CheckpointError(
            f"no file of {told.path.parent} holds session {session}, which the session map of "
            f"{told.path} has on rank {rank}",
            hint="copy the whole checkpoint again",
        )


def _session(
    key: str, table: Mapping[str, Tensor], told: RankFile, animals: tuple[str, ...]
) -> RunSession:
    """Say whose session it is and how many neurons it has; the map may not contradict its table."""
    neurons = table["neuron_embeddings"].shape[0]
    facts: Mapping[str, Any] = {}
    if told.sessions is not None:
        if key not in told.sessions:
            raise CheckpointError(f"the session map of {told.path} lacks session {key}")
        facts = told.sessions[key]
    said = facts.get("n_neurons", neurons)
    if said != neurons:
        raise CheckpointError(
            f"session {key} has {said} neurons in the session map of {told.path}, and its table "
            f"has {neurons}",
            hint="copy the whole checkpoint again",
        )
    # Source of the rule where nobody says whose it is: omnimouse reference, section 1.
    animal = str(facts.get("animal_id", key.partition("-")[0]))
    if animal not in animals:
        raise CheckpointError(
            f"session {key} is of animal {animal}, and the checkpoint has vectors of "
            f"{', '.join(animals)} only"
        )
    return RunSession(session=key, animal=animal, neurons=neurons)
