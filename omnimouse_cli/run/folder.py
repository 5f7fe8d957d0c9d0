"""The files of a run's folder: configuration, environment, summary, and the lock on it."""

import fcntl
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from omnimouse_cli.config.load import to_toml
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document, write_document, write_text

CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
SUMMARY = "summary.json"
LOCK = ".lock"
VERSIONS = ("omnimouse", "torch", "numpy", "safetensors")


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Be the only one who trains in a folder; the lock goes when the process does.

    A folder in which nothing came about is taken away again.

    Raises:
        OmniMouseError: Somebody else trains there.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK).open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OmniMouseError(
                f"{run} is being trained by another process",
                hint="wait until it has ended, or train in another folder with --out",
            ) from error
        try:
            yield
        finally:
            if [path.name for path in run.iterdir()] == [LOCK]:
                (run / LOCK).unlink()
                run.rmdir()


def write_config(run: Path, config: RunConfig) -> None:
    """Write the complete configuration."""
    write_text(run / CONFIG, to_toml(config))


def write_environment(
    run: Path,
    *,
    device: str,
    num_ranks: int,
    seed: int,
    shards: Path,
    command_line: Sequence[str],
) -> None:
    """Write what a run was made with; a resumed run adds what it went on with.

    Args:
        run: The run's folder.
        device: From `device_name`.
        num_ranks: Processes that train together.
        seed: Seed of the run.
        shards: Folder of the shards that are trained on.
        command_line: As the user typed it.
    """
    facts = {
        **made_with(command_line),
        "device": device,
        "num_ranks": num_ranks,
        "seed": seed,
        "shards": str(shards.resolve()),
    }
    path = run / ENVIRONMENT
    if path.exists():
        before = read_document(path, "environment")
        write_document(path, "environment", {**before, "resumes": [*before["resumes"], facts]})
    else:
        write_document(path, "environment", {**facts, "resumes": []})


def made_with(command_line: Sequence[str]) -> dict[str, Any]:
    """Give versions, platform and commit of this omnimouse, and what was asked of it."""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in VERSIONS},
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "commit": commit(),
        "command_line": list(command_line),
    }


def shards_of(run: Path) -> Path:
    """Give the shards that a run was last trained on.

    Raises:
        OmniMouseError: The folder is no run, or its weights were imported without shards.
    """
    environment = read_document(run / ENVIRONMENT, "environment")
    shards = [environment, *environment["resumes"]][-1]["shards"]
    if shards is None:
        raise OmniMouseError(
            f"{run} does not know its shards: its weights were imported without",
            hint="name the folder with the shards of its sessions",
        )
    return Path(shards)


def device_name(device: torch.device) -> str:
    """Name a device in a way that is the same on every machine that has one."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def commit() -> str | None:
    """Give the commit of omnimouse's own source; None when it was installed without one."""
    source = Path(__file__).resolve().parent
    try:
        answer = subprocess.run(
            ["git", "-C", os.fspath(source), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def write_summary(run: Path, content: Mapping[str, Any]) -> None:
    """Write what a finished run was; its presence says that training has finished."""
    write_document(run / SUMMARY, "summary", content)


def is_finished(run: Path) -> bool:
    """Whether a run has finished."""
    return (run / SUMMARY).exists()
