"""What a checkpoint states about its training, and the restoring of a training from it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_loader import load

from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError, DamagedCheckpointError
from omnimouse_cli.model.feed_forward import rebuild_tables
from omnimouse_cli.run.checkpoints import find_damage, read_checkpoint_state
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.checkpoint_metadata import CheckpointReader, read_metadata
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import TrainState

# What state.json must hold, of which type.
_REQUIRED = {"step": int, "model": Mapping, "sessions": Mapping, "data": str}
# Tensors that older checkpoints lack: the values that a model begins with give the older model.
_NEWER_TENSORS = {"core.linear_paths.encoding.stimulus_share"}


def describe_checkpoint(state: TrainState, config: RunConfig) -> dict[str, Any]:
    """Return the content of state.json: counters, model, sessions and data of a training."""
    return {
        **state.counter_values(),
        "model": to_dict(config.model),
        "sessions": state.embeddings.num_neurons,
        "adapted": _adaptation(config),
        "data": state.fingerprint,
    }


def load_checkpoint(path: Path, state: TrainState, *, config: RunConfig, world: World) -> bool:
    """Restore the whole state from a checkpoint; every rank takes part, in any number.

    Args:
        path: Folder of the checkpoint.
        state: State of the same model and sessions; its tensors are overwritten.
        config: Resolved configuration.
        world: The ranks, among which the comparison of checksums is divided.

    Returns:
        Whether the data set is, to the byte, the one that the checkpoint was trained on.

    Raises:
        DamagedCheckpointError: A file of the checkpoint is not as it was written. Tensors of
            `state` may have changed.
        CheckpointError: The checkpoint belongs to another model, other sessions or another version.
    """
    # A rank that fails alone must not leave the others waiting in `load`.
    description, metadata = world.on_every_rank(lambda: _read_index(path, state, config, world))
    tensors = world.on_every_rank(lambda: _stored_tensors(path, state, metadata))
    try:
        with warnings.catch_warnings():
            # A single process is not distributed, of which torch warns.
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            load(tensors, storage_reader=CheckpointReader(path, metadata))
    except (CheckpointException, OSError, EOFError, RuntimeError) as error:
        raise _damage(path, type(error).__name__) from error
    # Modules do not notice that the weights from which lookup tables are computed have changed.
    rebuild_tables(state.core)
    state.restore_counters(description)
    return bool(description["data"] == state.fingerprint)


def _read_index(
    path: Path, state: TrainState, config: RunConfig, world: World
) -> tuple[dict[str, Any], Metadata]:
    """Return state.json and .metadata of a checkpoint; verify this rank's part of its files."""
    description = read_matching_state(path, state.embeddings.num_neurons, config)
    damage = find_damage(path, description, part=world.rank, num_parts=world.num_ranks)
    if damage is not None:
        raise _damage(path, damage)
    return description, read_metadata(path)


def _stored_tensors(path: Path, state: TrainState, metadata: Metadata) -> dict[str, Tensor]:
    """Return the tensors of the state that a checkpoint has: all but those that are newer."""
    tensors = state.tensors()
    missing = tensors.keys() - metadata.state_dict_metadata.keys()
    unknown = sorted(missing - _NEWER_TENSORS)
    if unknown:
        raise CheckpointError(
            f"the checkpoint {path} is of another version of omnimouse: it lacks "
            f"{pluralize(len(unknown), 'tensor')}, {unknown[0]} first",
            hint="resume with the version of omnimouse that wrote it (environment.json names it)",
        )
    return {name: tensor for name, tensor in tensors.items() if name not in missing}


def read_matching_state(
    path: Path, num_neurons: Mapping[str, int], config: RunConfig
) -> dict[str, Any]:
    """Return state.json of a checkpoint of this model and these sessions.

    Args:
        path: Folder of the checkpoint.
        num_neurons: Neurons of each session that is trained on.
        config: Resolved configuration.

    Raises:
        DamagedCheckpointError: state.json is not as it was written.
        CheckpointError: The checkpoint belongs to another model or other sessions.
    """
    description = read_checkpoint_state(path)
    for name, kind in _REQUIRED.items():
        if not isinstance(description.get(name), kind):
            raise _damage(path, f"state.json lacks or misstates `{name}`")
    _check_model(path, description["model"], to_dict(config.model))
    _check_sessions(path, description["sessions"], num_neurons)
    _check_adaptation(path, description.get("adapted"), _adaptation(config))
    return description


def _damage(path: Path, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"the checkpoint {path} is damaged: {reason}",
        hint="remove the folder and resume: the checkpoint before it is used",
    )


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
