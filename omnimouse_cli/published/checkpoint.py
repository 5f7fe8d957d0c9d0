"""A published checkpoint: the files of all ranks, checked and combined."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.published.model_config import core_shapes, derive_model_config, require_shapes
from omnimouse_cli.published.names import (
    ANIMAL_PREFIX,
    ANIMALS,
    BUFFERS,
    SESSION_TENSORS,
    core_names,
    parse_animals,
    parse_session,
    session_names,
)
from omnimouse_cli.published.rank_file import RankFile, read_rank_file
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.weights import RunSession

PROGRESS_TASK = "reading the checkpoint"
_FILE_NAME = re.compile(r"rank_(0|[1-9]\d*)\.ckpt")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PublishedCheckpoint:
    """The weights of a published training, by our names.

    Args:
        folder: Folder of the files.
        model: Configuration of the model, derived from the shapes of tensors.
        core: Tensors that all animals share; memory-mapped except for the animal embeddings.
        embeddings: Tensors of the session embeddings by session; memory-mapped.
        sessions: Sessions in the order of the files.
        animals: Animals in the order of the animal embeddings.
        epoch: Epoch of the training; None if it is not in the files.
        step: Step of the training; None if it is not in the files.
        num_ranks: Number of files.
    """

    folder: Path
    model: ModelConfig
    core: Mapping[str, Tensor]
    embeddings: Mapping[str, Mapping[str, Tensor]]
    sessions: tuple[RunSession, ...]
    animals: tuple[str, ...]
    epoch: int | None
    step: int | None
    num_ranks: int


def read_checkpoint(folder: Path, reporter: Reporter) -> PublishedCheckpoint:
    """Read a folder of rank_0.ckpt, rank_1.ckpt, ...

    Args:
        folder: The first file has the core and its own sessions, the others have sessions only.
        reporter: Shows progress.

    Raises:
        CheckpointError: A file is missing, damaged or has more than data; or tensors are missing,
            unknown, of another shape, or contradict each other.
    """
    paths = _find_files(folder)
    reporter.start(PROGRESS_TASK, len(paths))
    first = read_rank_file(paths[0])
    shared = {name: value for name, value in first.tensors.items() if parse_session(name) is None}
    model = derive_model_config(shared, first.path)
    core, animals = _read_core(shared, model, first.path)
    embeddings: dict[str, dict[str, Tensor]] = {}
    sources: dict[str, Path] = {}
    # The session map is in any of the files, or in none.
    map_file = first
    for path in paths:
        file = first if path == first.path else read_rank_file(path)
        _require_same_training(first, file)
        map_file = file if map_file.sessions is None else map_file
        for session, tensors in _read_sessions(file, model.d_embedding, is_first=file is first):
            if session in sources:
                _require_equal(session, embeddings[session], tensors, (sources[session], path))
            else:
                embeddings[session], sources[session] = tensors, path
        reporter.advance(PROGRESS_TASK, note=path.name)
    reporter.finish(PROGRESS_TASK)
    if not embeddings:
        raise CheckpointError(f"{folder} holds no session: no tensor is named sess_params.*")
    _require_mapped_sessions(map_file, embeddings, len(paths))
    return PublishedCheckpoint(
        folder=folder,
        model=model,
        core=core,
        embeddings=embeddings,
        sessions=tuple(
            _describe_session(key, tensors, map_file, animals)
            for key, tensors in embeddings.items()
        ),
        animals=animals,
        epoch=first.epoch,
        step=first.step,
        num_ranks=len(paths),
    )


def _find_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint by rank; refuse a folder with none or with a gap."""
    files = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _FILE_NAME.fullmatch(path.name)
        if match:
            files[int(match[1])] = path
    if not files:
        raise CheckpointError(
            f"{folder} is not a published checkpoint: it has no file rank_0.ckpt",
            hint="name the folder with the files rank_0.ckpt, rank_1.ckpt, ...",
        )
    for rank in range(max(files)):
        if rank not in files:
            raise _missing_file(folder, rank, f"and rank_{max(files)}.ckpt is there")
    return [files[rank] for rank in sorted(files)]


def _missing_file(folder: Path, rank: int, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{folder / f'rank_{rank}.ckpt'} is missing, {reason}",
        hint="copy the whole checkpoint: each file has sessions of its own",
    )


