"""The checkpoint folders of a run: names, which are complete, which is the newest."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omnimouse_cli.files import (
    PARTIAL_SUFFIX,
    read_document,
    sync_folder,
    write_document,
    write_text,
)
from omnimouse_cli.run.folder import CHECKPOINTS

LATEST = "latest"
STATE = "state.json"
NAME = re.compile(r"step-(\d{8,})")


def checkpoint_folder(run: Path, step: int) -> Path:
    """Return the folder of the checkpoint at an optimizer step.

    Example:
        >>> checkpoint_folder(Path("run"), 1000).as_posix()
        'run/checkpoints/step-00001000'
    """
    return run / CHECKPOINTS / f"step-{step:08d}"


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


def finish_checkpoint(checkpoint: Path, state: Mapping[str, Any], *, keep: int) -> None:
    """Complete a checkpoint: write state.json, rename the folder, set `latest`, drop old ones.

    Args:
        checkpoint: Its final folder.
        state: Content of state.json.
        keep: Number of the newest checkpoints that stay.
    """
    partial, folder = partial_checkpoint(checkpoint), checkpoint.parent
    write_document(partial / STATE, "checkpoint", state)
    partial.rename(checkpoint)
    sync_folder(folder)
    write_text(folder / LATEST, checkpoint.name + "\n")
    for old in complete_checkpoints(folder.parent)[:-keep]:
        _remove(old)


def read_checkpoint_state(checkpoint: Path) -> dict[str, Any]:
    """Read the state.json of a checkpoint.

    Raises:
        OmniMouseError: The file is missing or damaged.
    """
    return read_document(checkpoint / STATE, "checkpoint")


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
