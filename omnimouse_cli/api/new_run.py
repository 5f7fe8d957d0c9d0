"""Folders of new runs: what may become one, and what stands where none can be made."""

from pathlib import Path

from omnimouse_cli.api.folders import folder, new_run_folder
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import PARTIAL_SUFFIX
from omnimouse_cli.recording.open import is_recording
from omnimouse_cli.run.checkpoints import complete_checkpoints, step_of
from omnimouse_cli.run.folder import (
    ENVIRONMENT,
    LOCK,
    is_finished,
    is_locked,
    is_run,
    read_summary,
)
from omnimouse_cli.shard.catalogue import is_shards_folder
from omnimouse_cli.text import pluralize

# What a training writes before its folder is a run.
_BEFORE_A_RUN = (LOCK, ENVIRONMENT)
SHARDS_FOLDER = "a folder of shards"
_IN_TRAINING = "a run that another process is training"
_NEVER_AROUND = (is_run, is_shards_folder, is_recording)


def new_run(out: Path | None, size: str) -> Path:
    """Return the folder of a new run; nothing is written.

    Args:
        out: The folder that the user has named; None takes a name of time and model size.
        size: Model size.

    Raises:
        OmniMouseError: The folder that the user has named exists and is not empty, or the folder
            would lie inside a folder of data or a run.
    """
    run = new_run_folder(size) if out is None else out
    _require_no_data_around(run)
    if out is None or not out.exists() or _is_unused(out):
        return run
    what = describe_folder(out)
    hint = "name another folder with --out, or leave --out out: a new folder in runs/ is made"
    if what == _IN_TRAINING:
        hint = "wait until it has ended, or name another folder with --out"
    elif is_run(out):
        hint = f"continue it with: omnimouse train --resume {out}; or name another folder"
    raise OmniMouseError(f"{out} exists already: it is {what}", hint=hint)


def describe_folder(path: Path) -> str:
    """Return what stands at a path, as `a finished run of 300 steps`."""
    if not path.is_dir():
        return "a file"
    if is_run(path) and not is_locked(path):
        return _describe_run(path)
    kinds = (
        (is_locked, _IN_TRAINING),
        (is_shards_folder, SHARDS_FOLDER),
        (is_recording, "a recording"),
        (_holds_only_recordings, "a folder of recordings"),
        (_holds_something, "a folder with other files"),
    )
    return next((text for is_one, text in kinds if is_one(path)), "an empty folder")


def _describe_run(run: Path) -> str:
    if not is_finished(run):
        checkpoints = complete_checkpoints(run)
        return f"an unfinished run at step {step_of(checkpoints[-1]) if checkpoints else 0}"
    try:
        steps = read_summary(run).get("steps")
    except OmniMouseError:
        # What is wrong with it is said where it is used.
        steps = None
    return f"a finished run of {pluralize(steps, 'step')}" if steps else "a finished run"


def _is_unused(path: Path) -> bool:
    """Return whether a folder is empty but for what a training leaves that has not begun."""
    return (
        path.is_dir()
        and not is_locked(path)
        and all(
            item.name in _BEFORE_A_RUN or item.name.endswith(PARTIAL_SUFFIX)
            for item in path.iterdir()
        )
    )


def _require_no_data_around(run: Path) -> None:
    """Refuse a folder that would lie inside a recording, a folder of data, or another run.

    What lies above the working folder is not looked at, unless the run would lie right in it.
    """
    places = {folder(name).resolve(): name for name in ("recordings", "shards")}
    nearest, *farther = (path for path in run.resolve().parents if path.is_dir())
    above = Path.cwd().parents
    for path in (nearest, *(path for path in farther if path not in above)):
        what = f"the folder of {places[path]}" if path in places else None
        # Farther folders hold the path itself, which is no recording.
        is_all_recordings = path == nearest and _holds_only_recordings(path)
        if is_all_recordings or any(is_one(path) for is_one in _NEVER_AROUND):
            what = describe_folder(path)
        if what is not None:
            raise OmniMouseError(
                f"a run cannot be begun in {run}: {path} is {what}",
                hint="name a folder outside of it with --out",
            )


def _holds_only_recordings(path: Path) -> bool:
    found = [item for item in path.iterdir() if not item.name.startswith(".")]
    return bool(found) and all(is_recording(item) for item in found)


def _holds_something(path: Path) -> bool:
    return any(path.iterdir())
