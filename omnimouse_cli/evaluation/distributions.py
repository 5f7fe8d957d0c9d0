"""Distributions of responses about a predicted mean, with parameters of each neuron.

All take and return float64 arrays `(samples, neurons)`, in the unit that responses are recorded in.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, special

F64 = NDArray[np.float64]
Family = Literal["normal", "poisson", "zero-inflated gamma"]
# Responses up to this share of a neuron's mean are zeros: deconvolution leaves such traces.
ZERO_SHARE = 1e-3
# Neurons with fewer samples, or fewer responses above 0, have no distribution.
FEWEST_SAMPLES = 30
FEWEST_POSITIVE = 10
NEWTON_STEPS = 5
# Newton's method for events converges from below, and ends when no step is larger than this share
# of the number: the error of the result is about its square, and rounding.
MOST_EVENT_STEPS, EVENT_TOLERANCE = 50, 1e-8


class Scores(NamedTuple):
    """What distributions say of recorded responses; NaN where a response is NaN.

    Args:
        log_likelihood: In nats. A density per unit of the responses for `normal`, a probability
            for `poisson`, and for `zero-inflated gamma` a probability of zeros and a density above.
        below: Probability of a smaller response.
        up_to: Probability of a response that is not larger.
    """

    log_likelihood: F64
    below: F64
    up_to: F64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """A distribution for each neuron, given the mean of each sample.

    - `normal`: the standard deviation is the same at every mean.
    - `poisson`: for counts; no parameters.
    - `zero-inflated gamma`, for rates that are not counts, such as deconvolved calcium traces
      (Wei et al., Neurons, Behavior, Data Analysis, and Theory, 2020): with probability
      `exp(-events * mean)` nothing happens and the response is 0; else it is gamma distributed
      with a fixed shape and the mean that keeps the mean of the whole. Wei et al. predict the
      probability of zeros from the covariates by itself; here one mean decides both, as if events
      were Poisson with a fixed mean size.

    Args:
        family: The distribution.
        parameters: float64 `(parameters, neurons)`: the standard deviation of `normal`; shape,
            events per unit of the mean, and the largest response that is a zero of
            `zero-inflated gamma`. NaN for neurons that have none.
    """

    family: Family
    parameters: F64

    def __getitem__(self, neurons: slice) -> "Distribution":
        """Return the distribution of some neurons."""
        return Distribution(family=self.family, parameters=self.parameters[:, neurons])

    @property
    def exists(self) -> NDArray[np.bool_]:
        """Bool `(neurons,)`: which neurons have a distribution."""
        exists: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(self.parameters), axis=0)
        return exists

    def score(self, truth: F64, mean: F64) -> Scores:
        """Compare responses with their distributions.

        Args:
            truth: Recorded responses; NaN where they are not scored.
            mean: Predicted means; positive unless the family is `normal`.
        """
        score = {"normal": _normal, "poisson": _poisson, "zero-inflated gamma": _gamma}[self.family]
        tensors = score(*map(torch.from_numpy, (truth, mean, self.parameters)))
        return Scores(*(tensor.numpy() for tensor in tensors))

    def log_likelihood(self, truth: F64, mean: F64) -> F64:
        """Return the log-likelihood of responses whose mean is the same in every sample.

        Args:
            truth: As in `score`.
            mean: float64 `(neurons,)`.

        Returns:
            As that of `score`.
        """
        likelihood = {
            "normal": _normal_likelihood,
            "poisson": _poisson_likelihood,
            "zero-inflated gamma": _gamma_likelihood,
        }[self.family]
        tensors = map(torch.from_numpy, (truth, mean[None], self.parameters))
        return likelihood(*tensors).numpy()


def fit_distribution(family: Family, truth: F64, mean: F64) -> Distribution:
    """Fit the parameters of each neuron to responses and their predicted means.

    The variance of `normal` is the mean squared residual (maximum likelihood). Events of
    `zero-inflated gamma` make the expected number of zeros that of the recorded ones; its shape is
    that of maximum likelihood for the responses above 0 (Minka, Estimating a gamma distribution,
    2002, here with known means).

    Args:
        family: The distribution.
        truth: Recorded responses; NaN where they are not used.
        mean: Predicted means; positive unless the family is `normal`.
    """
    known = np.isfinite(truth)
    count = known.sum(axis=0)
    if family == "poisson":
        parameters = np.zeros((0, truth.shape[1]))
    elif family == "normal":
        squares = np.where(known, truth - mean, 0.0) ** 2
        deviation = np.sqrt(squares.sum(axis=0) / np.maximum(count, 1))
        exists = (count >= FEWEST_SAMPLES) & (deviation > 0)
        parameters = np.where(exists, deviation, np.nan)[None]
    else:
        parameters = _fit_gamma(np.where(known, truth, 0.0), mean, known)
    return Distribution(family=family, parameters=parameters)


def are_counts(responses: F64) -> bool:
    """Return whether responses, of which NaN are left out, are counts: whole and not negative."""
    known = responses[np.isfinite(responses)]
    whole = np.abs(known - np.rint(known)) <= 1e-5 * np.maximum(known, 1.0)
    return bool(known.size and known.max() >= 1 and known.min() >= 0 and whole.all())


def coverage(below: F64, up_to: F64, level: float) -> F64:
    """Return the probability that each response lies in its central predictive interval.

    The interval is that of the randomized probability integral transform, which is uniform between
    `below` and `up_to` (Smith, Journal of Forecasting 1985), so that point masses are cut in two
    where the interval ends, and a calibrated prediction is covered at exactly the nominal level.
    The mean over that randomness is returned (Czado, Gneiting and Held, Biometrics 2009): it needs
    no random numbers.

    Args:
        below: Probability of a smaller response.
        up_to: Probability of a response that is not larger.
        level: Nominal coverage, between 0 and 1.

    Example:
        >>> coverage(np.array([0.0, 0.5]), np.array([0.5, 0.5]), 0.5)
        array([0.5, 1. ])
    """
    low, high = (1 - level) / 2, (1 + level) / 2
    mass = up_to - below
    inside = ((up_to >= low) & (up_to <= high)).astype(np.float64)
    overlap = np.maximum(np.minimum(up_to, high) - np.maximum(below, low), 0.0)
    covered: F64 = np.divide(overlap, mass, out=inside, where=mass > 0)
    return covered


def _normal(truth: Tensor, mean: Tensor, parameters: Tensor) -> tuple[Tensor, ...]:
    up_to = special.ndtr((truth - mean) / parameters[0])
    return _normal_likelihood(truth, mean, parameters), up_to, up_to


def _normal_likelihood(truth: Tensor, mean: Tensor, parameters: Tensor) -> Tensor:
    (deviation,) = parameters
    z = (truth - mean) / deviation
    likelihood: Tensor = -z.square() / 2 - deviation.log() - math.log(2 * math.pi) / 2
    return likelihood


def _poisson(truth: Tensor, mean: Tensor, parameters: Tensor) -> tuple[Tensor, ...]:
    count = truth.round()
    above = _incomplete_gamma(special.gammaincc, count.clamp(min=1), mean)
    up_to = _incomplete_gamma(special.gammaincc, count + 1, mean)
    likelihood = _poisson_likelihood(truth, mean, parameters)
    return likelihood, torch.where(count > 0, above, 0.0), up_to


def _poisson_likelihood(truth: Tensor, mean: Tensor, parameters: Tensor) -> Tensor:  # noqa: ARG001 - the signature of families
    count = truth.round()
    likelihood: Tensor = special.xlogy(count, mean) - mean - special.gammaln(count + 1)
    return likelihood


def _gamma(truth: Tensor, mean: Tensor, parameters: Tensor) -> tuple[Tensor, ...]:
    shape, _, zero = parameters
    active, rate = _activity(mean, parameters)
    is_zero = truth <= zero
    response = torch.where(is_zero, zero, truth)
    up_to = 1 - active + active * _incomplete_gamma(special.gammainc, shape, rate * response)
    above = _gamma_density(response, shape, active, rate)
    likelihood = torch.where(is_zero, _log_probability(up_to), above)
    return likelihood, torch.where(is_zero, 0.0, up_to), up_to


def _gamma_likelihood(truth: Tensor, mean: Tensor, parameters: Tensor) -> Tensor:
    shape, _, zero = parameters
    active, rate = _activity(mean, parameters)
    is_zero = truth <= zero
    of_zero = 1 - active + active * _incomplete_gamma(special.gammainc, shape, rate * zero)
    above = _gamma_density(torch.where(is_zero, zero, truth), shape, active, rate)
    return torch.where(is_zero, _log_probability(of_zero), above)


def _activity(mean: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Return the probability that anything happens, and the rate of the gamma distribution then."""
    shape, events, _ = parameters
    active = -torch.expm1(-events * mean)
    return active, shape * active / mean


