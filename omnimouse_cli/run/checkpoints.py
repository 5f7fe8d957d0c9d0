"""The checkpoint folders of a run: names, which are complete, which is the newest."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnimouse_cli.errors import DamagedCheckpointError, OmniMouseError
from omnimouse_cli.files import (
    PARTIAL_SUFFIX,
    read_document,
    sync_folder,
    to_json_value,
    write_document,
    write_text,
)
from omnimouse_cli.run.folder import CHECKPOINTS
from omnimouse_cli.shard.checksum import compute_checksum, compute_file_checksum

LATEST = "latest"
STATE = "state.json"
# Fields of state.json that are not covered by its checksum.
_NOT_STATE = ("format", "version", "checksum")
# The index of tensors; files of tensors, one or more for each rank.
METADATA = ".metadata"
DATA_FILE = re.compile(r"__\d+_\d+\.distcp")
NAME = re.compile(r"step-(\d{8,})")


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the folder of the checkpoint at an optimizer step.

    Example:
        >>> checkpoint_folder(Path("run"), 1000).as_posix()
        'run/checkpoints/step-00001000'
    """
    return run / CHECKPOINTS / f"step-{step:08d}"


def step_of(checkpoint: Path) -> int:
    """Return the optimizer step of a checkpoint folder."""
    return int(checkpoint.name.removeprefix("step-"))


def complete_checkpoints(run: Path) -> list[Path]:
    """Return the folders of all complete checkpoints of a run, by step."""
    folder = run / CHECKPOINTS
    if not folder.is_dir():
        return []
    steps = {path: NAME.fullmatch(path.name) for path in folder.iterdir()}
    found = {path: int(match[1]) for path, match in steps.items() if match}
    return sorted((path for path in found if (path / STATE).exists()), key=found.__getitem__)


def latest_checkpoint(run: Path) -> Path | None:
    """Return the checkpoint that `latest` names, else the newest complete one; None if none is."""
    complete = complete_checkpoints(run)
    try:
        named = run / CHECKPOINTS / (run / CHECKPOINTS / LATEST).read_text().strip()
    except FileNotFoundError:
        named = None
    if named in complete:
        return named
    return complete[-1] if complete else None


def partial_checkpoint(checkpoint: Path) -> Path:
    """Return the folder into which a checkpoint is written until it is complete."""
    return checkpoint.with_name(f".{checkpoint.name}{PARTIAL_SUFFIX}")


