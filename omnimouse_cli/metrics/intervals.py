"""95 % intervals: of numbers over windows of one recording, over sessions, animals and seeds.

All follow from a variance, a bias and degrees of freedom (`Spread`) by Student's t (`interval`).
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.metrics.resamples import num_waves

F64 = NDArray[np.float64]
LEVEL = 0.95
# With fewer blocks there is no interval.
FEWEST_BLOCKS = 5
# Sessions, animals or conditions beyond those at hand are spoken of only from so many on.
FEWEST_UNITS = 3
# Half periods of a wave, in autocorrelation times, for it to be slow against the states of the
# animal; chosen by simulation (benchmarks/intervals.py).
TIMES_PER_WAVE = 9.0
FEWEST_WAVES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """How far an estimate is expected to lie from the truth.

    Args:
        variance: Of the estimate, to first order.
        degrees: Degrees of freedom of the variance.
        bias: Expected value of the estimate less the truth, to second order.
    """

    variance: float
    degrees: float
    bias: float = 0.0

    @property
    def total(self) -> float:
        """Variance of the bias-corrected estimate.

        The second-order term of the error is about a square: its mean, the bias b, has variance
        2 b^2, and its estimate from n waves another 2 b^2 / n.
        """
        return self.variance + (2 + 2 / self.degrees) * self.bias**2


def resample_spread(value: float, resamples: F64, num_blocks: int) -> Spread | None:
    """Return the spread of a number over the windows of one recording.

    The long-run variance is that of the lowest cosine coefficients of time (equal-weighted cosine
    estimator with Student's t: Muller 2004; Lazarus, Lewis, Stock and Watson 2018). A coefficient
    is the change of the number when the blocks are weighted by 1 plus and by 1 minus the cosine,
    so that the variance holds what the number is not linear in; the mean of the two changes is the
    bias. As many cosines are used as are slow against the autocorrelation of the blocks, whose
    time is summed over Geyer's initial positive monotone sequence (1992).

    Args:
        value: The number.
        resamples: float64 `(resamples,)`: the number with the weights of
            `resamples.block_weights`.
        num_blocks: Number of blocks.

    Returns:
        None with fewer than 5 blocks, or where the number is undefined in a resample.
    """
    if num_blocks < FEWEST_BLOCKS or not np.isfinite(resamples).all():
        return None
    most = num_waves(num_blocks)
    plus, minus, left_out = np.split(resamples - value, [most, 2 * most])
    fitting = int(num_blocks / (TIMES_PER_WAVE * autocorrelation_time(left_out)))
    degrees = min(max(fitting, FEWEST_WAVES), most)
    rises, falls = plus[:degrees], minus[:degrees]
    return Spread(
        variance=float((rises**2 + falls**2).mean()),
        degrees=degrees,
        bias=float((rises + falls).mean()),
    )


def autocorrelation_time(series: F64) -> float:
    """Return the integrated autocorrelation time of a series in steps, at least 1.

    Example:
        >>> autocorrelation_time(np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0]))
        1.0
    """
    deviations = series - series.mean()
    power = np.abs(np.fft.rfft(deviations, 2 * len(series))) ** 2
    covariance = np.fft.irfft(power)[: len(series) // 4 * 2]
    if len(covariance) == 0 or covariance[0] <= 0:
        return 1.0
    pairs = covariance.reshape(-1, 2).sum(axis=1) / covariance[0]
    positive = np.minimum.accumulate(pairs)
    return max(2 * float(positive[positive > 0].sum()) - 1, 1.0)


def sum_spreads(spreads: Sequence[Spread], weights: Sequence[float] | F64) -> Spread:
    """Return the spread of a weighted sum of independent estimates.

    Degrees of freedom are those of Welch and Satterthwaite.

    Args:
        spreads: One per estimate.
        weights: Their weights in the sum.

    Example:
        >>> sum_spreads([Spread(variance=1.0, degrees=4)] * 3, [1.0, 1.0, 1.0]).degrees
        12.0
    """
    parts = np.array([w * w * spread.variance for spread, w in zip(spreads, weights, strict=True)])
    degrees = np.array([spread.degrees for spread in spreads])
    variance, scatter = float(parts.sum()), float((parts**2 / degrees).sum())
    return Spread(
        variance=variance,
        degrees=variance**2 / scatter if scatter > 0 else float(degrees.sum()),
        bias=float(sum(w * spread.bias for spread, w in zip(spreads, weights, strict=True))),
    )


def unit_spread(
    values: Sequence[float] | F64, weights: Sequence[float] | F64, units: Sequence[Hashable]
) -> Spread | None:
    """Return the spread of a weighted mean over units drawn at random, by the jackknife over them.

    What varies within a unit (the windows of a session, the sessions of an animal) varies between
    units too, so it is contained.

    Args:
        values: One per member of a unit.
        weights: Weight of each member in the mean.
        units: The unit of each member.

    Returns:
        None with fewer than 3 units.
    """
    names = list(dict.fromkeys(units))
    if len(names) < FEWEST_UNITS:
        return None
    numbers, shares = np.asarray(values, np.float64), np.asarray(weights, np.float64)
    kept = np.array([[unit != name for unit in units] for name in names])
    left_out = (kept @ (numbers * shares)) / (kept @ shares)
    degrees = len(names) - 1
    return Spread(variance=degrees * float(left_out.var()), degrees=degrees)


def mean_spread(
    values: Sequence[float],
    weights: Sequence[float],
    spreads: Sequence[Spread | None],
    levels: Mapping[str, Sequence[Hashable]],
) -> tuple[Spread | None, tuple[str, ...]]:
    """Return the spread of a weighted mean over sessions, and what it is over beyond windows.

    Where the spread between units is by chance smaller than that over windows, the latter is kept.

    Args:
        values: One per session.
        weights: Weight of each session in the mean.
        spreads: Of each value over the windows of its session; None where it is not known.
        levels: The unit of each session by the name of the level, as `sessions` and `animals`.

    Returns:
        The spread, None where it is not known, and the levels that have at least 3 units.
    """
    known = [spread for spread in spreads if spread is not None]
    if not known:
        return None, ()
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    of_known = shares[[spread is not None for spread in spreads]]
    widest, found = sum_spreads(known, of_known / of_known.sum()), []
    for level, units in levels.items():
        between = unit_spread(values, shares, units)
        if between is not None:
            found.append(level)
            between = replace(between, bias=widest.bias)
            widest = max(widest, between, key=half_width)
    # A session without a spread counts only where it is one of three or more.
    is_known = len(known) == len(values) or bool(found)
    return (widest if is_known else None), tuple(found)


def seed_spread(values: Sequence[float] | F64) -> Spread:
    """Return the spread of a mean over seeds.

    Args:
        values: One per seed, at least two.
    """
    variance = float(np.var(values, ddof=1)) / len(values)
    return Spread(variance=variance, degrees=len(values) - 1)


def interval(value: float, spread: Spread, *, is_correlation: bool = False) -> tuple[float, float]:
    """Return the 95 % interval of a number.

    Its middle is the value less the bias; it contains the value.

    Args:
        value: The number.
        spread: Its spread.
        is_correlation: Whether the middle of the interval is taken on Fisher's z, so that it lies
            in [-1, 1].

    Example:
        >>> low, high = interval(0.0, Spread(variance=1.0, degrees=10))
        >>> round(high, 3)
        2.228
    """
    half = half_width(spread)
    if not is_correlation:
        return value - spread.bias - half, value - spread.bias + half
    # Fisher's z of exactly 1 is infinite.
    slope = max(1 - value**2, 1e-12)
    middle = math.atanh(math.copysign(min(abs(value), 1 - 1e-12), value)) - spread.bias / slope
    low, high = math.tanh(middle - half / slope), math.tanh(middle + half / slope)
    return min(low, value), max(high, value)


def half_width(spread: Spread) -> float:
    """Return half the width of the 95 % interval, before Fisher's z."""
    return student_quantile(spread.degrees) * math.sqrt(spread.total)


@lru_cache(maxsize=1024)
def student_quantile(degrees: float) -> float:
    """Return the 97.5th percentile of Student's t; degrees of freedom need not be whole.

    Example:
        >>> round(student_quantile(3), 3)
        3.182
    """
    # With t = sqrt(n) tan(a), the density of a is a power of its cosine.
    angle = np.linspace(0.0, np.pi / 2, 20_001)
    density = np.cos(angle) ** (degrees - 1)
    share = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    quantile = float(np.interp(LEVEL, share / share[-1], angle))
    return math.sqrt(degrees) * math.tan(quantile)


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
    mean = float(np.mean(values))
    low, high = interval(mean, seed_spread(values))
    return Interval(value=mean, low=max(low, within[0]), high=min(high, within[1]))


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
    variance = (num_seeds - 1) * float(left_out.var())
    low, high = interval(whole, Spread(variance=variance, degrees=num_seeds - 1))
    return Interval(value=whole, low=low, high=high)


def percentile_interval(resamples: F64) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of a resampled statistic."""
    return float(np.percentile(resamples, 2.5)), float(np.percentile(resamples, 97.5))
