"""The inputs of a masking strategy as columns of a linear regression."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, RESPONSE_RATE_HZ
from omnimouse_cli.evaluate.session_reader import F32, I64, Range, SessionReader
from omnimouse_cli.evaluate.targets import Targets
from omnimouse_cli.recording.recording import latest_index

# Lengths of the bins that the visible past is averaged in, from its end backwards; the rest is one.
RECENT_BINS = (2, 4, 7)
# Bins around a target sample, in samples of 1/30 s: narrow near it, wide far from it.
RESPONSE_LAGS = ((-8, -3), (-3, -1), (-1, 2), (2, 4), (4, 9))
DECODE_LAGS = ((-30, -15), (-15, -6), (-6, -2), (-2, 3), (3, 7), (7, 16), (16, 31))
SCREEN_LAGS = ((-25, -16), (-16, -10), (-10, -6), (-6, -3), (-3, -1), (-1, 1))
BEHAVIOR_LAGS = ((-12, -4), (-4, -1), (-1, 2), (2, 5))
SCREEN_BIN_SAMPLES = 5
BEHAVIOR_BIN_SAMPLES = 4
# Larger populations are described by this many of their principal components.
MAX_NEURONS = 400
POPULATION_COMPONENTS = 256
BASIS_SAMPLES = 8000
# Patches of the screen over which brightness and contrast are averaged.
COARSE_ROWS, COARSE_COLUMNS = 6, 8
FRAMES_AT_ONCE = 4096
# Wide groups are described by so many components.
GROUP_COMPONENTS, SCREEN_COMPONENTS = 1_000, 200
# Weights of the screen's columns beside the others: they are many and explain little.
SCREEN_WEIGHTS = (0.0, 0.2, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Features:
    """Makes the columns of a regression for the targets of one strategy and session.

    Args:
        targets: What is predicted.
        training: int64: windows on which a basis of the population may be fitted.
    """

    targets: Targets
    training: I64

    @property
    def per_sample(self) -> bool:
        """Whether each target sample is a row of the regression; else each window is one.

        Where all visible responses lie before the target samples, each of these has weights of its
        own; where responses around them are visible, they share weights.
        """
        prefix = self.targets.strategy.prefix
        only_past = prefix is not None and prefix[1] <= self.targets.samples[0]
        return self.targets.is_behavior or not only_past

    @property
    def _screen_group(self) -> int | None:
        """Which group is the screen: it comes last, before behavior."""
        inputs = self.targets.inputs
        if "stimulus" not in inputs:
            return None
        return self._num_groups - (2 if "behavior" in inputs else 1)

    @property
    def _num_groups(self) -> int:
        strategy = self.targets.strategy
        past = strategy.full_population_prefix > 0 and strategy.num_visible is not None
        others = {"stimulus", "behavior"}.intersection(self.targets.inputs)
        return (strategy.prefix is not None) + past + len(others)

    @property
    def weights(self) -> list[tuple[float, ...]]:
        """For each group the weights to choose from."""
        weights: list[tuple[float, ...]] = [(1.0,)] * self._num_groups
        if self._screen_group is not None:
            weights[self._screen_group] = SCREEN_WEIGHTS
        return weights

    @property
    def components(self) -> list[int]:
        """For each group the components that describe it if it is more than twice as wide."""
        components = [GROUP_COMPONENTS] * self._num_groups
        if self._screen_group is not None:
            components[self._screen_group] = SCREEN_COMPONENTS
        return components

    def columns(self, grid: I64, samples: I64) -> list[F32]:
        """Return the columns of windows, in groups of one kind.

        Args:
            grid: int64 `(windows,)`.
            samples: int64 `(samples,)`: target samples; not used unless `per_sample`.

        Returns:
            Each float32 `(windows, columns)`, or `(windows, samples, columns)` if `per_sample`.
        """
        groups = self._response_groups(grid, samples)
        if "stimulus" in self.targets.inputs:
            groups.append(self._screen(grid, samples))
        if "behavior" in self.targets.inputs:
            groups.append(self._behavior(grid, samples))
        return groups

    def _response_groups(self, grid: I64, samples: I64) -> list[F32]:
        strategy = self.targets.strategy
        if strategy.prefix is None:
            return []
        visible = self.targets.selection.visible[0].numpy()
        values = self._population(grid, strategy.prefix, visible)
        if self.per_sample:
            lags = DECODE_LAGS if self.targets.is_behavior else RESPONSE_LAGS
            centers = self._response_samples(samples) - strategy.prefix[0]
            groups = [average_around(values, centers, lags)]
        else:
            groups = [average_past(values)]
        if strategy.full_population_prefix and strategy.num_visible is not None:
            everyone = np.arange(self.targets.reader.session.num_neurons)
            past = average_past(self._population(grid, strategy.full_population_range, everyone))
            if self.per_sample:
                past = np.repeat(past[:, None], len(samples), axis=1)
            groups.append(past)
        return groups

    def _screen(self, grid: I64, samples: I64) -> F32:
        video = self.targets.strategy.video
        assert video is not None, "the strategy shows the stimulus"
        shown = screen_features(self.targets.reader, grid, video)
        if self.per_sample:
            return average_around(shown, self._response_samples(samples) - video[0], SCREEN_LAGS)
        return average_bins(shown, SCREEN_BIN_SAMPLES)

    def _behavior(self, grid: I64, samples: I64) -> F32:
        if self.per_sample:
            return behavior_columns(self.targets, grid, samples)
        return average_bins(self.targets.input_behavior(grid), BEHAVIOR_BIN_SAMPLES)

    def _response_samples(self, samples: I64) -> I64:
        if self.targets.is_behavior:
            return (samples * RESPONSE_RATE_HZ / BEHAVIOR_RATE_HZ).astype(np.int64)
        return samples

    def _population(self, grid: I64, samples: Range, neurons: I64) -> F32:
        """Return responses of a population, or its components: `(windows, samples, columns)`."""
        values = self.targets.reader.responses(grid, samples, neurons)
        basis = self._basis
        if basis is None or len(neurons) <= MAX_NEURONS:
            return values
        projected: F32 = values @ basis[neurons]
        return projected

    @cached_property
    def _basis(self) -> F32 | None:
        """Principal components of the whole population in training: `(neurons, components)`."""
        from sklearn.decomposition import PCA

        reader = self.targets.reader
        if reader.session.num_neurons <= MAX_NEURONS or len(self.training) == 0:
            return None
        chosen = np.linspace(0, len(self.training) - 1, BASIS_SAMPLES // 10).astype(np.int64)
        values = reader.responses(self.training[np.unique(chosen)], (0, 60))[:, ::6]
        pca = PCA(POPULATION_COMPONENTS, svd_solver="randomized", iterated_power=2, random_state=0)
        pca.fit(values.reshape(-1, values.shape[2]))
        return np.ascontiguousarray(pca.components_.T, dtype=np.float32)


def behavior_columns(targets: Targets, grid: I64, samples: I64) -> F32:
    """Average behavior in bins around target samples.

    Args:
        targets: What is predicted, with behavior among the inputs.
        grid: int64 `(windows,)`.
        samples: int64 `(samples,)`.

    Returns:
        float32 `(windows, samples, bins * channels)`.
    """
    if not targets.is_behavior:
        samples = (samples * BEHAVIOR_RATE_HZ / RESPONSE_RATE_HZ).astype(np.int64)
    first, last = targets.strategy.behavior_samples
    centers = np.clip(samples - first, 0, last - first - 1)
    return average_around(targets.input_behavior(grid), centers, BEHAVIOR_LAGS)


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


def screen_features(reader: SessionReader, grid: I64, samples: Range) -> F32:
    """Describe the screen by brightness, contrast and change of its patches.

    The change is against the flip before, which a window need not hold: only that tells motion
    from a still picture.

    Args:
        reader: The session.
        grid: int64 `(windows,)`.
        samples: First and last frame within the windows, half-open.

    Returns:
        float32 `(windows, samples, features)`.
    """
    coarse, frame_index = _coarse_session_frames(reader), reader.shard.frame_index
    flips = latest_index(reader.shard.flip_seconds, reader.sample_seconds(grid, samples))
    now = coarse[frame_index[flips]]
    num_patches = now.shape[-1] // 2
    change = now[..., :num_patches] - coarse[frame_index[np.maximum(flips - 1, 0)], :num_patches]
    np.abs(change, out=change)
    return np.concatenate([now, change], axis=-1)


# The strategies of a session share its frames.
@lru_cache(maxsize=1)
def _coarse_session_frames(reader: SessionReader) -> F32:
    return coarse_frames(reader.shard.frames)


def coarse_frames(frames: NDArray[np.uint8]) -> F32:
    """Return mean and standard deviation of each of 6 x 8 patches of every frame.

    Args:
        frames: uint8 `(frames, height, width)`.

    Returns:
        float32 `(frames, 96)`: 48 means, then 48 deviations, in grey levels / 59.
    """
    count, height, width = frames.shape
    rows = np.linspace(0, height, min(COARSE_ROWS, height) + 1).astype(int)
    columns = np.linspace(0, width, min(COARSE_COLUMNS, width) + 1).astype(int)
    area = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    features = np.empty((count, 2 * area.size), np.float32)
    for first in range(0, count, FRAMES_AT_ONCE):
        part = frames[first : first + FRAMES_AT_ONCE].astype(np.float32) / 59.0
        mean = _patch_sums(part, rows, columns) / area
        square = _patch_sums(part**2, rows, columns) / area
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        both = np.stack([mean, deviation], axis=1)
        features[first : first + FRAMES_AT_ONCE] = both.reshape(len(part), -1)
    return features


def _patch_sums(frames: F32, rows: I64, columns: I64) -> F32:
    return np.add.reduceat(np.add.reduceat(frames, rows[:-1], axis=1), columns[:-1], axis=2)
