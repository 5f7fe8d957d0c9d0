"""Explained deviance and variance: how much better a prediction is than a constant one.

Each function takes sums per block of windows and weights of the blocks, `(resamples, blocks)`: a
row of ones gives the value itself, others give its resamples.
"""

import math

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.metrics.moments import Moments

F64 = NDArray[np.float64]


class PoissonDeviance:
    """Sums of the Poisson deviance per block and output.

    The deviance of samples y from predictions mu is `2 * sum(y * log(y / mu) - (y - mu))`
    (McCullagh & Nelder, Generalized Linear Models, 1989, section 2.3). It scales with the unit of
    the responses; ratios of deviances do not.

    Args:
        shape: Blocks and outputs.
        floor: float64 `(outputs,)`, positive: smaller predictions, which a rate cannot have or
            which make one event infinitely unlikely, are raised to it.
    """

    def __init__(self, shape: tuple[int, int], floor: F64) -> None:
        self.floor = floor
        self.deviance = np.zeros(shape)
        # Sum of y * log(y): with count and sum of y it gives the deviance from any constant.
        self.entropy = np.zeros(shape)

    def add(
        self,
        block: int,
        outputs: slice,
        truth: NDArray[np.floating],
        prediction: NDArray[np.floating],
    ) -> None:
        """Add samples of a block; one whose truth is NaN was not measured and is excluded.

        Args:
            block: Number of the block.
            outputs: Which outputs the columns are.
            truth: `(samples, outputs)`; values below 0 count as 0.
            prediction: The same shape.
        """
        measured = ~np.isnan(truth)
        y = np.where(measured, np.maximum(truth, 0.0), 0.0).astype(np.float64)
        mu = np.maximum(prediction.astype(np.float64), self.floor[outputs])
        log_y = np.log(np.where(y > 0, y, 1.0))
        terms = np.where(measured, y * (log_y - np.log(mu)) - (y - mu), 0.0)
        self.deviance[block, outputs] += 2 * terms.sum(axis=0)
        self.entropy[block, outputs] += (y * log_y).sum(axis=0)

    def of_mean(self, blocks: Moments, weights: F64) -> F64:
        """Return the deviance from the mean of each output, `(resamples, outputs)`.

        Args:
            blocks: Moments of the same samples, `(blocks, outputs)`.
            weights: `(resamples, blocks)`.
        """
        count = weights @ blocks.count
        total = weights @ (blocks.count * blocks.mean_truth)
        mean = np.maximum(total, 1e-300) / np.maximum(count, 1e-300)
        log_mean = np.where(total > 0, np.log(mean), 0.0)
        result: F64 = 2 * (weights @ self.entropy - total * log_mean)
        return result


def poisson_explained(deviance: PoissonDeviance, blocks: Moments, weights: F64) -> tuple[F64, F64]:
    """Return how much better than its mean rate a prediction of rates is, over all outputs.

    Both compare the prediction with the mean-rate model: each output is always at its mean over the
    scored samples.

    Args:
        deviance: Sums per block and output.
        blocks: Moments of the same samples.
        weights: `(resamples, blocks)`.

    Returns:
        The Poisson deviance explained, `1 - D / D_mean`, where D and D_mean are sums over outputs
        (Cameron & Windmeijer, J. Econometrics 77, 1997), and the bits per sample,
        `(D_mean - D) / (2 * log(2) * samples)`: the difference of log-likelihoods (as the bits per
        spike of Pei et al., Neural Latents Benchmark, 2021, which divides by spikes). Each
        `(resamples,)`, NaN without variance.
    """
    own = weights @ deviance.deviance.sum(axis=1)
    of_mean = deviance.of_mean(blocks, weights).sum(axis=1)
    samples = np.maximum(weights @ blocks.count.sum(axis=1), 1.0)
    bits: F64 = (of_mean - own) / (2 * math.log(2) * samples)
    return _explained(own, of_mean), bits


def variance_explained(blocks: Moments, weights: F64) -> F64:
    """Return the fraction of variance explained over all outputs: `1 - SSE / SST`.

    SSE is the sum of squared errors and SST that of squared deviations of the truth from the mean
    of its output over the scored samples, each summed over outputs. It is the deviance explained
    for a normal distribution.

    Args:
        blocks: Moments `(blocks, outputs)`.
        weights: `(resamples, blocks)`.

    Returns:
        float64 `(resamples,)`, NaN without variance.

    Example:
        >>> from omnimouse_cli.metrics.moments import moments_of
        >>> truth = np.array([[1.0], [2.0], [3.0]])
        >>> blocks = moments_of(truth, truth + 1.0)
        >>> one = Moments.zeros((1, 1))
        >>> one.add(0, blocks)
        >>> variance_explained(one, np.ones((1, 1)))
        array([-0.5])
    """
    errors, deviations = _squares(blocks, weights)
    return _explained(errors.sum(axis=1), deviations.sum(axis=1))


def mean_r2(blocks: Moments, weights: F64) -> F64:
    """Return the coefficient of determination R2, `1 - SSE / SST`, averaged over outputs.

    Args:
        blocks: Moments `(blocks, outputs)`; outputs without variance are left out.
        weights: `(resamples, blocks)`.

    Returns:
        float64 `(resamples,)`, NaN where no output has variance.
    """
    per_output = _explained(*_squares(blocks, weights))
    exists = np.isfinite(per_output)
    total = np.where(exists, per_output, 0.0).sum(axis=1)
    count = exists.sum(axis=1)
    mean: F64 = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
    return mean


def _squares(blocks: Moments, weights: F64) -> tuple[F64, F64]:
    """Return squared errors and squared deviations from the mean, `(resamples, outputs)`."""
    count = blocks.count
    errors = blocks.spread_truth + blocks.spread_prediction - 2 * blocks.spread_both
    errors = errors + count * (blocks.mean_truth - blocks.mean_prediction) ** 2
    # About the mean of all blocks: about zero, large means would cancel.
    center = (count * blocks.mean_truth).sum(axis=0) / np.maximum(count.sum(axis=0), 1.0)
    offset = blocks.mean_truth - center
    total, shift = weights @ count, weights @ (count * offset)
    squares = weights @ (blocks.spread_truth + count * offset**2)
    deviations: F64 = squares - shift**2 / np.maximum(total, 1e-300)
    return weights @ errors, deviations


def _explained(own: F64, of_mean: F64) -> F64:
    floor = 1e-12 * np.maximum(np.abs(own), 1e-300)
    ratio = np.divide(own, of_mean, out=np.full(own.shape, np.nan), where=of_mean > floor)
    explained: F64 = 1.0 - ratio
    return explained
