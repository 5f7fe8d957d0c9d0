"""95 % intervals of independent values: means, shares, the jackknife, percentiles of resamples.

Intervals over windows, which are not independent, are in `bootstrap`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
LEVEL = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


def mean_interval(
    values: Sequence[float] | F64, *, within: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Return the mean and its interval by Student's t.

    Args:
        values: One per seed.
        within: Bounds of the mean, such as 0 and 1 of a probability; the interval is clipped.

    Example:
        >>> mean_interval([1.0, 1.0, 1.0]).low
        1.0
    """
    array = np.asarray(values, np.float64)
    mean = float(array.mean())
    half = float(_student_quantile(len(array)) * array.std(ddof=1) / len(array) ** 0.5)
    return Interval(value=mean, low=max(mean - half, within[0]), high=min(mean + half, within[1]))


def share_interval(count: int, total: int) -> tuple[float, float]:
    """Return Clopper and Pearson's exact interval of a probability.

    Example:
        >>> share_interval(0, 0)
        (0.0, 1.0)
    """
    from scipy.stats import beta

    tail = (1 - LEVEL) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, total - count + 1))
    high = 1.0 if count == total else float(beta.ppf(1 - tail, count + 1, total - count))
    return low, high


def jackknife_interval(statistic: Callable[[F64], float], num_seeds: int) -> Interval:
    """Return a statistic of all seeds and its interval by the jackknife.

    Args:
        statistic: Maps weights `(seeds,)`, each 1 or 0, to a number.
        num_seeds: Number of seeds, at least 2.
    """
    whole = statistic(np.ones(num_seeds))
    left_out = np.array([statistic(1 - row) for row in np.eye(num_seeds)])
    error = math.sqrt((num_seeds - 1) * float(left_out.var()))
    half = _student_quantile(num_seeds) * error
    return Interval(value=whole, low=whole - half, high=whole + half)


def percentile_interval(resamples: F64) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of a resampled statistic."""
    return float(np.percentile(resamples, 2.5)), float(np.percentile(resamples, 97.5))


def _student_quantile(num_seeds: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.5 + LEVEL / 2, num_seeds - 1))
