"""What the files of a run say of it, for lists of runs."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.stored import find_evaluations
from omnimouse_cli.files import read_document
from omnimouse_cli.report.curves import read_curves
from omnimouse_cli.run.checkpoints import complete_checkpoints, read_checkpoint_state
from omnimouse_cli.run.folder import (
    METRICS,
    is_finished,
    read_config,
    read_summary,
)
from omnimouse_cli.run.labels import read_labels
from omnimouse_cli.run.metrics_log import read_metrics

# The masking strategy whose score a list shows, where a run has it.
PREFERRED = "predict"
# The scores that a list shows: of the model, over all sessions.
SHOWN = {
    "predictor": "model",
    "session": "overall",
    "target": "neurons",
    "metric": "single_trial_correlation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """One run of a list.

    Args:
        run: Name of the run: its path below the folder that is listed.
        path: Folder of the run.
        state: `finished` or `unfinished`.
        model: Name of the model size.
        seed: Seed of the run.
        step: Optimizer steps; None before the first checkpoint.
        sessions: Number of sessions; None where no file says.
        animals: Number of animals; None where no file says.
        validation: Neural loss of the last validation; None without one.
        checkpoints: Number of complete checkpoints.
        evaluations: Names of its evaluations, the newest last.
        scores: Of the newest evaluation: the single-trial correlation of the model over all
            sessions, by masking strategy.
        shown: The score that a table shows, as `(evaluation, strategy, value)`: of `predict` in the
            newest evaluation that has it, else of the first strategy of the newest evaluation.
        bytes: Size of all files.
        tags: Tags that the user gave it.
        note: Note of the user; empty without one.
        problems: Files that could not be read, each as a sentence.
    """

    run: str
    path: Path
    state: str
    model: str
    seed: int
    step: int | None
    sessions: int | None
    animals: int | None
    validation: float | None
    checkpoints: int
    evaluations: tuple[str, ...]
    scores: Mapping[str, float | None]
    shown: tuple[str, str, float] | None
    bytes: int
    tags: tuple[str, ...]
    note: str
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON; `neural_loss` is another name of `validation`."""
        return {
            **asdict(self),
            "finished": self.state == "finished",
            "neural_loss": self.validation,
        }


def describe_run(run: Path, name: str) -> RunEntry:
    """Read what the files of a run say of it.

    Args:
        run: Folder of the run.
        name: Its name in the list.

    Raises:
        OmniMouseError: Configuration, summary or labels are damaged.
    """
    config, labels = read_config(run), read_labels(run)
    summary = read_summary(run) if is_finished(run) else {}
    problems: list[str] = []
    checkpoints = complete_checkpoints(run)
    checkpoint: dict[str, Any] = {}
    validation = summary.get("validation", {}).get("neural_loss")
    if not summary and checkpoints:
        checkpoint = _read(lambda: read_checkpoint_state(checkpoints[-1]), problems)
    if not summary and (run / METRICS).exists():
        validation = _read(lambda: _last_validation(run), problems).get("neural_loss")
    sessions = checkpoint.get("sessions")
    scores = {
        path.parent.name: _read(lambda path=path: _scores(path), problems)  # type: ignore[misc]
        for path in find_evaluations(run)
    }
    return RunEntry(
        run=name,
        path=run,
        state="finished" if summary else "unfinished",
        model=config.model.size,
        seed=config.seed,
        step=summary.get("steps", checkpoint.get("step")),
        sessions=summary.get("sessions", len(sessions) if isinstance(sessions, dict) else None),
        animals=summary.get("animals"),
        validation=validation,
        checkpoints=len(checkpoints),
        evaluations=tuple(scores),
        scores=next(reversed(scores.values()), {}),
        shown=_shown(scores),
        bytes=folder_bytes(run),
        tags=labels.tags,
        note=labels.note,
        problems=tuple(problems),
    )


def folder_bytes(folder: Path) -> int:
    """Return the size of all files below a folder; files that vanish meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(parent) / name).st_size
            except FileNotFoundError:
                continue
    return total


def _read(read: Callable[[], dict[str, Any]], problems: list[str]) -> dict[str, Any]:
    """Return what a function reads; {} where a file is damaged, which is added to `problems`."""
    try:
        return read()
    except OmniMouseError as error:
        problems.append(error.message)
        return {}


def _last_validation(run: Path) -> dict[str, Any]:
    if not read_metrics(run):
        return {}
    validation = read_curves(run).validation.get("neural")
    return {} if validation is None else {"neural_loss": float(validation.loss[-1])}


def _shown(scores: Mapping[str, Mapping[str, float | None]]) -> tuple[str, str, float] | None:
    """Return evaluation, strategy and value of the score that a table shows."""
    known = [
        (name, strategy, value)
        for name, of_strategies in reversed(list(scores.items()))
        for strategy, value in of_strategies.items()
        if value is not None
    ]
    preferred = [one for one in known if one[1] == PREFERRED]
    return next(iter((*preferred, *known)), None)


def _scores(document: Path) -> dict[str, Any]:
    records = read_document(document, "eval").get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise OmniMouseError(f"{document} is damaged: `records` must be a list of objects")
    return {
        str(record.get("strategy")): record.get("value")
        for record in records
        if all(record.get(name) == value for name, value in SHOWN.items())
    }
