"""The weights of a finished run: model.safetensors, with a description of the run in its header."""

import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.load import config_from_dict
from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError, ConfigError
from omnimouse_cli.files import (
    PARTIAL_SUFFIX,
    default_file_mode,
    parse_json,
    partial_name,
    sync_folder,
    translate_full_disk,
)
from omnimouse_cli.run.folder import CONFIG, WEIGHTS, is_run
from omnimouse_cli.shard.checksum import NO_DIGITS, compute_checksum, format_checksum

FORMAT, VERSION = "omnimouse-weights", 1
# Prefixes of names: `core.<parameter>` and `tables.<session>.<parameter>`.
CORE, TABLES = "core.", "tables."
_LENGTH = struct.Struct("<Q")
_NO_CHECKSUM = format_checksum(NO_DIGITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSession:
    """A session whose embeddings are in the weights.

    Args:
        session: Session key.
        animal: Key of its animal.
        neurons: Number of neurons.
        fingerprint: Fingerprint of the values that it was trained on; None if unknown.
    """

    session: str
    animal: str
    neurons: int
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDescription:
    """Description of a run in the header of its weights.

    Args:
        folder: Folder of the run.
        config: Resolved configuration.
        sessions: Sessions with embeddings, in the order of training.
        behavior_channels: Behavior channels in the order of the core.
        animals: Animals in the order of the core.
        response_kind: Kind of the responses, `rate`, `dff` or `fluorescence`; None if unknown.
        step: Optimizer steps; None if unknown.
        shards: Folder of shards on the machine of the training; None if unknown.
    """

    folder: Path
    config: RunConfig
    sessions: tuple[RunSession, ...]
    behavior_channels: tuple[str, ...]
    animals: tuple[str, ...]
    response_kind: str | None
    step: int | None
    shards: Path | None

    @property
    def response_loss(self) -> ResponseLoss:
        """The loss of the responses: `poisson`, `gaussian` or `gamma`."""
        loss = self.config.model.response_loss
        assert loss is not None, "the configuration of a run is resolved"
        return loss


def write_weights(path: Path, tensors: Mapping[str, Tensor], run: RunDescription) -> None:
    """Write weights with a description of their run; the file appears whole or not at all.

    Args:
        path: The safetensors file.
        tensors: Contiguous tensors that share no memory, named as in a run.
        run: Description of the run.
    """
    description = {
        "config": to_dict(run.config),
        "sessions": [asdict(session) for session in run.sessions],
        "behavior_channels": list(run.behavior_channels),
        "animals": list(run.animals),
        "response_loss": run.response_loss,
        "response_kind": run.response_kind,
        "step": run.step,
        "shards": None if run.shards is None else str(run.shards.resolve()),
    }
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "description": json.dumps(description),
    }
    write_tensors(path, tensors, metadata)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file that appears whole or not at all; equal content gives equal bytes.

    Two entries are added to the metadata: `checksums` of the tensors (JSON, by name), and
    `checksum` of all bytes before the data, computed with its own digits set to zeros.

    Args:
        path: The file.
        tensors: Contiguous tensors that share no memory, by name.
        metadata: Texts in the header.
    """
    partial = path.with_name(f"{partial_name(path)}{PARTIAL_SUFFIX}")
    checksums = {name: _tensor_checksum(tensors[name]) for name in sorted(tensors)}
    metadata = {**metadata, "checksums": json.dumps(checksums), "checksum": _NO_CHECKSUM}
    with translate_full_disk(path):
        try:
            save_file(dict(tensors), partial, dict(metadata))
            _finish_header(partial)
            # safetensors makes files that only their owner may read; a run belongs to a lab.
            partial.chmod(default_file_mode())
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_folder(path.parent)


def _tensor_checksum(tensor: Tensor) -> str:
    return compute_checksum(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())


def _finish_header(path: Path) -> None:
    """Sort the metadata, which safetensors writes in random order, and fill in the checksum."""
    with path.open("r+b") as stream:
        num_bytes = _read_length(stream)
        header = json.loads(stream.read(num_bytes))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        assert len(text) <= num_bytes, "the same header in another order has the same length"
        plain = _LENGTH.pack(num_bytes) + text.ljust(num_bytes)
        stream.seek(0)
        # Metadata come first in the header, and `checksum` first in the metadata.
        stream.write(plain.replace(_NO_CHECKSUM.encode(), compute_checksum(plain).encode(), 1))


def _read_length(stream: BinaryIO) -> int:
    """Read the length of a safetensors header in bytes."""
    return int(_LENGTH.unpack(stream.read(_LENGTH.size))[0])


def _require_whole_header(path: Path, metadata: Mapping[str, str]) -> None:
    """Compare the header with its checksum; files of earlier versions have none."""
    if "checksum" not in metadata and "checksums" not in metadata:
        return
    stated = metadata.get("checksum", "")
    with path.open("rb") as stream:
        num_bytes = _read_length(stream)
        header = _LENGTH.pack(num_bytes) + stream.read(num_bytes)
    if compute_checksum(header.replace(stated.encode(), _NO_CHECKSUM.encode(), 1)) != stated:
        raise _damage(path, "its header does not match its checksum")


def read_description(run: Path) -> RunDescription:
    """Read the description of a finished run without its weights.

    Raises:
        CheckpointError: The folder is not a run, the run has not finished, or its weights are
            damaged or of another version.
    """
    path = run / WEIGHTS
    _require_weights(run)
    with _explain_damage(path), safe_open(path, framework="pt") as stream:
        metadata = stream.metadata() or {}
    _require_whole_header(path, metadata)
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
        return _parse_description(run, parse_json(metadata.get("description", "")))
    except (KeyError, TypeError, ValueError) as error:
        reason = f"its description lacks or misstates {error}"
    raise _damage(path, reason)


def has_checksums(run: Path) -> bool:
    """Return whether the weights of a run have checksums, which earlier versions did not write."""
    path = run / WEIGHTS
    with _explain_damage(path), safe_open(path, framework="pt") as stream:
        return "checksums" in (stream.metadata() or {})


def read_tensors(run: Path, prefix: str = "") -> dict[str, Tensor]:
    """Read the weights of a run whose names begin with `prefix`; the others are not read.

    Args:
        run: Folder of the run.
        prefix: Removed from the names that are returned.

    Raises:
        CheckpointError: The weights are damaged.
    """
    path = run / WEIGHTS
    with _explain_damage(path), safe_open(path, framework="pt") as stream:
        tensors = {
            name: stream.get_tensor(name)
            for name in stream.keys()  # noqa: SIM118
            if name.startswith(prefix)
        }
        checksums = (stream.metadata() or {}).get("checksums")
    if checksums is not None:
        found = json.loads(checksums)
        for name, value in tensors.items():
            if found.get(name) != _tensor_checksum(value):
                raise _damage(path, f"tensor `{name}` does not match its checksum")
    return {name.removeprefix(prefix): value for name, value in tensors.items()}


def read_session_tensors(run: Path, session: str) -> dict[str, Tensor]:
    """Read the embeddings of one session, by their names in `SessionEmbeddings`.

    Args:
        run: Folder of the run.
        session: Session key; other keys of the run may begin with it.

    Raises:
        CheckpointError: The weights are damaged.
    """
    tensors = read_tensors(run, f"{TABLES}{session}.")
    # What has a further dot is of a session whose key begins with this one and a dot.
    return {name: value for name, value in tensors.items() if "." not in name}


@contextmanager
def explain_mismatch(run: Path) -> Iterator[None]:
    """Turn PyTorch's error about names or shapes of a run's weights into a CheckpointError."""
    try:
        yield
    except RuntimeError as error:
        first = str(error).strip().splitlines()[-1].strip()
        raise CheckpointError(
            f"{run / WEIGHTS} does not fit the model that it describes: {first}",
            hint="it was written by another omnimouse; use it with that one",
        ) from error


@contextmanager
def _explain_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except SafetensorError as error:
        raise _damage(path, str(error)) from error


def _damage(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: {reason}", hint="copy the run folder again")


def _require_weights(run: Path) -> None:
    if (run / WEIGHTS).is_file():
        return
    if not run.is_dir():
        raise CheckpointError(
            f"{run} is not a run folder: there is no such folder",
            hint="omnimouse runs lists those of runs/; to train one: omnimouse train SHARDS",
        )
    if (run / CONFIG).is_file():
        raise CheckpointError(
            f"{run} has not finished training: it has no {WEIGHTS}",
            hint=f"finish it: omnimouse train --resume {run}",
        )
    within = next((one for one in sorted(run.iterdir()) if is_run(one)), None)
    raise CheckpointError(
        f"{run} is not a run folder: it has neither {WEIGHTS} nor {CONFIG}",
        hint=f"name a run in it, for example {within}"
        if within
        else "name a folder that `omnimouse train` made",
    )


def _parse_description(run: Path, description: Mapping[str, Any]) -> RunDescription:
    try:
        config = config_from_dict(description["config"])
    except ConfigError as error:
        raise CheckpointError(
            f"{run} was trained by another version of omnimouse, with settings that this one does "
            f"not take: {error.message}",
            hint="train it again, or use the omnimouse that wrote it",
        ) from error
    model = replace(config.model, response_loss=description["response_loss"])
    return RunDescription(
        folder=run,
        config=replace(config, model=model),
        sessions=tuple(
            RunSession(
                session=x["session"],
                animal=x["animal"],
                neurons=int(x["neurons"]),
                fingerprint=x.get("fingerprint"),
            )
            for x in description["sessions"]
        ),
        behavior_channels=tuple(description["behavior_channels"]),
        animals=tuple(description["animals"]),
        response_kind=description.get("response_kind"),
        step=None if description["step"] is None else int(description["step"]),
        shards=None if description["shards"] is None else Path(description["shards"]),
    )
