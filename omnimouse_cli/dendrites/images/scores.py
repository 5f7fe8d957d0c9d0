"""Scores of a comparison: rows for each seed, and summaries for each network and activation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import DENDRITIC, RELU, NetworkKind
from omnimouse_cli.dendrites.images.results import (
    CURVES,
    Candidate,
    CandidateResult,
    Comparison,
)
from omnimouse_cli.dendrites.images.robustness import PROTOCOLS
from omnimouse_cli.evaluation.robustness.corruption import CORRUPTIONS
from omnimouse_cli.metrics.intervals import Interval, jackknife_interval, mean_interval

F64 = NDArray[np.float64]
# Learning speed: epochs until validation accuracy is this near to the best of the ReLU control.
THRESHOLD_MARGIN = 0.01
PROBABILITY = (0.0, 1.0)
JOINT_CURVES = f"{CURVES}joint_accuracy"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CandidateScores:
    """Scores of a trained candidate, one per seed.

    Args:
        result: The trained candidate.
        robustness: Errors under corruptions and attacks; None where they were not measured.
        threshold: Validation accuracy that counts as learned.
        epochs: float64 `(seeds,)`, epochs of the last session until then; one more than all epochs
            where never.
        joint_epochs: The same in session II, where inner and outer network learn together; None for
            a fixed activation, which has no such session.
    """

    result: CandidateResult
    robustness: Mapping[str, Any] | None
    threshold: float
    epochs: F64
    joint_epochs: F64 | None

    @property
    def network(self) -> NetworkKind:
        """Kind of network."""
        return self.result.candidate.network

    @property
    def accuracy(self) -> F64:
        """Accuracy on test images, float64 `(seeds,)`."""
        return np.asarray(self.result.fields["accuracy"], np.float64)

    @property
    def is_reached(self) -> NDArray[np.bool_]:
        """Whether validation accuracy reached the threshold, bool `(seeds,)`."""
        num_epochs = int(self.result.arrays[f"{CURVES}accuracy"].shape[1])
        return np.asarray(self.epochs <= num_epochs)

    @property
    def all_epochs(self) -> F64:
        """Epochs on images of all sessions until the last one reaches the threshold."""
        joint = self.result.arrays.get(JOINT_CURVES)
        return self.epochs if joint is None else self.epochs + joint.shape[1]

    @property
    def attacked_accuracy(self) -> F64 | None:
        """Accuracy under all attacks, float64 `(seeds,)`."""
        if self.robustness is None:
            return None
        return np.asarray(self.robustness["attacks"]["accuracy"], np.float64)


# By kind of network and activation.
ScoreTable = dict[NetworkKind, dict[str, CandidateScores]]


def read_scores(comparison: Comparison) -> ScoreTable:
    """Read the scores of every candidate of a comparison."""
    scores: ScoreTable = {}
    for network in comparison.settings.networks:
        results = {
            name: comparison.read_result(Candidate(network=network, activation=name))
            for name in comparison.settings.activations
        }
        curves = {
            name: _to_float64(result.arrays[f"{CURVES}accuracy"])
            for name, result in results.items()
        }
        control = curves.get(RELU, next(iter(curves.values())))
        threshold = float(control.max(axis=1).mean()) - THRESHOLD_MARGIN
        scores[network] = {
            name: CandidateScores(
                result=result,
                robustness=comparison.read_robustness(result.candidate),
                threshold=threshold,
                epochs=count_epochs(curves[name], threshold),
                joint_epochs=_count_joint_epochs(result, threshold),
            )
            for name, result in results.items()
        }
    return scores


def _to_float64(curves: Tensor) -> F64:
    return np.array(curves.tolist(), np.float64)


def _count_joint_epochs(result: CandidateResult, threshold: float) -> F64 | None:
    curves = result.arrays.get(JOINT_CURVES)
    return None if curves is None else count_epochs(_to_float64(curves), threshold)


def count_epochs(curves: F64, threshold: float) -> F64:
    """Return the first epoch at which each curve reaches the threshold, else one more than all.

    Example:
        >>> count_epochs(np.array([[0.5, 0.9, 0.8], [0.1, 0.2, 0.3]]), 0.8).tolist()
        [2.0, 4.0]
    """
    is_reached = curves >= threshold
    first = np.where(is_reached.any(axis=1), is_reached.argmax(axis=1), curves.shape[1])
    return np.asarray(first + 1, np.float64)


def compute_corruption_ratio(
    scores: CandidateScores, control: CandidateScores, *, relative: bool
) -> Interval | None:
    """Return the mean corruption error in percent of the control's, averaged over families.

    Args:
        scores: Scores of a candidate.
        control: Scores of the control that its errors are divided by.
        relative: Whether errors on clean images are subtracted on both sides.

    Returns:
        The ratio with its jackknife interval over seeds; None where it was not measured.
    """
    if scores.robustness is None or control.robustness is None:
        return None
    ours, theirs = (
        _sum_errors(robustness, relative=relative)
        for robustness in (scores.robustness, control.robustness)
    )

    def ratio(weights: F64) -> float:
        return 100 * float(np.mean((ours @ weights) / (theirs @ weights)))

    return jackknife_interval(ratio, ours.shape[1])


def _sum_errors(robustness: Mapping[str, Any], *, relative: bool) -> F64:
    """Return errors summed over severities, float64 `(families, seeds)`."""
    table = np.array([robustness["corruption_error"][family] for family in CORRUPTIONS])
    if relative:
        table = table - np.asarray(robustness["clean_error"])[None, :, None]
    return np.asarray(table.sum(axis=2), np.float64)


def build_rows(scores: ScoreTable) -> list[dict[str, Any]]:
    """Return one record per network, activation and seed."""
    rows = []
    for network, by_name in scores.items():
        for name, score in by_name.items():
            fields, robustness = score.result.fields, score.robustness
            for seed, is_reached in enumerate(score.is_reached):
                row = {
                    "network": network,
                    "activation": name,
                    "seed": seed,
                    "parameters": fields["parameters"],
                    "accuracy": fields["accuracy"][seed],
                    "epochs_to_threshold": int(score.epochs[seed]) if is_reached else None,
                    "threshold": score.threshold,
                    "validation_accuracy": fields["validation_accuracy"][seed],
                    "best_epoch": fields["best_epoch"][seed],
                    "joint_accuracy": None,
                    "pretraining_r2": None,
                    "corruption_error": None,
                    "attacked_accuracy": None,
                }
                for field in ("joint_accuracy", "pretraining_r2"):
                    row[field] = None if fields[field] is None else fields[field][seed]
                if robustness is not None:
                    errors = [values[seed] for values in robustness["corruption_error"].values()]
                    row["corruption_error"] = float(np.mean(errors))
                    row["attacked_accuracy"] = robustness["attacks"]["accuracy"][seed]
                rows.append(row)
    return rows


def summarize(scores: ScoreTable) -> list[dict[str, Any]]:
    """Return one record per network and activation: means and differences over seeds."""
    summaries = []
    for by_name in scores.values():
        reference, control = by_name.get(DENDRITIC), by_name.get(RELU)
        for name, score in by_name.items():
            fields = score.result.fields
            difference = mce = relative_mce = None
            if reference is not None and name != DENDRITIC:
                difference = mean_interval(reference.accuracy - score.accuracy)
            if control is not None:
                mce = compute_corruption_ratio(score, control, relative=False)
                relative_mce = compute_corruption_ratio(score, control, relative=True)
            summaries.append(
                {
                    "network": score.network,
                    "activation": name,
                    "parameters": fields["parameters"],
                    "inner_parameters": fields["inner_parameters"],
                    "units": fields["units"],
                    "accuracy": mean_interval(score.accuracy, within=PROBABILITY).to_dict(),
                    "dendritic_minus_it": _to_dict(difference),
                    "threshold": score.threshold,
                    "epochs_to_threshold": mean_interval(score.epochs).to_dict(),
                    "never_reached": int((~score.is_reached).sum()),
                    "joint_accuracy": _summarize_accuracy(fields["joint_accuracy"]),
                    "mce": _to_dict(mce),
                    "relative_mce": _to_dict(relative_mce),
                    "attacked_accuracy": _summarize_accuracy(score.attacked_accuracy),
                    "search": fields["search"],
                }
            )
    return summaries


def _summarize_accuracy(values: list[float] | F64 | None) -> dict[str, float] | None:
    return None if values is None else mean_interval(values, within=PROBABILITY).to_dict()


def _to_dict(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else interval.to_dict()


def summarize_protocols(scores: ScoreTable) -> list[dict[str, Any]]:
    """Return accuracy before and after an attack, under the valid protocol and each mistake."""
    return [
        {
            "network": network,
            "activation": name,
            "protocol": protocol,
            "clean": mean_interval(score.robustness["protocols"][protocol]["clean"]).to_dict(),
            "attacked": mean_interval(
                score.robustness["protocols"][protocol]["accuracy"]
            ).to_dict(),
        }
        for network, by_name in scores.items()
        for name, score in by_name.items()
        if score.robustness is not None
        for protocol in PROTOCOLS
    ]
