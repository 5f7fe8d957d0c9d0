"""Medians and distinct values, for what reads a single recording.

NumPy's own ask whether they are given masked arrays, and import those first: that is 7 ms of the
start of a command.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)


def median(values: NDArray[np.float64]) -> float:
    """Give the median of finite numbers, of which there is at least one."""
    ordered = np.sort(values)
    below, above = (len(ordered) - 1) // 2, len(ordered) // 2
    return float((ordered[below] + ordered[above]) / 2)


def distinct(values: NDArray[Kind]) -> NDArray[Kind]:
    """Give the different values of a column without NaN, ascending."""
    ordered: NDArray[Any] = np.sort(values)
    if ordered.size == 0:
        return ordered
    return ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]