def _read_core(
    shared: Mapping[str, Tensor], model: ModelConfig, path: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Return the tensors of the core by our names, and the animals of its animal embeddings."""
    names = core_names(model)
    animals = parse_animals(shared)
    embeddings = {f"{ANIMAL_PREFIX}{animal}": (model.d_embedding,) for animal in animals}
    shapes = {names[ours]: shape for ours, shape in core_shapes(model).items()} | embeddings
    require_shapes(shared, shapes, path)
    unknown = sorted(set(shared) - set(shapes) - BUFFERS)
    if unknown:
        raise CheckpointError(
            f"{path} holds the tensor {unknown[0]}, which the published model does not have",
            hint="this is not a checkpoint of the published model",
        )
    if not animals:
        raise CheckpointError(f"{path} holds no animal: no tensor is named {ANIMAL_PREFIX}*")
    core = {ours: shared[theirs].contiguous() for ours, theirs in names.items()}
    core[ANIMALS] = torch.stack([shared[name] for name in embeddings])
    return core, animals


def _read_sessions(
    file: RankFile, d_embedding: int, *, is_first: bool
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the sessions of a file with their tensors by our names."""
    names: dict[str, set[str]] = {}
    for name in file.tensors:
        session = parse_session(name)
        if session is not None:
            names.setdefault(session, set()).add(name)
        elif not is_first:
            raise CheckpointError(
                f"{file.path} holds the tensor {name}, which belongs into rank_0.ckpt",
                hint="files of other ranks hold sess_params.* alone; copy the checkpoint again",
            )
    for session, present in names.items():
        theirs = session_names(session)
        embeddings = file.tensors.get(theirs["neuron_embeddings"])
        neurons = 1 if embeddings is None or embeddings.dim() == 0 else max(1, embeddings.shape[0])
        shapes = {
            theirs["neuron_embeddings"]: (neurons, d_embedding),
            theirs["neuron_biases"]: (neurons, 1),
            theirs["session_embedding"]: (d_embedding,),
        }
        require_shapes(file.tensors, shapes, file.path)
        unknown = sorted(present - set(shapes))
        if unknown:
            raise CheckpointError(
                f"{file.path} holds the tensor {unknown[0]}, and of a session it may hold "
                f"{', '.join(SESSION_TENSORS.values())}"
            )
        yield session, {ours: file.tensors[name].contiguous() for ours, name in theirs.items()}


def _require_same_training(first: RankFile, file: RankFile) -> None:
    for field in ("step", "epoch"):
        here, there = getattr(file, field), getattr(first, field)
        if here != there:
            raise CheckpointError(
                f"{file.path} is of {field} {here} and {first.path} of {field} {there}",
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
                f"{SESSION_TENSORS[name]}",
                hint="copy the files of one checkpoint into a folder of their own",
            )


def _require_mapped_sessions(
    map_file: RankFile, embeddings: Mapping[str, object], num_ranks: int
) -> None:
    """Refuse a checkpoint without a session that its session map names."""
    for session, facts in (map_file.sessions or {}).items():
        if session in embeddings:
            continue
        rank = facts.get("on_rank")
        if isinstance(rank, int) and rank >= num_ranks:
            reason = f"which holds session {session} by the session map of {map_file.path}"
            raise _missing_file(map_file.path.parent, rank, reason)
        raise CheckpointError(
            f"no file of {map_file.path.parent} holds session {session}, which the session map of "
            f"{map_file.path} has on rank {rank}",
            hint="copy the whole checkpoint again",
        )


def _describe_session(
    key: str, tensors: Mapping[str, Tensor], map_file: RankFile, animals: tuple[str, ...]
) -> RunSession:
    """Return the animal and the number of neurons of a session, checked by the session map."""
    if map_file.sessions is not None and key not in map_file.sessions:
        raise CheckpointError(f"the session map of {map_file.path} lacks session {key}")
    facts = {} if map_file.sessions is None else map_file.sessions[key]
    neurons = tensors["neuron_embeddings"].shape[0]
    if facts.get("n_neurons", neurons) != neurons:
        raise CheckpointError(
            f"session {key} has {facts['n_neurons']} neurons in the session map of "
            f"{map_file.path}, and its tensors have {neurons}",
            hint="copy the whole checkpoint again",
        )
    # Published session keys begin with the animal, which a checkpoint without a session map lacks.
    animal = str(facts.get("animal_id", key.partition("-")[0]))
    if animal not in animals:
        raise CheckpointError(
            f"session {key} is of animal {animal}, and the checkpoint has embeddings of "
            f"{', '.join(animals)} only"
        )
    return RunSession(session=key, animal=animal, neurons=neurons)
