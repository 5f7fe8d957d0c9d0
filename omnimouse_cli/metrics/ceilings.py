"""Noise ceilings from repeats of a stimulus, and scores that are relative to them.

All are from products of different repeats: in them, noise that is independent between repeats
averages to zero, so nothing is subtracted that would have to be clipped, and a neuron without a
signal counts with mean 0. What a prediction shares with the noise of its own trial (through
behavior, for example) averages to zero too: scores are those of its part that repeats.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.metrics.moments import CONSTANT_RELATIVE_STD
from omnimouse_cli.metrics.repeats import Cells, RepeatedSamples

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
# Share of explainable variance from which the FEVE counts a neuron (Cadena et al. 2019).
RELIABLE_SHARE = 0.15
# With fewer repeats on average the errors of trials of one stimulus are nearly the same error.
FEWEST_REPEATS = 3.0
# The slope of a root is that of this one where the root is smaller: at 0 it would be infinite.
SMALLEST_ROOT = 1e-3
# Float64 values of one array in memory at once: 16 MB.
CHUNK_VALUES = 2_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A number and its influence function.

    Args:
        value: The number; None where it does not exist.
        influence: float64 `(units,)`: what each trial, or with fewer than three repeats each
            stimulus, adds to the error of the value; sums to 0.
    """

    value: float | None
    influence: F64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeanRoot(Estimate):
    """The mean over neurons of a root of their shares, as a function of the mean share.

    Args:
        factor: Ratio of the mean root and the root of the mean: below 1 where neurons differ.
        repeats: Repeats over whose mean response the correlation is.
    """

    factor: float
    repeats: float

    def at(self, share: float) -> float:
        """Return the mean root at another mean share, such as an end of its interval."""
        return self.factor * float(_signed_root(np.array(share), self.repeats))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepeatScores:
    """Noise ceilings of a session, and scores of a prediction that are relative to them.

    Args:
        share: Mean over neurons of the share of the variance that repeats explain.
        ceiling: Mean over neurons of the single-trial correlation that the true mean response
            would reach.
        cc_max: Mean over neurons of the correlation that the true mean response would reach with
            the mean over repeats.
        oracle: Mean over neurons of the correlation between a trial and the mean of its other
            repeats.
        cc_norm: Normalized correlation coefficient of the prediction.
        at_best: Denominator of its square: what repeats of the prediction, times the signal power.
        feve: Fraction of explainable variance explained.
        reliable: Signal power of the neurons that the FEVE counts, per neuron of the session.
        excluded: Neurons with less than `RELIABLE_SHARE` of explainable variance.
        repeats: Mean number of repeats of a cell.
        oracle_per_output: float64 `(outputs,)`: the oracle score of each neuron.
    """

    share: Estimate
    ceiling: MeanRoot
    cc_max: MeanRoot
    oracle: Estimate
    cc_norm: Estimate
    at_best: Estimate
    feve: Estimate
    reliable: Estimate
    excluded: int
    repeats: float
    oracle_per_output: F64


class _Sums:
    """Shares of each neuron, and sums over neurons by unit: trials or stimuli."""

    def __init__(self, samples: RepeatedSamples) -> None:
        self.cells = Cells(samples.cell, samples.trial)
        self._samples = samples
        self._unit = self._units()
        self.num_samples, self.num_outputs = samples.truth.shape
        self.unit_samples = np.bincount(self._unit).astype(np.float64)
        self.shares = np.zeros(self.num_outputs)
        self.half_shares = np.zeros((2, self.num_outputs))
        self.oracle = np.zeros(self.num_outputs)
        self.num_varied = 0
        names = ("signal", "oracle", "correlation", "squared", "at_best", "reliable", "residual")
        self.by_unit = {name: np.zeros(len(self.unit_samples)) for name in names}
        step = max(1, CHUNK_VALUES // self.num_samples)
        for first in range(0, self.num_outputs, step):
            self._add(slice(first, first + step))

    def _units(self) -> I64:
        """Return the unit of each sample whose error is independent of that of others."""
        trial = self._samples.trial[self.cells.order]
        if self.cells.repeats < FEWEST_REPEATS:
            # The product of two repeats is one number for two trials: stimuli are the units.
            trial = self.cells.first_trial(trial)
        _, unit = np.unique(trial, return_inverse=True)
        return unit

    def _add(self, outputs: slice) -> None:
        cells = self.cells
        truth = self._samples.truth[cells.order, outputs].astype(np.float64)
        prediction = self._samples.prediction[cells.order, outputs].astype(np.float64)
        y, scale = _standardized(truth)
        signal = cells.products(y, y) + cells.mean_error(y, y)
        self.shares[outputs] = signal.mean(axis=0)
        self.half_shares[:, outputs] = [signal[cells.half == half].mean(axis=0) for half in (0, 1)]
        self._sum("signal", signal)
        other = cells.other_mean(y)
        oracle = signal * _inverse(np.sqrt((other**2).mean(axis=0)))
        self.oracle[outputs] = oracle.mean(axis=0)
        self._sum("oracle", oracle)
        self._add_squared_correlation(y, _standardized(prediction)[0], signal)
        # Neurons are chosen by one half of the cells and scored on the other: noise that makes a
        # neuron seem reliable would enter its signal.
        reliable = self.half_shares[:, outputs][1 - cells.half] >= RELIABLE_SHARE
        self._sum("reliable", signal * reliable)
        error = (truth - prediction) * _inverse(scale)
        self._sum("residual", cells.products(error, error) * reliable)

    def _add_squared_correlation(self, y: F64, x: F64, signal: F64) -> None:
        """Add squared covariances of prediction and signal, and what they would be at best."""
        cells = self.cells
        products = cells.products(y, x) + cells.mean_error(y, x)
        covariance = products.mean(axis=0)
        # The square of an estimate exceeds that of the truth by the variance of the estimate.
        shown, felt = cells.mean(x) * y, cells.mean(y) * x
        variance = cells.mean_error(shown, shown) + cells.mean_error(felt, felt)
        self._sum("squared", 2 * covariance * products - covariance**2 - variance)
        self._sum("correlation", products)
        repeated = (cells.products(x, x) + cells.mean_error(x, x)).mean(axis=0)
        self._sum("at_best", signal * repeated)
        self.num_varied += int((repeated > 0).sum())

    def _sum(self, name: str, values: F64) -> None:
        per_sample = values.sum(axis=1)
        self.by_unit[name] += np.bincount(self._unit, weights=per_sample)

    def mean_estimate(self, name: str) -> Estimate:
        """Return the mean over neurons and samples of a quantity."""
        sums = self.by_unit[name] / self.num_outputs
        value = float(sums.sum() / self.num_samples)
        influence = (sums - value * self.unit_samples) / self.num_samples
        return Estimate(value=value, influence=influence)


def repeat_scores(samples: RepeatedSamples) -> RepeatScores:
    """Return the noise ceilings of repeated samples and the scores of their prediction.

    Definitions, with the products of different repeats averaged over cells: the signal power is the
    covariance of two repeats (Sahani and Linden 2003), the share its ratio to the variance of all
    samples, CC_max the correlation of the signal with the mean over repeats (Schoppe et al. 2016).
    The mean over neurons of roots of shares needs the spread of the true shares, not that of the
    estimates: estimates are shrunk towards their mean until their variance is the covariance of the
    shares of two halves of the cells (Louis 1984). A share below 0 has a negative root.

    CC_norm^2 is the sum over neurons of the squared covariance of prediction and signal, less the
    variance of its estimate (Pospisil and Bair 2021), divided by the sum of its largest possible
    values, the power of what repeats of the prediction times the signal power. Predictions and
    responses are in standard deviations, so that for predictions from the stimulus alone it is the
    mean squared correlation divided by the mean share; for one neuron it is that of Schoppe et al.
    It has the sign of the mean covariance.

    FEVE is 1 less the power of (response - prediction) in products of different repeats, divided by
    the signal power (Cadena et al. 2019), both summed over the neurons with a share of at least
    `RELIABLE_SHARE`, in units of each neuron's variance.

    Args:
        samples: The repeated samples.

    Example:
        >>> cell, trial = np.tile(np.arange(100), 2), np.repeat([0, 1], 100)
        >>> signal = np.sin(cell)[:, None]
        >>> samples = RepeatedSamples(cell=cell, trial=trial, truth=signal, prediction=signal)
        >>> scores = repeat_scores(samples)
        >>> round(scores.ceiling.value, 9), round(scores.cc_norm.value, 9), scores.feve.value
        (1.0, 1.0, 1.0)
    """
    sums = _Sums(samples)
    share = sums.mean_estimate("signal")
    spread = _true_spread(sums.shares, sums.half_shares)
    reliable = sums.mean_estimate("reliable")
    unexplained = _ratio(sums.mean_estimate("residual"), reliable)
    feve = None if unexplained.value is None else 1 - unexplained.value
    return RepeatScores(
        share=share,
        ceiling=_mean_root(share, spread, repeats=1.0),
        cc_max=_mean_root(share, spread, repeats=sums.cells.repeats),
        oracle=sums.mean_estimate("oracle"),
        cc_norm=_cc_norm(sums),
        at_best=sums.mean_estimate("at_best"),
        feve=Estimate(value=feve, influence=-unexplained.influence),
        reliable=reliable,
        excluded=int((sums.shares < RELIABLE_SHARE).sum()),
        repeats=sums.cells.repeats,
        oracle_per_output=sums.oracle,
    )


def _cc_norm(sums: _Sums) -> Estimate:
    """Return the root of the ratio of squared covariances and the largest possible ones."""
    square = _ratio(sums.mean_estimate("squared"), sums.mean_estimate("at_best"))
    if square.value is None or not sums.num_varied:
        return Estimate(value=None, influence=np.zeros_like(square.influence))
    root = math.sqrt(abs(square.value))
    sign = math.copysign(1.0, sums.by_unit["correlation"].sum())
    return Estimate(
        value=sign * math.copysign(root, square.value),
        influence=sign * square.influence / (2 * max(root, SMALLEST_ROOT)),
    )


def _standardized(values: F64) -> tuple[F64, F64]:
    """Return values less their means, in standard deviations; 0 for constants. And the latter."""
    mean = values.mean(axis=0)
    centered = values - mean
    deviation = np.sqrt((centered**2).mean(axis=0))
    deviation[deviation <= CONSTANT_RELATIVE_STD * np.abs(mean)] = 0.0
    return centered * _inverse(deviation), deviation


def _inverse(values: F64) -> F64:
    """Return 1 / values; 0 for 0."""
    return np.divide(1.0, values, out=np.zeros_like(values), where=values > 0)


def _true_spread(shares: F64, half_shares: F64) -> F64:
    """Return shares, shrunk to the variance of the true shares: `(outputs,)`.

    Below two standard errors of that variance neurons are taken to be alike.
    """
    first, second = half_shares - half_shares.mean(axis=1, keepdims=True)
    covariance = float((first * second).mean())
    error = math.sqrt(float((first**2).mean() * (second**2).mean()) / len(shares))
    mean, variance = shares.mean(), float(shares.var())
    kept = min(covariance / variance, 1.0) if covariance > 2 * error else 0.0
    shrunk: F64 = mean + math.sqrt(kept) * (shares - mean)
    return shrunk


def _mean_root(share: Estimate, shares: F64, *, repeats: float) -> MeanRoot:
    """Return the mean correlation of the signal with the mean over some repeats."""
    assert share.value is not None, "a mean share exists"
    root = float(_signed_root(np.array(share.value), repeats))
    value = float(_signed_root(shares, repeats).mean()) if share.value > 0 else root
    size = abs(share.value)
    slope = value / (2 * share.value * (1 + (repeats - 1) * size)) if share.value else 0.0
    return MeanRoot(
        value=value,
        influence=slope * share.influence,
        factor=value / root if root else 1.0,
        repeats=repeats,
    )


def _signed_root(shares: F64, repeats: float) -> F64:
    """Return the correlation of signals with the mean over repeats; negative for a share below 0.

    Source: Schoppe et al. 2016, equation of CC_max.
    """
    size = np.abs(shares)
    root: F64 = np.sign(shares) * np.sqrt(size * repeats / (1 + size * (repeats - 1)))
    return root


def _ratio(numerator: Estimate, denominator: Estimate) -> Estimate:
    """Return the ratio of two estimates; no value where the denominator is not above 0."""
    above, below = numerator.value, denominator.value
    if above is None or below is None or below <= 0:
        return Estimate(value=None, influence=np.zeros_like(numerator.influence))
    value = above / below
    influence = (numerator.influence - value * denominator.influence) / below
    return Estimate(value=value, influence=influence)
