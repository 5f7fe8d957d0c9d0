"""Where things are when no path is given: recordings/, shards/ and runs/ of the working folder."""

import tomllib
from datetime import UTC, datetime
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.run import folder as run_folder

SETTINGS = Path("omnimouse.toml")
_DEFAULTS = {"recordings": "recordings", "shards": "shards", "runs": "runs"}


def folder(name: str) -> Path:
    """Give the folder of `recordings`, `shards` or `runs`; omnimouse.toml may name another place.

    Raises:
        OmniMouseError: omnimouse.toml is no TOML file or gives no text.
    """
    if not SETTINGS.exists():
        return Path(_DEFAULTS[name])
    try:
        place = tomllib.loads(SETTINGS.read_text()).get("folders", {}).get(name, _DEFAULTS[name])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OmniMouseError(f"{SETTINGS} is not a TOML file: {error}") from error
    if not isinstance(place, str):
        raise OmniMouseError(f"{SETTINGS}: folders.{name} must be a text: {place!r}")
    return Path(place)


def default_recordings() -> list[Path]:
    """Give the folder that holds recordings.

    Raises:
        OmniMouseError: There is none.
    """
    place = folder("recordings")
    if not place.is_dir():
        raise OmniMouseError(
            f"no recording was named and there is no folder {place}/ here",
            hint="name recordings, or make some with: omnimouse simulate recordings",
        )
    return [place]


def default_shards() -> Path:
    """Give the folder of shards; whether it is there is for its reader to say."""
    return folder("shards")


def new_run_folder(model: str) -> Path:
    """Give a run folder that does not exist yet, named by time and model."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return free_name(folder("runs") / f"{stamp}-{model}")


def free_name(wanted: Path) -> Path:
    """Give `wanted`, or the first of wanted-2, wanted-3, ... that does not exist."""
    candidate, number = wanted, 1
    while candidate.exists():
        number += 1
        candidate = wanted.with_name(f"{wanted.name}-{number}")
    return candidate


def all_runs() -> list[Path]:
    """Give every run of the runs folder, also of sweeps in it, oldest first."""
    return sorted(
        run_folder.find_runs(folder("runs")), key=lambda run: (run.stat().st_mtime, run.name)
    )


def newest_finished_run() -> Path:
    """Give the run whose summary was written last.

    Raises:
        OmniMouseError: No run has finished.
    """
    newest = run_folder.newest_finished_run(folder("runs"))
    if newest is None:
        raise OmniMouseError(
            f"no run was named and none has finished in {folder('runs')}/",
            hint="train one first: omnimouse train",
        )
    return newest
