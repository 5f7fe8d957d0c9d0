"""Whether a difference is there: p values of intervals, corrected for the number of comparisons."""

from collections.abc import Sequence

import numpy as np

from omnimouse_cli.metrics.intervals import LEVEL, Interval


def interval_p(interval: Interval, degrees: float, *, border: float = 0.0) -> float:
    """Return the two-sided p value, by Student's t, of a value that differs from a border.

    Args:
        interval: Its 95 % interval, symmetric about the value.
        degrees: Degrees of freedom of the interval.
        border: Value under the null hypothesis.

    Example:
        >>> round(interval_p(Interval(value=1.0, low=0.0, high=2.0), 9), 12)
        0.05
    """
    from scipy.stats import t

    distance, half = abs(interval.value - border), (interval.high - interval.low) / 2
    if half == 0:
        return 1.0 if distance == 0 else 0.0
    return float(2 * t.sf(distance / half * t.ppf((1 + LEVEL) / 2, degrees), degrees))


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number by Holm's step-down method (1979).

    Example:
        >>> adjust_holm([0.03, 0.01, 0.02])
        [0.04, 0.03, 0.04]
    """
    order = np.argsort(p_values, kind="stable")
    scaled = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()
