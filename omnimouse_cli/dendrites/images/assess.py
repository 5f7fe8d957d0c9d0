"""From results of a comparison to rows and summaries: one per seed, one per competitor."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.dendrites.images.activation import DENDRITIC, RELU
from omnimouse_cli.dendrites.images.competitor import CURVES, Competitor, Result
from omnimouse_cli.dendrites.images.folder import Comparison
from omnimouse_cli.dendrites.images.plan import NetworkKind
from omnimouse_cli.dendrites.images.robustness import KIND
from omnimouse_cli.dendrites.intervals import Interval, jackknife_interval, mean_interval
from omnimouse_cli.evaluate.robustness.corruption import CORRUPTIONS
from omnimouse_cli.files import read_document

F64 = NDArray[np.float64]
# Learning speed: epochs until validation accuracy is this near to the best of the ReLU control.
THRESHOLD_MARGIN = 0.01
SHARE = (0.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Score:
    """A competitor's numbers, one per seed.

    Args:
        result: What was trained.
        robustness: What corruptions and attacks did; None where they were not tried.
        threshold: Validation accuracy that counts as learned.
        epochs: float64 `(seeds,)`: until then; one more than all epochs where never.
    """

    result: Result
    robustness: Mapping[str, Any] | None
    threshold: float
    epochs: F64

    @property
    def accuracy(self) -> F64:
        """On test images, float64 `(seeds,)`."""
        return np.asarray(self.result.fields["accuracy"], np.float64)

    @property
    def most_epochs(self) -> int:
        """Epochs of the training."""
        return int(self.result.arrays[f"{CURVES}accuracy"].shape[1])

    @property
    def attacked_accuracy(self) -> F64 | None:
        """Under all attacks of the budget, float64 `(seeds,)`."""
        if self.robustness is None:
            return None
        return np.asarray(self.robustness["attacks"]["accuracy"], np.float64)


Scores = dict[NetworkKind, dict[str, Score]]


def scores_of(comparison: Comparison) -> Scores:
    """Read every competitor of a comparison."""
    scores: Scores = {}
    for network in comparison.settings.networks:
        results = {
            name: comparison.result(Competitor(network=network, activation=name))
            for name in comparison.settings.activations
        }
        threshold = _threshold(results)
        scores[network] = {
            name: Score(
                result=result,
                robustness=_robustness(comparison, result.competitor),
                threshold=threshold,
                epochs=epochs_until(_curve(result), threshold),
            )
            for name, result in results.items()
        }
    return scores


def _robustness(comparison: Comparison, competitor: Competitor) -> Mapping[str, Any] | None:
    path = comparison.robustness / f"{competitor.name}.json"
    return read_document(path, KIND) if path.exists() else None


def _curve(result: Result) -> F64:
    return np.array(result.arrays[f"{CURVES}accuracy"].tolist(), np.float64)


def _threshold(results: Mapping[str, Result]) -> float:
    control = results.get(RELU, next(iter(results.values())))
    return float(_curve(control).max(axis=1).mean()) - THRESHOLD_MARGIN


def epochs_until(curves: F64, threshold: float) -> F64:
    """Give the first epoch at which each curve is at least as high, else one more than all.

    Example:
        >>> epochs_until(np.array([[0.5, 0.9, 0.8], [0.1, 0.2, 0.3]]), 0.8).tolist()
        [2.0, 4.0]
    """
    there = curves >= threshold
    first = np.where(there.any(axis=1), there.argmax(axis=1), curves.shape[1])
    return np.asarray(first + 1, np.float64)


def paired(first: F64, second: F64) -> Interval:
    """Give the mean difference and its interval; values of one seed belong together."""
    return mean_interval(first - second)


def corruption_ratio(score: Score, control: Score, *, relative: bool) -> Interval | None:
    """Give the mean corruption error, in percent of the control's, averaged over families.

    Args:
        score: Whose.
        control: Divided by.
        relative: Whether errors on clean images are subtracted on both sides.

    Returns:
        With an interval that leaves out one seed at a time; None where it was not measured.
    """
    if score.robustness is None or control.robustness is None:
        return None
    ours, theirs = (_errors(one.robustness, relative=relative) for one in (score, control))

    def ratio(weights: F64) -> float:
        return 100 * float(np.mean((ours @ weights) / (theirs @ weights)))

    return jackknife_interval(ratio, ours.shape[1])


def _errors(robustness: Mapping[str, Any] | None, *, relative: bool) -> F64:
    """Give float64 `(families, seeds)`: errors summed over severities."""
    assert robustness is not None, "asked only where it was measured"
    table = np.array([robustness["corruption_error"][family] for family in CORRUPTIONS])
    if relative:
        table = table - np.asarray(robustness["clean_error"])[None, :, None]
    return np.asarray(table.sum(axis=2), np.float64)


def rows_of(scores: Scores) -> list[dict[str, Any]]:
    """Give one record per network, activation and seed."""
    rows = []
    for network, by_name in scores.items():
        for name, score in by_name.items():
            fields, robustness = score.result.fields, score.robustness
            for seed in range(len(score.accuracy)):
                reached = score.epochs[seed] <= score.most_epochs
                row = {
                    "network": network,
                    "activation": name,
                    "seed": seed,
                    "parameters": fields["parameters"],
                    "accuracy": fields["accuracy"][seed],
                    "epochs_to_threshold": int(score.epochs[seed]) if reached else None,
                    "threshold": score.threshold,
                    "validation_accuracy": fields["validation_accuracy"][seed],
                    "best_epoch": fields["best_epoch"][seed],
                    "joint_accuracy": _at(fields["joint_accuracy"], seed),
                    "pretraining_r2": _at(fields["pretraining_r2"], seed),
                    "corruption_error": None,
                    "attacked_accuracy": None,
                }
                if robustness is not None:
                    errors = [values[seed] for values in robustness["corruption_error"].values()]
                    row["corruption_error"] = float(np.mean(errors))
                    row["attacked_accuracy"] = robustness["attacks"]["accuracy"][seed]
                rows.append(row)
    return rows


def _at(values: list[float] | None, seed: int) -> float | None:
    return None if values is None else values[seed]


def summaries_of(scores: Scores) -> list[dict[str, Any]]:
    """Give one record per competitor: means and differences with 95 % intervals over seeds."""
    summaries = []
    for network, by_name in scores.items():
        reference, control = by_name.get(DENDRITIC), by_name.get(RELU)
        for name, score in by_name.items():
            fields = score.result.fields
            summary: dict[str, Any] = {
                "network": network,
                "activation": name,
                "parameters": fields["parameters"],
                "inner_parameters": fields["inner_parameters"],
                "units": fields["units"],
                "accuracy": mean_interval(score.accuracy, within=SHARE).to_dict(),
                "dendritic_minus_it": None,
                "threshold": score.threshold,
                "epochs_to_threshold": mean_interval(score.epochs).to_dict(),
                "never_reached": int((score.epochs > score.most_epochs).sum()),
                "joint_accuracy": _mean_or_none(fields["joint_accuracy"]),
                "mce": None,
                "relative_mce": None,
                "attacked_accuracy": None,
                "search": fields["search"],
            }
            if reference is not None and name != DENDRITIC:
                difference = paired(reference.accuracy, score.accuracy)
                summary["dendritic_minus_it"] = difference.to_dict()
            if control is not None and score.robustness is not None:
                for key, relative in (("mce", False), ("relative_mce", True)):
                    ratio = corruption_ratio(score, control, relative=relative)
                    summary[key] = None if ratio is None else ratio.to_dict()
            if score.attacked_accuracy is not None:
                summary["attacked_accuracy"] = mean_interval(
                    score.attacked_accuracy, within=SHARE
                ).to_dict()
            summaries.append(summary)
    return summaries


def _mean_or_none(values: list[float] | None) -> dict[str, Any] | None:
    return None if values is None else mean_interval(values, within=SHARE).to_dict()