def _gamma_density(response: Tensor, shape: Tensor, active: Tensor, rate: Tensor) -> Tensor:
    of_active = shape * rate.log() + (shape - 1) * response.log() - rate * response
    density: Tensor = active.log() + of_active - special.gammaln(shape)
    return density


def _log_probability(probability: Tensor) -> Tensor:
    return probability.clamp(min=1e-300).log()


def _incomplete_gamma(
    function: Callable[[Tensor, Tensor], Tensor], shape: Tensor, x: Tensor
) -> Tensor:
    """Compute an incomplete gamma function, NaN where an argument is."""
    # Of NaN, the functions themselves take thirty times as long.
    known = ~(shape + x).isnan()
    return torch.where(
        known, function(torch.where(known, shape, 1.0), torch.where(known, x, 1.0)), math.nan
    )


def _fit_gamma(truth: F64, mean: F64, known: NDArray[np.bool_]) -> F64:
    count = known.sum(axis=0)
    zero = ZERO_SHARE * truth.sum(axis=0) / np.maximum(count, 1)
    positive = known & (truth > zero)
    num_positive = positive.sum(axis=0)
    events = _fit_events(mean, known, num_positive)
    ratio = np.where(positive, truth * -np.expm1(-events * mean) / mean, 1.0)
    # A sample that is not positive adds 0.
    excess = (ratio - np.log(ratio) - 1).sum(axis=0) / np.maximum(num_positive, 1)
    exists = (count >= FEWEST_SAMPLES) & (num_positive >= FEWEST_POSITIVE) & (excess > 0)
    shape = _shape(torch.from_numpy(np.where(exists, excess, 1.0))).numpy()
    return np.where(exists, np.stack([shape, events, zero]), np.nan)


def _fit_events(mean: F64, known: NDArray[np.bool_], num_positive: NDArray[np.int64]) -> F64:
    """Solve `sum(exp(-events * mean)) = zeros` by Newton's method.

    The logarithm of the sum is convex and falls: no step from 0 goes beyond the solution.
    """
    count = known.sum(axis=0)
    # Half a zero and half another response more (Jeffreys' prior): neither is impossible.
    share = (count - num_positive + 0.5) / (count + 1)
    # A sample that is not known adds 0 to both sums.
    size, log_zeros = np.where(known, mean, 0.0), np.log(share * np.maximum(count, 1))
    events: F64 = np.zeros(len(count))
    for _ in range(MOST_EVENT_STEPS):
        nothing = np.where(known, np.exp(-events * size), 0.0)
        total, slope = nothing.sum(axis=0), (size * nothing).sum(axis=0)
        excess = np.log(np.where(total > 0, total, 1.0)) - log_zeros
        step = np.divide(excess * total, slope, out=np.zeros(len(count)), where=slope > 0)
        events = events + step
        if np.all(np.abs(step) <= EVENT_TOLERANCE * events):
            break
    return events


def _shape(excess: Tensor) -> Tensor:
    """Solve `log(shape) - digamma(shape) = excess` by Newton's method on 1 / shape."""
    shape = (3 - excess + ((excess - 3).square() + 24 * excess).sqrt()) / (12 * excess)
    for _ in range(NEWTON_STEPS):
        error = shape.log() - special.digamma(shape) - excess
        slope = shape.square() * (1 / shape - special.polygamma(1, shape))
        shape = 1 / (1 / shape + error / slope)
    return shape
