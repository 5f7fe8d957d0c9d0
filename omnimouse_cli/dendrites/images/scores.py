"""Scores of a comparison: of every seed of a network and activation, and corruption ratios."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import (
    RELU,
    NetworkKind,
)
from omnimouse_cli.dendrites.images.results import (
    CURVES,
    Candidate,
    CandidateResult,
    Comparison,
)
from omnimouse_cli.evaluation.robustness.corruption import CORRUPTIONS
from omnimouse_cli.metrics.intervals import Interval, jackknife_interval

F64 = NDArray[np.float64]
# Learning speed: epochs until validation accuracy is this near to the best of the ReLU control.
THRESHOLD_MARGIN = 0.01
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
