"""Columns of a regression from groups of inputs: of unit variance, wide groups by components."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.evaluation.baselines.choose import evenly_spaced
from omnimouse_cli.evaluation.session_reader import F32, I64
from omnimouse_cli.evaluation.targets import WINDOWS_AT_ONCE, Targets

# Windows by which columns are scaled and components found have about this many rows.
SCALING_ROWS = 3_000


@dataclass(frozen=True, kw_only=True, eq=False)
class ColumnGroups(ABC):
    """Makes the columns of a regression, in groups of one kind.

    Args:
        targets: What is predicted.
    """

    targets: Targets

    @property
    def per_sample(self) -> bool:
        """Whether each target sample is a row of the regression; else each window is one."""
        return True

    @property
    @abstractmethod
    def weights(self) -> list[tuple[float, ...]]:
        """For each group the weights to choose from."""

    @property
    def components(self) -> list[int | None]:
        """For each group the components that describe it if it is more than twice as wide.

        None where no component replaces columns.
        """
        return [None] * len(self.weights)

    @abstractmethod
    def columns(self, grid: I64, samples: I64) -> list[F32]:
        """Return the groups for windows.

        Args:
            grid: int64 `(windows,)`.
            samples: int64 `(samples,)`: target samples; not used unless `per_sample`.

        Returns:
            Each float32 `(windows, columns)`, or `(windows, samples, columns)` if `per_sample`.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scaling:
    """Brings columns to zero mean and unit variance, and wide groups to their components.

    Args:
        means: float32 `(columns,)` of each group.
        stds: Standard deviations of the columns, of the same shapes.
        bases: Principal components of each group `(columns, components)`, None for narrow ones.
    """

    means: list[F32]
    stds: list[F32]
    bases: list[F32 | None]

    @classmethod
    def fit(cls, groups_of: ColumnGroups, grid: I64, samples: I64) -> "Scaling":
        """Fit to some training windows."""
        per_window = len(samples) if groups_of.per_sample else 1
        some = evenly_spaced(grid, SCALING_ROWS // per_window)
        groups = [group.reshape(-1, group.shape[-1]) for group in groups_of.columns(some, samples)]
        means = [group.mean(axis=0) for group in groups]
        stds = [group.std(axis=0) for group in groups]
        stds = [np.where(std > 1e-6, std, 1.0).astype(np.float32) for std in stds]
        bases = [
            _basis((group - mean) / std, number)
            for group, mean, std, number in zip(
                groups, means, stds, groups_of.components, strict=True
            )
        ]
        return cls(means=means, stds=stds, bases=bases)

    @property
    def _widths(self) -> list[int]:
        return [
            len(mean) if basis is None else basis.shape[1]
            for mean, basis in zip(self.means, self.bases, strict=True)
        ]

    def column_weights(self, weights: Sequence[float]) -> F32:
        """Return float32 `(columns,)`: the weights of groups, repeated for their columns."""
        return np.repeat(np.array(weights, np.float32), self._widths)

    @property
    def are_components(self) -> NDArray[np.bool_]:
        """Bool `(columns,)`: which columns are components, whose variances differ."""
        return np.repeat([basis is not None for basis in self.bases], self._widths)

    def columns(self, groups_of: ColumnGroups, grid: I64, samples: I64) -> F32:
        """Return the columns of a regression: float32 `(rows, columns)`."""
        return np.concatenate(
            [
                self._apply(groups_of.columns(grid[first : first + WINDOWS_AT_ONCE], samples))
                for first in range(0, len(grid), WINDOWS_AT_ONCE)
            ]
        )

    def _apply(self, groups: list[F32]) -> F32:
        parts = []
        for group, mean, std, basis in zip(groups, self.means, self.stds, self.bases, strict=True):
            scaled = (group.reshape(-1, group.shape[-1]) - mean) / std
            parts.append(scaled if basis is None else scaled @ basis)
        return np.concatenate(parts, axis=1).astype(np.float32)


def _basis(scaled: F32, components: int | None) -> F32 | None:
    from sklearn.decomposition import PCA

    if components is None or scaled.shape[1] <= 2 * components:
        return None
    components = min(components, *scaled.shape)
    pca = PCA(components, svd_solver="randomized", iterated_power=2, random_state=0).fit(scaled)
    return np.ascontiguousarray(pca.components_.T, dtype=np.float32)
