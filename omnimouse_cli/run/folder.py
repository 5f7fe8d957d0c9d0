"""The folder of a run: names of its files, its lock, configuration, environment and summary."""

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omnimouse_cli.config.load import load_config, to_toml
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import lock, read_document, write_document, write_text
from omnimouse_cli.reporter import Reporter, Silent

CONFIG = "config.toml"
ENVIRONMENT = "environment.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
WEIGHTS = "model.safetensors"
CHECKPOINTS = "checkpoints"
EVALUATIONS = "eval"
# In the folder of an evaluation; the document is written last.
EVAL = "eval.json"
NEURONS = "neurons.npz"
TRACES = "traces.npz"
RESAMPLES = "resamples.npz"
EVALUATE_AGAIN = "evaluate the run again: omnimouse eval RUN"
LOCK = ".lock"

# Packages whose versions environment.json lists.
PACKAGES = ("omnimouse", "torch", "numpy", "safetensors")
_SILENT = Silent()
# Folders that are searched for runs: a whole disk has more.
MAX_FOLDERS = 10_000


def is_run(folder: Path) -> bool:
    """Return whether a folder is a run: begun, finished or imported."""
    return any((folder / name).is_file() for name in (CONFIG, SUMMARY, WEIGHTS))


def is_finished(run: Path) -> bool:
    """Return whether the training of a run has finished."""
    return (run / SUMMARY).exists()


def find_runs(folder: Path) -> list[Path]:
    """Return `folder` if it is a run, else all runs below it, sorted by path.

    Folders inside a run and hidden folders are not searched.

    Raises:
        OmniMouseError: More than 10,000 folders lie below it.
    """
    found, searched, waiting = [], 0, [folder]
    while waiting:
        path = waiting.pop()
        if is_run(path):
            found.append(path)
        elif path.is_dir():
            searched += 1
            if searched > MAX_FOLDERS:
                raise OmniMouseError(
                    f"{folder} has more than {MAX_FOLDERS:,} folders, too many to search for runs",
                    hint="name the run, or the folder of the runs",
                )
            waiting += [one for one in path.iterdir() if not one.name.startswith(".")]
    return sorted(found)


def newest_finished_run(folder: Path) -> Path | None:
    """Return the run below `folder` whose summary was written last; None if none has finished.

    A run of a sweep is only taken where all finished runs are of sweeps.
    """
    finished = [run for run in find_runs(folder) if is_finished(run)]
    finished.sort(key=lambda run: (run / SUMMARY).stat().st_mtime, reverse=True)
    alone = (run for run in finished if not _is_of_sweep(run))
    return next(alone, finished[0] if finished else None)


def _is_of_sweep(run: Path) -> bool:
    """Return whether `omnimouse sweep` began a run, wherever its folder is."""
    try:
        command_line = _read_environment(run).get("command_line")
    except OmniMouseError:
        # What is wrong with it is said where it is used.
        return False
    return isinstance(command_line, list) and command_line[1:2] == ["sweep"]


def newest_unfinished_run(folder: Path) -> Path | None:
    """Return the unfinished run below `folder` that was changed last; None if all have finished."""
    unfinished = [run for run in find_runs(folder) if not is_finished(run)]
    return max(unfinished, key=lambda run: (run.stat().st_mtime, run.name), default=None)


def evaluation_folder(run: Path, name: str) -> Path:
    """Return the folder of the evaluation `name` of a run.

    Raises:
        OmniMouseError: The name is not that of a folder inside `eval/`.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise OmniMouseError(
            f"the name of an evaluation must be that of a single folder: {name!r}",
            hint="for example --name noise; the folder is made in RUN/eval",
        )
    return run / EVALUATIONS / name


@contextmanager
def lock_run(run: Path, reporter: Reporter = _SILENT) -> Iterator[None]:
    """Make the folder of a run and lock it against other processes that train there.

    The lock is released when the process ends, however it ends. A folder that is still empty at
    the end of the block is removed.

    Args:
        run: Folder of the run.
        reporter: Shows a warning if the file system has no locks.

    Raises:
        OmniMouseError: Another process trains in the folder.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK).open("a") as stream:
        try:
            is_locked = lock(stream.fileno(), wait=False)
        except BlockingIOError as error:
            raise _locked(run) from error
        if not is_locked:
            reporter.warn(
                f"the file system of {run} has no locks: do not train in this folder twice at once"
            )
        try:
            yield
        finally:
            if [path.name for path in run.iterdir()] == [LOCK]:
                (run / LOCK).unlink()
                run.rmdir()


def require_unlocked(run: Path) -> None:
    """Raise OmniMouseError if another process trains in the folder of a run; writes nothing."""
    if (run / LOCK).exists() and is_locked(run):
        raise _locked(run)


def _locked(run: Path) -> OmniMouseError:
    return OmniMouseError(
        f"{run} is being trained by another process",
        hint="wait until it has ended, or train in another folder with --out",
    )


