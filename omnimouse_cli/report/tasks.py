"""A law per task: the joint law of each kind of validation loss, beside that of their mean."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from omnimouse_cli.evaluation.records import LOSS, MODEL, NEURONS, OVERALL
from omnimouse_cli.report.law import JointLaw, fit_joint_law
from omnimouse_cli.report.table import RunRow
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

STIMULUS = "stimulus"
# The mean over all channels of behavior; a channel has its name behind it.
BEHAVIOR = "behavior"
# Regimes that are validated with and without the stimulus.
WITH_AND_WITHOUT = ("forecast", "population")
MAX_RESAMPLES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLaw:
    """The joint law of one task.

    Args:
        task: Name of the task.
        rows: The runs, with the loss of the task.
        law: Joint law; None when the runs do not determine one.
        reasons: Why there is none.
    """

    task: str
    rows: tuple[RunRow, ...]
    law: JointLaw | None
    reasons: tuple[str, ...]


def read_tasks(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the loss of each task: the mean over its masking strategies.

    Args:
        records: Validation records of a run's summary.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for record in records:
        value = record.get("value")
        # Losses of baselines stand beside those of the model.
        kind = (record.get("session"), record.get("metric"), record.get("predictor", MODEL))
        if kind == (OVERALL, LOSS, MODEL) and isinstance(value, int | float):
            found[_name_task(record)].append(float(value))
    return {name: sum(values) / len(values) for name, values in found.items()}


def _name_task(record: Mapping[str, Any]) -> str:
    regime, target = str(record.get("regime")), str(record.get("target"))
    if target == BEHAVIOR:
        return target
    if target != NEURONS:
        return f"{BEHAVIOR}: {target}"
    if regime not in WITH_AND_WITHOUT:
        return regime
    word = "with" if STIMULUS in (record.get("inputs") or ()) else "without"
    return f"{regime} {word} stimulus"


def fit_tasks(
    rows: Sequence[RunRow], *, num_resamples: int, seed: int, reporter: Reporter
) -> tuple[TaskLaw, ...]:
    """Fit the joint law to the loss of each task that all runs have.

    Args:
        rows: The runs.
        num_resamples: Number of resamples; 200 at most are used.
        seed: Seed of starts and resamples.
        reporter: Receives progress.
    """
    names = dict.fromkeys(name for row in rows for name in (row.tasks or {}))
    return tuple(
        _fit_task(name, rows, min(num_resamples, MAX_RESAMPLES), seed, reporter) for name in names
    )


def _fit_task(
    name: str, rows: Sequence[RunRow], num_resamples: int, seed: int, reporter: Reporter
) -> TaskLaw:
    losses = [(row.tasks or {}).get(name) for row in rows]
    num_missing = sum(loss is None for loss in losses)
    num_negative = sum(loss is not None and loss <= 0 for loss in losses)
    if num_missing or num_negative:
        missing = [f"{pluralize(num_missing, 'run')} did not validate it"] if num_missing else []
        if num_negative:
            missing.append(f"its loss is not above zero in {pluralize(num_negative, 'run')}")
        return TaskLaw(task=name, rows=(), law=None, reasons=tuple(missing))
    of_task = tuple(
        replace(row, loss=loss) for row, loss in zip(rows, losses, strict=True) if loss is not None
    )
    law, refusals = fit_joint_law(
        of_task, num_resamples=num_resamples, seed=seed, reporter=reporter
    )
    return TaskLaw(task=name, rows=of_task, law=law, reasons=tuple(refusals))
