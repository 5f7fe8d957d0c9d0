"""Averages of signals in bins of time, as columns of a regression."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.evaluation.session_reader import F32, Range

# The latest sample of a window at or before each sample of the other signal.
BEHAVIOR_AT_RESPONSES = np.arange(NUM_RESPONSE_SAMPLES) * int(BEHAVIOR_RATE_HZ)
BEHAVIOR_AT_RESPONSES //= int(RESPONSE_RATE_HZ)
RESPONSES_AT_BEHAVIOR = np.arange(NUM_BEHAVIOR_SAMPLES) * int(RESPONSE_RATE_HZ)
RESPONSES_AT_BEHAVIOR //= int(BEHAVIOR_RATE_HZ)

# Lengths of the bins that the visible past is averaged in, from its end backwards; the rest is one.
RECENT_BINS = (2, 4, 7)


def average_past(values: F32) -> F32:
    """Average in bins that widen from the end backwards: `(windows, bins * columns)`."""
    edges = [values.shape[1]]
    for size in RECENT_BINS:
        if edges[-1] > size:
            edges.append(edges[-1] - size)
    edges.append(0)
    bins = [(first, last) for last, first in itertools.pairwise(edges) if last > first]
    return np.concatenate([values[:, first:last].mean(axis=1) for first, last in bins], axis=1)


def average_bins(values: F32, size: int) -> F32:
    """Average in bins of one size: `(windows, bins * columns)`."""
    starts = np.arange(0, values.shape[1], size)
    counts = np.diff(np.append(starts, values.shape[1])).astype(np.float32)
    means = np.add.reduceat(values, starts, axis=1) / counts[:, None]
    return means.reshape(len(values), -1).astype(np.float32)


def average_around(values: F32, centers: NDArray[np.int64], lags: Sequence[Range]) -> F32:
    """Average in bins around centers; a bin that lies outside takes the nearest sample.

    Args:
        values: float32 `(windows, samples, columns)`.
        centers: int64 `(centers,)`: samples, counted from the first one of `values`.
        lags: Half-open bins relative to a center.

    Returns:
        float32 `(windows, centers, bins * columns)`.
    """
    length = values.shape[1]
    sums = np.zeros((len(values), length + 1, values.shape[2]), np.float32)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    parts = []
    for first, last in lags:
        low = np.clip(centers + first, 0, length - 1)
        high = np.clip(centers + last, low + 1, length)
        counts = (high - low).astype(np.float32)
        parts.append((sums[:, high] - sums[:, low]) / counts[:, None])
    return np.concatenate(parts, axis=2)
