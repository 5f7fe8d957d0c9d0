"""Default folders: recordings/, shards/ and runs/ in the working folder, or of omnimouse.toml."""

import difflib
import tomllib
from datetime import UTC, datetime
from pathlib import Path

from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run import folder as run_folder

SETTINGS = Path("omnimouse.toml")
_DEFAULTS = {"recordings": "recordings", "shards": "shards", "runs": "runs"}


def folder(name: str) -> Path:
    """Return the folder of `recordings`, `shards` or `runs`; omnimouse.toml may name another one.

    Raises:
        OmniMouseError: omnimouse.toml is not TOML, or its value is not a string.
    """
    if not SETTINGS.exists():
        return Path(_DEFAULTS[name])
    try:
        path = tomllib.loads(SETTINGS.read_text()).get("folders", {}).get(name, _DEFAULTS[name])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OmniMouseError(f"{SETTINGS} is not a TOML file: {error}") from error
    if not isinstance(path, str):
        raise OmniMouseError(f"{SETTINGS}: folders.{name} must be a string: {path!r}")
    return Path(path)


def default_recordings() -> list[Path]:
    """Return the folder that holds recordings.

    Raises:
        OmniMouseError: There is none.
    """
    path = folder("recordings")
    if not path.is_dir():
        raise OmniMouseError(
            f"no recording was named and there is no folder {path}/ here",
            hint="name recordings, or simulate some: omnimouse simulate recordings",
        )
    return [path]


def default_shards() -> Path:
    """Return the folder of shards, which need not exist."""
    return folder("shards")


def new_run_folder(model: str) -> Path:
    """Return the folder of a new run, named by time and model; another run may be called so."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return folder("runs") / f"{stamp}-{model}"


def make_new_folder(path: Path) -> Path:
    """Make the folder `path`, or the first of path-2, path-3, ... that does not exist.

    Processes that ask for the same folder at the same time get different ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate, number = path, 1
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")
        else:
            return candidate


def all_runs() -> list[Path]:
    """Return every run of the runs folder, those of sweeps included, oldest first."""
    return sorted(
        run_folder.find_runs(folder("runs")), key=lambda run: (run.stat().st_mtime, run.name)
    )


def newest_finished_run() -> Path:
    """Return the run that finished last; one of a sweep only where there is no other.

    Raises:
        OmniMouseError: No run has finished.
    """
    newest = run_folder.newest_finished_run(folder("runs"))
    if newest is None:
        raise OmniMouseError(
            f"no run was named and there is no finished run in {folder('runs')}/",
            hint="train one first: omnimouse train",
        )
    return newest


def find_run(path: Path, reporter: Reporter) -> Path:
    """Return a path, or the run of that name in the runs folder where nothing is at the path.

    Args:
        path: A run or a folder of runs, or its name as `omnimouse runs` prints it.
        reporter: Is told what a name was taken for.

    Raises:
        CheckpointError: There is neither, and a run has nearly this name; the hint names it.
    """
    found = named_run(path, reporter)
    similar = None if found.exists() else suggest_run(path)
    if similar is not None:
        raise CheckpointError(f"{path} does not exist", hint=similar)
    return found


def named_run(path: Path, reporter: Reporter) -> Path:
    """Return a path, or the run of that name in the runs folder, as `find_run` without its error.

    Args:
        path: A run or a folder of runs, or its name.
        reporter: Is told what a name was taken for.
    """
    if path.exists() or not run_folder.find_runs(folder("runs") / path):
        return path
    reporter.say(f"taking {folder('runs') / path}")
    return folder("runs") / path


def suggest_run(path: Path) -> str | None:
    """Return a hint that names the run most like a path that does not exist; None without one."""
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    runs = [run for run in beside if run_folder.is_run(run)]
    named = {run.name: run for run in (*runs, *run_folder.find_runs(folder("runs")))}
    close = difflib.get_close_matches(path.name, named, n=1)
    return f"did you mean `{named[close[0]]}`?" if close else None
