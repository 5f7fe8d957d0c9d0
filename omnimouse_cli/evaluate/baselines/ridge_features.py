"""What a row may see, as columns of a linear regression."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_BEHAVIOR_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.evaluate.signals import F32, I64, Range
from omnimouse_cli.evaluate.targets import Asked

# Lengths of the bins that the visible past is averaged in, from its end backwards; the rest is one.
RECENT_BINS = (2, 4, 7)
# Around an asked sample, in samples of 1/30 s: narrow near it, wide far from it.
RESPONSE_LAGS = ((-8, -3), (-3, -1), (-1, 2), (2, 4), (4, 9))
DECODE_LAGS = ((-30, -15), (-15, -6), (-6, -2), (-2, 3), (3, 7), (7, 16), (16, 31))
SCREEN_LAGS = ((-25, -16), (-16, -10), (-10, -6), (-6, -3), (-3, -1), (-1, 1))
BEHAVIOR_LAGS = ((-12, -4), (-4, -1), (-1, 2), (2, 5))
SCREEN_BIN_SAMPLES = 5
BEHAVIOR_BIN_SAMPLES = 4
# Larger populations are described by this many of their principal components.
MOST_NEURONS = 400
POPULATION_COMPONENTS = 256
BASIS_SAMPLES = 8000


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Makes the columns of a regression for one row and session.

    Args:
        asked: What is predicted.
        training: int64: windows that a basis of the population may be learned on.
    """

    asked: Asked
    training: I64

    @property
    def per_sample(self) -> bool:
        """Whether each asked sample is a row of the regression; else each window is one.

        Where all that is seen of the activity lies before the asked samples, each of them gets
        weights of its own; where activity is seen around them, they share theirs.
        """
        strategy = self.asked.strategy
        before = strategy.prefix is not None and strategy.prefix[1] <= self.asked.samples[0]
        return self.asked.behavior or not before

    def of(self, grid: I64, samples: I64) -> list[F32]:
        """Columns of windows, group by group.

        Args:
            grid: int64 `(windows,)`.
            samples: int64 `(samples,)`: asked samples; not used unless `per_sample`.

        Returns:
            Each float32 `(windows, columns)`, or `(windows, samples, columns)` if `per_sample`.
        """
        groups = [*self._responses(grid, samples)]
        if "stimulus" in self.asked.inputs:
            groups.append(self._screen(grid, samples))
        if "behavior" in self.asked.inputs:
            groups.append(self._behavior(grid, samples))
        return groups

    def _responses(self, grid: I64, samples: I64) -> list[F32]:
        strategy = self.asked.strategy
        if strategy.prefix is None:
            return []
        seen = self._population(grid, strategy.prefix, self.asked.visible)
        groups = []
        if self.per_sample:
            lags = DECODE_LAGS if self.asked.behavior else RESPONSE_LAGS
            centres = self._response_samples(samples) - strategy.prefix[0]
            groups.append(around(seen, centres, lags))
        else:
            groups.append(recent(seen))
        if strategy.full_population_prefix and strategy.num_visible is not None:
            everyone = np.arange(self.asked.signals.session.num_neurons)
            past = recent(self._population(grid, strategy.full_population_range, everyone))
            if self.per_sample:
                past = np.repeat(past[:, None], len(samples), axis=1)
            groups.append(past)
        return groups

    def _screen(self, grid: I64, samples: I64) -> F32:
        video = self.asked.strategy.video
        assert video is not None, "the row sees the stimulus"
        shown = self.asked.signals.screen(grid, video)
        if self.per_sample:
            return around(shown, self._response_samples(samples) - video[0], SCREEN_LAGS)
        return every(shown, SCREEN_BIN_SAMPLES)

    def _behavior(self, grid: I64, samples: I64) -> F32:
        behavior = self.asked.signals.behavior(grid)
        if not self.per_sample:
            return every(behavior, BEHAVIOR_BIN_SAMPLES)
        if not self.asked.behavior:
            samples = (samples * BEHAVIOR_RATE_HZ / RESPONSE_RATE_HZ).astype(np.int64)
        return around(behavior, np.minimum(samples, NUM_BEHAVIOR_SAMPLES - 1), BEHAVIOR_LAGS)

    def _response_samples(self, samples: I64) -> I64:
        if self.asked.behavior:
            return (samples * RESPONSE_RATE_HZ / BEHAVIOR_RATE_HZ).astype(np.int64)
        return samples

    def _population(self, grid: I64, seen: Range, neurons: I64) -> F32:
        """Responses of a population, or its components: `(windows, samples, columns)`."""
        values = self.asked.signals.responses(grid, seen, neurons)
        basis = self._basis
        if basis is None or len(neurons) <= MOST_NEURONS:
            return values
        projected: F32 = values @ basis[neurons]
        return projected

    @cached_property
    def _basis(self) -> F32 | None:
        """Principal components of the whole population in training: `(neurons, components)`."""
        from sklearn.decomposition import PCA

        signals = self.asked.signals
        if signals.session.num_neurons <= MOST_NEURONS or len(self.training) == 0:
            return None
        chosen = np.linspace(0, len(self.training) - 1, BASIS_SAMPLES // 10).astype(np.int64)
        values = signals.responses(self.training[np.unique(chosen)], (0, 60))[:, ::6]
        pca = PCA(POPULATION_COMPONENTS, svd_solver="randomized", iterated_power=2, random_state=0)
        pca.fit(values.reshape(-1, values.shape[2]))
        return np.ascontiguousarray(pca.components_.T, dtype=np.float32)


def recent(values: F32) -> F32:
    """Average the past in bins that widen backwards: `(windows, bins * columns)`.

    A mean over more samples is less noisy; it is scaled so that noise would not be.
    """
    length = values.shape[1]
    edges = [length]
    for size in RECENT_BINS:
        if edges[-1] > size:
            edges.append(edges[-1] - size)
    edges.append(0)
    bins = [(first, last) for last, first in itertools.pairwise(edges) if last > first]
    return np.concatenate([values[:, first:last].mean(axis=1) for first, last in bins], axis=1)


def every(values: F32, size: int) -> F32:
    """Average in bins of one size: `(windows, bins * columns)`."""
    starts = np.arange(0, values.shape[1], size)
    counts = np.diff(np.append(starts, values.shape[1])).astype(np.float32)
    means = np.add.reduceat(values, starts, axis=1) / counts[:, None]
    return means.reshape(len(values), -1).astype(np.float32)


def around(values: F32, centres: NDArray[np.int64], lags: Sequence[Range]) -> F32:
    """Average in bins around centres; a bin that lies outside takes the nearest sample.

    Args:
        values: float32 `(windows, samples, columns)`.
        centres: int64 `(centres,)`: samples, counted from the first one of `values`.
        lags: Half-open bins relative to a centre.

    Returns:
        float32 `(windows, centres, bins * columns)`.
    """
    length = values.shape[1]
    sums = np.zeros((len(values), length + 1, values.shape[2]), np.float32)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    parts = []
    for first, last in lags:
        low = np.clip(centres + first, 0, length - 1)
        high = np.clip(centres + last, low + 1, length)
        counts = (high - low).astype(np.float32)
        parts.append((sums[:, high] - sums[:, low]) / counts[:, None])
    return np.concatenate(parts, axis=2)