def is_locked(run: Path) -> bool:
    """Return whether another process trains in the folder of a run; nothing is written."""
    path = run / LOCK
    try:
        # On NFS only files that are open for writing can be locked; a run may be someone else's.
        with path.open("r+b" if os.access(path, os.W_OK) else "rb") as stream:
            lock(stream.fileno(), wait=False)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def write_config(run: Path, config: RunConfig) -> None:
    """Write the resolved configuration of a run."""
    write_text(run / CONFIG, to_toml(config))


def read_config(
    run: Path,
    sets: Sequence[str] = (),
    size: str | None = None,
    *,
    reporter: Reporter = _SILENT,
) -> RunConfig:
    """Read the configuration of a run.

    Args:
        run: Folder of the run.
        sets: Texts `section.key=value` that replace single values.
        size: Name of a model size that replaces the run's.
        reporter: Shows the present names of old keys in `sets`.

    Raises:
        ConfigError: The file is missing or damaged, or has an unknown key or value.
    """
    return load_config(run / CONFIG, sets, size, is_stored=True, reporter=reporter)


def write_summary(run: Path, content: Mapping[str, Any]) -> None:
    """Write summary.json, which marks the training as finished.

    Args:
        run: Folder of the run.
        content: Fields as in the output contract.
    """
    write_document(run / SUMMARY, "summary", content)


def read_summary(run: Path) -> dict[str, Any]:
    """Read summary.json.

    Raises:
        OmniMouseError: The run has not finished, or the file is damaged.
    """
    summary = read_document(run / SUMMARY, "summary")
    seen, unique = summary.get("tokens_seen"), summary.get("unique_tokens")
    if type(seen) is int and type(unique) is int and unique > 0:
        # In runs of earlier versions an epoch was every window once.
        summary["epochs"] = seen / unique
    return summary


def remove_summary(run: Path) -> None:
    """Remove summary.json: the training goes on."""
    (run / SUMMARY).unlink(missing_ok=True)


def write_environment(
    run: Path,
    *,
    device: str | None,
    num_ranks: int,
    seed: int | None,
    shards: Path | None,
    command_line: Sequence[str],
    imported_from: Mapping[str, Any] | None = None,
) -> None:
    """Write versions, platform and arguments of a training; a resumed one is appended.

    Args:
        run: Folder of the run.
        device: Name of the device, the same on every machine that has one; None if unknown.
        num_ranks: Processes that train together.
        seed: Seed of the run; None if unknown.
        shards: Folder of shards that the run is trained on; None if unknown.
        command_line: Arguments of the process.
        imported_from: Facts about the foreign checkpoint that the weights come from, if any.
    """
    facts = {
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in PACKAGES},
        },
        "platform": f"{platform.system()} {platform.machine()}",
        "commit": find_commit(Path(__file__).resolve()),
        "command_line": list(command_line),
        "device": device,
        "num_ranks": num_ranks,
        "seed": seed,
        "shards": None if shards is None else str(shards.resolve()),
        # A requeued job finds its run by this number.
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }
    path = run / ENVIRONMENT
    if path.exists():
        content = _read_environment(run)
        content["resumes"].append(facts)
    else:
        content = {**facts, "resumes": []}
        if imported_from is not None:
            content["imported_from"] = imported_from
    write_document(path, "environment", content)


def _read_environment(run: Path) -> dict[str, Any]:
    path = run / ENVIRONMENT
    content = read_document(path, "environment")
    resumes = content.get("resumes")
    if not isinstance(resumes, list) or not all(isinstance(facts, dict) for facts in resumes):
        raise OmniMouseError(
            f"{path} is damaged: `resumes` must be a list of objects",
            hint='copy it again; `"resumes": []` stands for none',
        )
    return content


def find_run_of_job(runs: Iterable[Path], job_id: str, command_line: Sequence[str]) -> Path | None:
    """Return the first run that a Slurm job has trained and none trains now; None without one.

    Args:
        runs: Folders of runs.
        job_id: Number of the job, the same after it was requeued.
        command_line: Arguments of the process; a job may train several runs.
    """
    wanted = (job_id, list(command_line))
    for run in runs:
        try:
            environment = _read_environment(run)
        except OmniMouseError:
            # Of another job: this one has written its own, which appears whole or not at all.
            continue
        trainings = (environment, *environment["resumes"])
        found = [(facts.get("slurm_job_id"), facts.get("command_line")) for facts in trainings]
        if wanted in found and not is_locked(run):
            return run
    return None


def read_shards_folder(run: Path) -> Path:
    """Return the folder of shards that a run was last trained on.

    Raises:
        OmniMouseError: The folder is not a run, or its weights were imported without shards.
    """
    environment = _read_environment(run)
    shards = [environment, *environment["resumes"]][-1].get("shards")
    if not isinstance(shards, str):
        raise OmniMouseError(
            f"{run} does not name its shards: its weights were imported without",
            hint="name the folder with the shards of its sessions",
        )
    return Path(shards)


def find_commit(file: Path) -> str | None:
    """Return the Git commit of a source file; None if it is not in a repository."""
    git = ["git", "-C", os.fspath(file.parent)]
    try:
        # An installed package may lie in the folder of a repository without belonging to it.
        for command in (["ls-files", "--error-unmatch", file.name], ["rev-parse", "HEAD"]):
            answer = subprocess.run([*git, *command], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()
