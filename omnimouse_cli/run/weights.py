"""The weights of a finished run as a file: its header and its tensors, read and written."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.load import config_from_dict
from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError, ConfigError
from omnimouse_cli.files import PARTIAL_SUFFIX, default_file_mode, sync_folder, translate_full_disk

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDescription:
    """What the header of a run's weights says.

    Args:
        folder: The run's folder.
        config: Complete.
        sessions: In the order of training.
        behavior_channels: Channels in the order that the core knows them.
        animals: Animals in the order that the core knows them.
        response_loss: `poisson` or `gaussian`.
        response_kind: What it was trained on: `rate` or `dff`; None where nobody wrote it down.
        step: Optimizer steps; None for an imported run of which nobody knows.
        shards: What it was trained on, as a path of the machine it was trained on; None if that is
            elsewhere.
    """

    folder: Path
    config: RunConfig
    sessions: tuple[RunSession, ...]
    behavior_channels: tuple[str, ...]
    animals: tuple[str, ...]
    response_loss: ResponseLoss
    response_kind: str | None
    step: int | None
    shards: Path | None


def describe_run(run: Path) -> RunDescription:
    """Read what a run is, without its weights.

    Raises:
        CheckpointError: No run, an unfinished one, damaged weights, or those of another version.
    """
    path = run / WEIGHTS
    if not path.is_file():
        raise _no_weights(run)
    with _damage_named(path), safe_open(path, framework="pt") as stream:
        metadata = stream.metadata() or {}
    description = _description(path, metadata)
    try:
        return _described(run, description)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} is damaged: its description lacks or misstates {error}",
            hint="copy the run folder again",
        ) from error


def read_tensors(run: Path, prefix: str = "") -> dict[str, Tensor]:
    """Read the weights whose names begin with `prefix`, which is taken off; others are not read.

    Raises:
        CheckpointError: The weights are damaged.
    """
    path = run / WEIGHTS
    with _damage_named(path), safe_open(path, framework="pt") as stream:
        return {
            name.removeprefix(prefix): stream.get_tensor(name)
            for name in stream.keys()  # noqa: SIM118
            if name.startswith(prefix)
        }


@contextmanager
def misfits_named(run: Path) -> Iterator[None]:
    """Turn torch's refusal of a run's weights into a sentence.

    Raises:
        CheckpointError: Names or shapes are not those of the model that the run describes.
    """
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{run / WEIGHTS} does not fit the model that it describes: {first}",
            hint="it was written by another omnimouse; use it with that one",
        ) from error


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise CheckpointError(
            f"{path} is damaged: {error}", hint="copy the run folder again"
        ) from error


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


def _described(run: Path, description: Mapping[str, Any]) -> RunDescription:
    sessions = tuple(
        RunSession(session=entry["session"], animal=entry["animal"], neurons=int(entry["neurons"]))
        for entry in description["sessions"]
    )
    return RunDescription(
        folder=run,
        config=_config(run, description["config"]),
        sessions=sessions,
        behavior_channels=tuple(description["behavior_channels"]),
        animals=tuple(description["animals"]),
        response_loss=description["response_loss"],
        response_kind=description.get("response_kind"),
        step=None if description["step"] is None else int(description["step"]),
        shards=None if description["shards"] is None else Path(description["shards"]),
    )


def _config(run: Path, values: Mapping[str, Any]) -> RunConfig:
    try:
        return config_from_dict(values)
    except ConfigError as error:
        raise CheckpointError(
            f"{run} was trained by another version of omnimouse, with settings that this one does "
            f"not take: {error.message}",
            hint="train it again, or use the omnimouse that wrote it",
        ) from error


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
    with translate_full_disk(path):
        try:
            save_file(dict(tensors), partial, dict(metadata))
            # safetensors makes files that only their owner reads; a run belongs to a lab.
            partial.chmod(default_file_mode())
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)
