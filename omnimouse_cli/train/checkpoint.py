"""Checkpoints as torch.distributed.checkpoint folders, which are complete or do not exist."""

import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
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
from omnimouse_cli.train.checkpoint_metadata import CheckpointReader, read_metadata
from omnimouse_cli.train.parallel.world import World
from omnimouse_cli.train.state import TrainState


def save_checkpoint(run: Path, state: TrainState, *, config: RunConfig, world: World) -> Path:
    """Write a checkpoint of the whole state; every rank takes part.

    It is written under another name, synced and renamed, so that a killed process leaves no
    incomplete one. Then `latest` names it and the oldest checkpoints are removed.

    Args:
        run: Folder of the run.
        state: State of the training.
        config: Resolved configuration; `train.keep_checkpoints` is used, and the model is stored.
        world: The ranks.

    Returns:
        The folder of the checkpoint.

    Raises:
        OmniMouseError: The disk is full.
    """
    target = checkpoint_folder(run, state.counters.step)
    if world.on_first_rank(lambda: target in complete_checkpoints(run)):
        return target
    if world.is_first:
        clear_partial_checkpoints(run)
    world.barrier()
    _write_tensors(partial_checkpoint(target), state)
    if world.is_first:
        description = {
            **state.counter_values(),
            "model": to_dict(config.model),
            "sessions": state.embeddings.num_neurons,
            "adapted": _adaptation(config),
            "data": state.fingerprint,
        }
        finish_checkpoint(target, description, keep=config.train.keep_checkpoints)
    world.barrier()
    return target


def _write_tensors(path: Path, state: TrainState) -> None:
    try:
        with translate_full_disk(path), _ignore_single_process():
            try:
                save(state.tensors(), storage_writer=FileSystemWriter(path))
            except CheckpointException as error:
                # The error of the first rank that failed says more than that some failed.
                raise next(iter(error.failures.values()))[0] from error
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def load_checkpoint(path: Path, state: TrainState, *, config: RunConfig) -> bool:
    """Restore the whole state from a checkpoint; every rank takes part, in any number.

    Args:
        path: Folder of the checkpoint.
        state: State of the same model and sessions; its tensors are overwritten.
        config: Resolved configuration.

    Returns:
        Whether the data set is, to the byte, the one that the checkpoint was trained on.

    Raises:
        CheckpointError: The checkpoint belongs to another model or other sessions, or is damaged.
    """
    description = read_checkpoint_state(path)
    _check_model(path, description["model"], to_dict(config.model))
    _check_sessions(path, description["sessions"], state.embeddings.num_neurons)
    _check_adaptation(path, description.get("adapted"), _adaptation(config))
    metadata = read_metadata(path)
    try:
        with _ignore_single_process():
            load(state.tensors(), storage_reader=CheckpointReader(path, metadata))
    except (CheckpointException, OSError, EOFError, RuntimeError) as error:
        raise CheckpointError(
            f"the checkpoint {path} is damaged: {type(error).__name__}",
            hint="remove the folder and resume: the checkpoint before it is used",
        ) from error
    # Modules do not notice that the weights from which lookup tables are computed have changed.
    rebuild_tables(state.core)
    state.restore_counters(description)
    return bool(description["data"] == state.fingerprint)


def _check_model(path: Path, stored: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    stored = _add_defaults(stored, to_dict(ModelConfig()))
    if stored == current:
        return
    differing = [
        f"{key} {stored.get(key)} there and {value} here"
        for key, value in current.items()
        if stored.get(key) != value
    ]
    raise CheckpointError(
        f"the checkpoint {path} is of a {stored['size']} model and this run is of a "
        f"{current['size']} model: {', '.join(differing)}",
        hint="resume with the model that the run began with, or start a new run with another --out",
    )


def _add_defaults(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Add the default of each option that did not exist when a checkpoint was written."""
    sections = {
        key: _add_defaults(value, defaults[key])
        for key, value in values.items()
        if isinstance(value, Mapping) and isinstance(defaults.get(key), Mapping)
    }
    return {**defaults, **values, **sections}


def _adaptation(config: RunConfig) -> dict[str, Any] | None:
    """Return the run whose core is adapted, and the parts that are trained; None without one."""
    train = config.train
    if train.adapt_from is None:
        return None
    return {"adapt_from": train.adapt_from, "unfreeze": sorted(train.unfreeze)}


def _check_adaptation(
    path: Path, stored: Mapping[str, Any] | None, current: Mapping[str, Any] | None
) -> None:
    if stored == current:
        return
    there, here = (
        "trained from its beginning"
        if adaptation is None
        else f"adapted from {adaptation['adapt_from']} with "
        f"{', '.join(adaptation['unfreeze']) or 'nothing'} unfrozen"
        for adaptation in (stored, current)
    )
    raise CheckpointError(
        f"the checkpoint {path} was {there}, and this run is {here}",
        hint="resume without --adapt-from and --unfreeze, or start a new run with another --out",
    )


def _check_sessions(path: Path, stored: Mapping[str, int], current: Mapping[str, int]) -> None:
    if stored == current:
        return
    differing = sorted(key for key in {*stored, *current} if stored.get(key) != current.get(key))
    raise CheckpointError(
        f"the checkpoint {path} is of other sessions than the data set: they differ in "
        f"{', '.join(differing)}",
        hint="resume with the shards and sessions that the run began with",
    )


@contextmanager
def _ignore_single_process() -> Iterator[None]:
    """Ignore torch's warning that a single process is not distributed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield
