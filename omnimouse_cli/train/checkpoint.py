"""Checkpoints as torch.distributed.checkpoint folders that appear whole or not at all."""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.files import translate_full_disk
from omnimouse_cli.model.feed_forward import rebuild_tables
from omnimouse_cli.run.checkpoints import (
    checkpoint_folder,
    clear_partial_checkpoints,
    complete_checkpoints,
    finish_checkpoint,
    partial_checkpoint,
    read_checkpoint_state,
)
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.state import TrainState


def save_checkpoint(
    run: Path, state: TrainState, *, config: RunConfig, world: World, keep: int
) -> Path:
    """Write a checkpoint of the whole state; every rank takes part.

    It is written under another name, synced and renamed, so that a run that is killed leaves no
    half of one; then `latest` names it and older ones than `keep` are removed.

    Args:
        run: The run's folder.
        state: What is saved.
        config: Of the run, to know the checkpoint again.
        world: The ranks.
        keep: How many of the newest checkpoints stay.

    Returns:
        The checkpoint's folder.

    Raises:
        OmniMouseError: The disk is full.
    """
    target = checkpoint_folder(run, state.counters.step)
    if world.on_first_rank(lambda: target in complete_checkpoints(run)):
        return target
    partial = partial_checkpoint(target)
    if world.is_first:
        clear_partial_checkpoints(run)
    world.barrier()
    _write_tensors(partial, state)
    if world.is_first:
        description = {
            **state.numbers(),
            "model": to_dict(config.model),
            "sessions": {size.session: size.num_neurons for size in state.tables.sizes},
            "adapted": _adapted(config),
            "data": state.fingerprint,
        }
        finish_checkpoint(target, description, keep=keep)
    world.barrier()
    return target


def _write_tensors(path: Path, state: TrainState) -> None:
    try:
        with translate_full_disk(path), _quiet():
            try:
                save(state.tensors(), storage_writer=FileSystemWriter(path))
            except CheckpointException as error:
                # The reason of the first rank that failed says more than that some did.
                raise next(iter(error.failures.values()))[0] from error
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def load_checkpoint(path: Path, state: TrainState, *, config: RunConfig) -> bool:
    """Restore the whole state from a checkpoint; every rank takes part, in any number.

    Args:
        path: The checkpoint's folder.
        state: Of the same model and sessions; its tensors are overwritten.
        config: Of the run.

    Returns:
        Whether the data are those that the checkpoint was trained on, to the byte.

    Raises:
        CheckpointError: The checkpoint is of another model or of other sessions, or damaged.
    """
    description = read_checkpoint_state(path)
    _require_same_model(path, description["model"], to_dict(config.model))
    sessions = {size.session: size.num_neurons for size in state.tables.sizes}
    _require_same_sessions(path, description["sessions"], sessions)
    _require_same_adaptation(path, description.get("adapted"), _adapted(config))
    try:
        with _quiet():
            load(state.tensors(), storage_reader=FileSystemReader(path))
    except (CheckpointException, OSError, EOFError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is damaged: {type(error).__name__}",
            hint="remove the folder and resume: the checkpoint before it is used",
        ) from error
    # What was written into the weights does not show to the modules.
    rebuild_tables(state.core)
    state.restore_numbers({key: description[key] for key in state.numbers()})
    return bool(description["data"] == state.fingerprint)


def _require_same_model(
    path: Path, of_checkpoint: Mapping[str, Any], ours: Mapping[str, Any]
) -> None:
    of_checkpoint = _completed(of_checkpoint, to_dict(ModelConfig()))
    if of_checkpoint == ours:
        return
    differing = [
        f"{key} {of_checkpoint.get(key)} there and {value} here"
        for key, value in ours.items()
        if of_checkpoint.get(key) != value
    ]
    raise CheckpointError(
        f"the checkpoint {path} is of a {of_checkpoint['size']} model and this run is of a "
        f"{ours['size']} model: {', '.join(differing)}",
        hint="resume with the model that the run began with, or start a new run with another --out",
    )


def _completed(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Give options that are newer than a checkpoint their defaults."""
    sections = {
        key: _completed(value, defaults[key])
        for key, value in values.items()
        if isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping)
    }
    return {**defaults, **values, **sections}


def _adapted(config: RunConfig) -> dict[str, Any] | None:
    """Say from which run the core was taken and what of it learns; None if all was begun here."""
    train = config.train
    if train.adapt_from is None:
        return None
    return {"adapt_from": train.adapt_from, "unfreeze": sorted(train.unfreeze)}


def _require_same_adaptation(
    path: Path, of_checkpoint: Mapping[str, Any] | None, ours: Mapping[str, Any] | None
) -> None:
    if of_checkpoint == ours:
        return
    there, here = (
        "trained from its beginning"
        if adapted is None
        else f"adapted from {adapted['adapt_from']} with "
        f"{', '.join(adapted['unfreeze']) or 'nothing'} opened"
        for adapted in (of_checkpoint, ours)
    )
    raise CheckpointError(
        f"the checkpoint {path} was {there}, and this run is {here}",
        hint="resume without --adapt-from and --unfreeze, or start a new run with another --out",
    )


def _require_same_sessions(
    path: Path, of_checkpoint: Mapping[str, int], ours: Mapping[str, int]
) -> None:
    if of_checkpoint == ours:
        return
    differing = sorted(
        key for key in {*of_checkpoint, *ours} if of_checkpoint.get(key) != ours.get(key)
    )
    raise CheckpointError(
        f"the checkpoint {path} is of other sessions than the data set: they differ in "
        f"{', '.join(differing)}",
        hint="resume with the shards and sessions that the run began with",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """A process alone is a world of one: torch need not say so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
