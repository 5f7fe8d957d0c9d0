"""Learning curves of runs, read from metrics.jsonl: losses of training steps and validations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.evaluation.records import OVERALL
from omnimouse_cli.run.folder import METRICS, is_run, read_config
from omnimouse_cli.run.metrics_log import read_metrics

F64 = NDArray[np.float64]
Target = Literal["neural", "behavior"]
Axis = Literal["step", "epoch", "windows", "tokens"]
# Returns the loss of a line of metrics.jsonl, whatever the line holds; None where it has none.
LossOf = Callable[[Mapping[str, Any]], Any]
TARGETS: tuple[Target, ...] = get_args(Target)
AXES: tuple[Axis, ...] = get_args(Axis)
# The records of a validation that are drawn: over all sessions.
# Names of the targets in the records of a validation.
RECORD_TARGETS: dict[Target, str] = {"neural": "neurons", "behavior": "behavior"}
# Training losses are means over this share of the steps that are shown.
SMOOTHING_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A loss in the course of a training.

    Args:
        progress: float64 `(points,)` for each axis: optimizer steps, passes over the data, windows,
            tokens.
        loss: float64 `(points,)`.
    """

    progress: Mapping[Axis, F64]
    loss: F64

    def __len__(self) -> int:
        """Return the number of points."""
        return len(self.loss)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearningCurves:
    """The losses of one run.

    Args:
        run: Folder of the run.
        response_loss: `poisson`, `gaussian` or `gamma`: what the neural loss is.
        training: Loss of each logged step, by target; a step has no point for a target that its
            masking strategy does not predict.
        validation: Mean loss over the masking strategies of each validation, by target, over all
            sessions.
        by_strategy: Loss of each masking strategy in each validation, by target and strategy.
        shortcuts_until: Last logged step in which the shortcuts were trained alone; None without.
    """

    run: Path
    response_loss: str
    training: Mapping[Target, Curve]
    validation: Mapping[Target, Curve]
    by_strategy: Mapping[Target, Mapping[str, Curve]]
    shortcuts_until: int | None

    @property
    def last_step(self) -> int:
        """The last step that has a loss."""
        curves = (*self.training.values(), *self.validation.values())
        return int(max(curve.progress["step"][-1] for curve in curves if len(curve)))


def read_curves(run: Path) -> LearningCurves:
    """Read the learning curves of a run, finished or not.

    Raises:
        OmniMouseError: The folder is not a run, has logged no loss, or its log is damaged before
            its last line.
    """
    if not is_run(run):
        raise OmniMouseError(
            f"{run} is not a run",
            hint="name a folder that `omnimouse train` made; omnimouse runs lists them",
        )
    lines = read_metrics(run)
    steps = [line for line in lines if "validation" not in line]
    records = [line for line in lines if isinstance(line.get("validation"), dict)]
    training = {target: _curve(steps, _training_loss(target)) for target in TARGETS}
    by_strategy = {target: _by_strategy(records, target) for target in TARGETS}
    validation = {
        target: _mean(list(of_strategies.values()))
        for target, of_strategies in by_strategy.items()
        if of_strategies
    }
    curves = LearningCurves(
        run=run,
        response_loss=read_config(run).model.response_loss or "unknown",
        training={target: curve for target, curve in training.items() if len(curve)},
        validation={target: curve for target, curve in validation.items() if len(curve)},
        by_strategy=by_strategy,
        shortcuts_until=max(
            (line["step"] for line in steps if line.get("shortcuts_only") is True), default=None
        ),
    )
    if not curves.training and not curves.validation:
        raise OmniMouseError(
            f"{run / METRICS} has no loss yet: no step was logged",
            hint="imported weights have no learning curve; a training logs its first step",
        )
    return curves


def smooth(curve: Curve) -> Curve:
    """Return the running mean over the last twentieth of a curve.

    The losses of single steps differ by their masking strategy more than by what was learned.

    Example:
        >>> steps = np.arange(1.0, 41.0)
        >>> smooth(Curve(progress={"step": steps}, loss=np.arange(40.0))).loss[:3].tolist()
        [0.0, 0.5, 1.5]
    """
    width = max(1, round(SMOOTHING_SHARE * len(curve)))
    total = np.concatenate([[0.0], np.cumsum(curve.loss)])
    last = np.arange(1, len(curve) + 1)
    first = np.maximum(last - width, 0)
    return Curve(progress=curve.progress, loss=(total[last] - total[first]) / (last - first))


def _training_loss(target: Target) -> LossOf:
    def loss(line: Mapping[str, Any]) -> object:
        losses = line.get("losses")
        return losses.get(target) if isinstance(losses, dict) else None

    return loss


def _by_strategy(lines: Sequence[Mapping[str, Any]], target: Target) -> dict[str, Curve]:
    chosen: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        record = line["validation"]
        is_model = record.get("predictor", "model") == "model"
        is_loss = record.get("metric", "loss") == "loss"
        found = (record.get("session"), record.get("target"))
        if is_model and is_loss and found == (OVERALL, RECORD_TARGETS[target]):
            chosen.setdefault(str(record.get("strategy")), []).append(line)
    curves = {
        name: _curve(of_strategy, lambda line: line["validation"].get("value"))
        for name, of_strategy in chosen.items()
    }
    return {name: curve for name, curve in curves.items() if len(curve)}


def _mean(curves: Sequence[Curve]) -> Curve:
    """Return the mean of curves at the steps that all of them have."""
    steps = [curve.progress["step"] for curve in curves]
    shared = steps[0][[all(step in other for other in steps) for step in steps[0]]]
    positions = [np.searchsorted(of_curve, shared) for of_curve in steps]
    losses = [curve.loss[at] for curve, at in zip(curves, positions, strict=True)]
    return Curve(
        progress={axis: values[positions[0]] for axis, values in curves[0].progress.items()},
        loss=np.mean(losses, axis=0),
    )


def _curve(lines: Sequence[Mapping[str, Any]], loss_of: LossOf) -> Curve:
    """Return the curve of the lines that have a loss; of lines of one step the last counts."""
    points: dict[float, list[float]] = {}
    for line in lines:
        values = [*(line.get(axis) for axis in AXES), loss_of(line)]
        if all(type(value) in (int, float) for value in values):
            points[values[0]] = values
    table = np.array([points[step] for step in sorted(points)], np.float64).reshape(-1, 5)
    progress: dict[Axis, F64] = {axis: table[:, number] for number, axis in enumerate(AXES)}
    return Curve(progress=progress, loss=table[:, -1])
