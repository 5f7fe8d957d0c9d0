"""Running moments of truth and prediction per neuron, merged exactly over windows and ranks."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# A spread below a few roundings of float32 around the mean is a constant that was rounded.
CONSTANT_RELATIVE_STD = 5e-7


@dataclass(slots=True, kw_only=True)
class Moments:
    """Counts, means and centered second moments, float64, all of one shape `(..., outputs)`.

    Args:
        count: Samples.
        mean_truth: Mean of the measured values.
        mean_prediction: Mean of the predicted values.
        spread_truth: Sum of squared deviations of the truth from its mean.
        spread_prediction: The same for the prediction.
        spread_both: Sum of products of the two deviations.
    """

    count: NDArray[np.float64]
    mean_truth: NDArray[np.float64]
    mean_prediction: NDArray[np.float64]
    spread_truth: NDArray[np.float64]
    spread_prediction: NDArray[np.float64]
    spread_both: NDArray[np.float64]

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Self:
        """Return moments of no samples, to which others are added."""
        return cls(**{field.name: np.zeros(shape) for field in fields(cls)})

    def __getitem__(self, index: Any) -> "Moments":  # noqa: ANN401 - whatever NumPy indexes by
        """Index all six arrays."""
        return Moments(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def add(self, index: Any, other: "Moments") -> None:  # noqa: ANN401
        """Merge `other` into the entries at `index`, in place; no entry twice."""
        merged = merge(self[index], other)
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(merged, field.name)


def moments_of(truth: NDArray[np.floating], prediction: NDArray[np.floating]) -> Moments:
    """Return the moments over the first axis.

    A sample whose truth is NaN was not measured and is excluded; a prediction that is NaN makes the
    moments NaN, so that a model that diverged has no score.

    Args:
        truth: `(samples, outputs)`, any floating type.
        prediction: The same shape.

    Returns:
        Moments of shape `(outputs,)`.

    Example:
        >>> import numpy as np
        >>> moments_of(np.array([[1.0], [3.0]]), np.array([[0.0], [1.0]])).spread_both
        array([1.])
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth {truth.shape} and prediction {prediction.shape} differ in shape")
    x = truth.astype(np.float64)
    y = prediction.astype(np.float64)
    missing = np.isnan(x)
    if missing.any():
        x = np.where(missing, 0.0, x)
        y = np.where(missing, 0.0, y)
        count = (~missing).sum(axis=0, dtype=np.float64)
    else:
        count = np.full(x.shape[1:], float(len(x)))
    safe = np.maximum(count, 1.0)
    mean_x, mean_y = x.sum(axis=0) / safe, y.sum(axis=0) / safe
    dx, dy = x - mean_x, y - mean_y
    if missing.any():
        dx[missing] = 0.0
        dy[missing] = 0.0
    return Moments(
        count=count,
        mean_truth=mean_x,
        mean_prediction=mean_y,
        spread_truth=np.einsum("s...,s...->...", dx, dx),
        spread_prediction=np.einsum("s...,s...->...", dy, dy),
        spread_both=np.einsum("s...,s...->...", dx, dy),
    )


def merge(first: Moments, second: Moments) -> Moments:
    """Return the moments of the samples of both, by the parallel formula for variances."""
    count = first.count + second.count
    share = second.count / np.maximum(count, 1.0)
    step_x = second.mean_truth - first.mean_truth
    step_y = second.mean_prediction - first.mean_prediction
    weight = first.count * share
    return Moments(
        count=count,
        mean_truth=first.mean_truth + step_x * share,
        mean_prediction=first.mean_prediction + step_y * share,
        spread_truth=first.spread_truth + second.spread_truth + step_x**2 * weight,
        spread_prediction=first.spread_prediction + second.spread_prediction + step_y**2 * weight,
        spread_both=first.spread_both + second.spread_both + step_x * step_y * weight,
    )


def merge_blocks(blocks: Moments) -> Moments:
    """Merge moments of shape `(blocks, outputs)` over the blocks."""
    total = Moments.zeros(blocks.count.shape[1:])
    for number in range(len(blocks.count)):
        total = merge(total, blocks[number])
    return total


def correlation(moments: Moments) -> NDArray[np.float64]:
    """Return the Pearson correlation of each output; NaN where truth or prediction is constant.

    Args:
        moments: Of any shape `(..., outputs)`.

    Returns:
        float64 of the same shape, within [-1, 1].

    Example:
        >>> import numpy as np
        >>> x = np.array([[1.0], [2.0], [4.0]])
        >>> correlation(moments_of(x, 3 * x + 1)).round(6)
        array([1.])
    """
    samples = np.maximum(moments.count, 1.0)
    floor_x = samples * (CONSTANT_RELATIVE_STD * moments.mean_truth) ** 2
    floor_y = samples * (CONSTANT_RELATIVE_STD * moments.mean_prediction) ** 2
    exists = (moments.spread_truth > floor_x) & (moments.spread_prediction > floor_y)
    result = np.full(moments.count.shape, np.nan)
    scale = np.sqrt(moments.spread_truth[exists]) * np.sqrt(moments.spread_prediction[exists])
    result[exists] = np.clip(moments.spread_both[exists] / scale, -1.0, 1.0)
    return result
