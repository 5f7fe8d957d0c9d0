"""The inputs of a masking strategy as columns of a linear regression."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnimouse_cli.evaluation.baselines.bins import (
    BEHAVIOR_AT_RESPONSES,
    RESPONSES_AT_BEHAVIOR,
    average_around,
    average_bins,
    average_past,
)
from omnimouse_cli.evaluation.baselines.choose import evenly_spaced
from omnimouse_cli.evaluation.baselines.scaling import ColumnGroups
from omnimouse_cli.evaluation.baselines.screen_features import screen_features
from omnimouse_cli.evaluation.session_reader import F32, I64, Range
from omnimouse_cli.evaluation.targets import Targets

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
# Wide groups are described by so many components.
GROUP_COMPONENTS, SCREEN_COMPONENTS = 1_000, 200
# Weights of the screen's columns beside the others: they are many and explain little.
SCREEN_WEIGHTS = (0.0, 0.2, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Features(ColumnGroups):
    """Makes the columns of a regression for the targets of one strategy and session.

    Args:
        training: int64: windows on which a basis of the population may be fitted.
    """

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
    def components(self) -> list[int | None]:
        """For each group the components that describe it if it is more than twice as wide."""
        components: list[int | None] = [GROUP_COMPONENTS] * self._num_groups
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
            return RESPONSES_AT_BEHAVIOR[samples]
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
        chosen = evenly_spaced(self.training, BASIS_SAMPLES // 10)
        values = reader.responses(chosen, (0, 60))[:, ::6]
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
        samples = BEHAVIOR_AT_RESPONSES[samples]
    first, last = targets.strategy.behavior_samples
    centers = np.clip(samples - first, 0, last - first - 1)
    return average_around(targets.input_behavior(grid), centers, BEHAVIOR_LAGS)