def clear_partial_checkpoints(run: Path) -> None:
    """Remove what interrupted processes left of checkpoints; make the folder if there is none."""
    folder = run / CHECKPOINTS
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(f".*{PARTIAL_SUFFIX}"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def finish_checkpoint(
    checkpoint: Path, state: Mapping[str, Any], *, keep: int, keep_hours: float | None = None
) -> None:
    """Complete a checkpoint: write state.json, rename the folder, set `latest`, drop old ones.

    Args:
        checkpoint: Its final folder.
        state: Content of state.json, to which a checksum of its own is added.
        keep: Number of the newest checkpoints that stay.
        keep_hours: Of each period of so many hours of training the first checkpoint stays too; None
            keeps none of them.
    """
    partial, folder = partial_checkpoint(checkpoint), checkpoint.parent
    write_document(partial / STATE, "checkpoint", {**state, "checksum": _checksum(state)})
    partial.rename(checkpoint)
    sync_folder(folder)
    write_text(folder / LATEST, checkpoint.name + "\n")
    last_period = None
    for old in complete_checkpoints(folder.parent)[:-keep]:
        period = None if keep_hours is None else _elapsed_hours(old) // keep_hours
        if period == last_period:
            _remove(old)
        last_period = period


def _elapsed_hours(checkpoint: Path) -> float:
    """Return the hours of training until a checkpoint; 0 if its state.json is damaged."""
    try:
        return float(read_checkpoint_state(checkpoint)["elapsed_seconds"]) / 3600
    except (OmniMouseError, KeyError, TypeError, ValueError):
        return 0.0


def _checksum(state: Mapping[str, Any]) -> str:
    """Return the checksum of the content of state.json, which any writer of JSON may have written.

    Args:
        state: Content without the checksum and without `format` and `version`.
    """
    return compute_checksum(json.dumps(to_json_value(state), sort_keys=True).encode())


def read_checkpoint_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state.json of a checkpoint.

    Raises:
        DamagedCheckpointError: The file is missing, is no JSON or does not match its checksum.
        OmniMouseError: It is another document, or of a later version.
    """
    path = checkpoint / STATE
    hint = "remove the folder and resume: the checkpoint before it is used"
    try:
        json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedCheckpointError(
            f"the checkpoint {checkpoint} is damaged: {STATE} cannot be read", hint=hint
        ) from error
    document = read_document(path, "checkpoint")
    state = {key: value for key, value in document.items() if key not in _NOT_STATE}
    # Earlier versions wrote no checksums.
    has_checksum = "checksum" in document or "checksums" in document
    if has_checksum and document.get("checksum") != _checksum(state):
        raise DamagedCheckpointError(
            f"the checkpoint {checkpoint} is damaged: {STATE} does not match its checksum",
            hint=hint,
        )
    return state


def find_damage(
    checkpoint: Path, state: Mapping[str, Any], *, part: int = 0, num_parts: int = 1
) -> str | None:
    """Compare the files of a checkpoint with their checksums.

    Args:
        checkpoint: Folder of the checkpoint, `step-00001000` for example.
        state: Content of state.json; one of an earlier version has no checksums.
        part: Number of the part of the files that is compared.
        num_parts: Number of parts, of which each rank can compare one.

    Returns:
        What is wrong with the first damaged file, as `FILE does not match its checksum`; None if
        nothing is.
    """
    checksums = state.get("checksums", {})
    # A foreign state.json could name other files, such as endless devices.
    if not isinstance(checksums, Mapping) or not all(
        name == METADATA or DATA_FILE.fullmatch(name) for name in checksums
    ):
        return f"{STATE} lacks or misstates `checksums`"
    for name in sorted(checksums)[part::num_parts]:
        try:
            if compute_file_checksum(checkpoint / name) != checksums[name]:
                return f"{name} does not match its checksum"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def damaged_checkpoint(checkpoint: Path) -> Path:
    """Return the folder to which a damaged checkpoint is renamed."""
    return checkpoint.with_name(f"{checkpoint.name}.damaged")


def set_damaged_aside(checkpoint: Path) -> Path | None:
    """Rename a damaged checkpoint, so that it is not used any more; return the one before it.

    Args:
        checkpoint: Folder of the damaged checkpoint; afterwards it is `damaged_checkpoint`.

    Returns:
        The newest complete checkpoint before it. If there is none, None, and nothing is renamed.
    """
    complete = complete_checkpoints(checkpoint.parent.parent)
    earlier = complete[: complete.index(checkpoint)]
    if not earlier:
        return None
    aside = damaged_checkpoint(checkpoint)
    shutil.rmtree(aside, ignore_errors=True)
    checkpoint.rename(aside)
    write_text(checkpoint.with_name(LATEST), earlier[-1].name + "\n")
    return earlier[-1]


def drop_later_checkpoints(run: Path, checkpoint: Path) -> None:
    """Remove the checkpoints of a run after `checkpoint`, from which training goes on."""
    complete = complete_checkpoints(run)
    for path in complete[complete.index(checkpoint) + 1 :]:
        _remove(path)


def _remove(checkpoint: Path) -> None:
    """Remove a checkpoint; if interrupted, nothing is left that looks complete."""
    partial = checkpoint.with_name(f".{checkpoint.name}.old{PARTIAL_SUFFIX}")
    shutil.rmtree(partial, ignore_errors=True)
    checkpoint.rename(partial)
    shutil.rmtree(partial)
