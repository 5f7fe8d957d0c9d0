"""What the files of a run say, for its page: data, training, curves, evaluations, environment."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import read_document
from omnimouse_cli.report.curves import LearningCurves, read_curves
from omnimouse_cli.report.evaluations import StoredEvaluation, read_evaluations
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import (
    CONFIG,
    ENVIRONMENT,
    METRICS,
    SUMMARY,
    is_finished,
    is_run,
    read_summary,
)
from omnimouse_cli.run.labels import Labels, read_labels

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunFiles:
    """What the files of a run say of it.

    Args:
        folder: Folder of the run.
        name: Name of the run on the page.
        config: Text of config.toml; empty where it is missing.
        environment: Content of environment.json; empty where it is missing.
        summary: Content of summary.json; empty before the training has finished.
        labels: Tags and note of the user.
        curves: Losses in the course of the training; None where none were logged.
        evaluations: All evaluations, sorted by name.
    """

    folder: Path
    name: str
    config: str
    environment: Mapping[str, Any]
    summary: Mapping[str, Any]
    labels: Labels
    curves: LearningCurves | None
    evaluations: tuple[StoredEvaluation, ...]

    @property
    def data(self) -> list[Mapping[str, Any]]:
        """The sessions that the run was trained on; empty where no file lists them."""
        sessions = self.summary.get("data")
        if not isinstance(sessions, list):
            return []
        return [session for session in sessions if isinstance(session, dict)]


def read_runs(folders: Sequence[Path], reporter: Reporter) -> list[RunFiles]:
    """Read the files of runs; a damaged file is left out.

    Args:
        folders: Folders of the runs.
        reporter: Receives a warning about each file that is left out.

    Raises:
        OmniMouseError: A folder is not a run.
    """
    paths = [folder.resolve() for folder in folders]
    names = [path.name for path in paths]
    # Runs of the same name, as those of several sweeps, also get their parents' names.
    unique = [
        name if names.count(name) == 1 else "/".join(path.parts[-2:])
        for name, path in zip(names, paths, strict=True)
    ]
    return [_read_run(*named, reporter) for named in zip(folders, unique, strict=True)]


def _read_run(folder: Path, name: str, reporter: Reporter) -> RunFiles:
    if not is_run(folder):
        raise OmniMouseError(
            f"{folder} is not a run",
            hint="name a folder that `omnimouse train` made; omnimouse runs lists them",
        )

    def read(what: Callable[[], Value], default: Value) -> Value:
        try:
            return what()
        except OmniMouseError as error:
            reporter.warn(f"left out of the page: {error.message}")
            return default

    environment = folder / ENVIRONMENT
    return RunFiles(
        folder=folder,
        name=name,
        config=_read_text(folder / CONFIG),
        environment=read(lambda: read_document(environment, "environment"), {})
        if environment.exists()
        else {},
        summary=read(lambda: read_summary(folder), {}) if is_finished(folder) else {},
        labels=read(lambda: read_labels(folder), Labels()),
        curves=read(lambda: read_curves(folder), None) if (folder / METRICS).exists() else None,
        evaluations=tuple(read_evaluations(folder, name, reporter)),
    )


def _read_text(path: Path) -> str:
    """Return the text of a file, what is no UTF-8 replaced; empty where it does not exist."""
    return path.read_text(errors="replace") if path.exists() else ""


def describe_missing(run: RunFiles) -> str | None:
    """Return why the sessions of a run are not listed; None if they are."""
    if run.data:
        return None
    if not run.summary:
        return f"{run.name} has not finished: {SUMMARY} will list its sessions"
    return f"{run.name} was trained by a version that did not list its sessions in {SUMMARY}"
