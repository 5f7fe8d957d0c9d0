"""Effects that runs share, such as that of a subset of the data: their size, and new draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.metrics.intervals import Interval
from omnimouse_cli.report.table import Array, RunRow, get_column, number_levels, number_subsets

Groups = NDArray[np.intp]

# With fewer subsets beyond the first of each amount, their effect cannot be told from the law.
MIN_REPEATED_SUBSETS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedEffects:
    """Residuals of ln loss as a sum of an effect of the group of a run and of the run itself.

    Args:
        groups: Number of the group of each row, `(rows,)`.
        between: Variance of the effects of groups.
        within: Variance of runs of one group.
        degrees: Degrees of freedom of both.
        group_means: Standardized effects of groups, `(groups,)`.
        deviations: Standardized deviations of rows from their group, `(rows,)`.
        rows_per_group: Typical number of rows of a group.
    """

    groups: Groups
    between: float
    within: float
    degrees: tuple[int, int]
    group_means: Array
    deviations: Array
    rows_per_group: float

    def estimate(self) -> Interval:
        """Return the standard deviation of the effects of groups with its 95 % interval."""
        from scipy.stats import chi2

        between, _ = self.degrees
        square = self.between * self.rows_per_group + self.within
        ends = between * square / chi2.ppf([0.975, 0.025], between)
        low, high = np.sqrt(np.maximum(ends - self.within, 0) / self.rows_per_group)
        return Interval(value=math.sqrt(self.between), low=float(low), high=float(high))

    def draw(self, num_draws: int, generator: np.random.Generator) -> Array:
        """Draw residuals anew, float64 `(draws, rows)`.

        Effects of groups and of runs are drawn with replacement from those found, scaled to the
        estimated variances (Carpenter, Goldstein and Rasbash 2003), which themselves vary from draw
        to draw as far as their degrees of freedom leave them uncertain. The variance of groups is
        that of their means minus that expected from their runs, at least 0, as in `estimate`.
        """
        of_groups, of_runs = self.degrees
        square = self.between * self.rows_per_group + self.within
        within: Array = self.within * of_runs / generator.chisquare(of_runs, (num_draws, 1))
        squares: Array = square * of_groups / generator.chisquare(of_groups, (num_draws, 1))
        between = np.maximum(squares - within, 0) / self.rows_per_group
        means = generator.choice(self.group_means, (num_draws, len(self.group_means)))
        deviations = generator.choice(self.deviations, (num_draws, len(self.deviations)))
        drawn: Array = means[:, self.groups] * np.sqrt(between) + deviations * np.sqrt(within)
        return drawn


def find_shared_groups(rows: Sequence[RunRow]) -> Groups | None:
    """Return the subset of data of each row; None where their effect cannot be estimated."""
    groups = number_subsets(rows)
    if groups is None or count_repeated_subsets(rows) < MIN_REPEATED_SUBSETS:
        return None
    return groups


def count_repeated_subsets(rows: Sequence[RunRow]) -> int:
    """Return how many subsets there are beyond the first of each amount of data."""
    groups = number_subsets(rows)
    if groups is None:
        return 0
    levels = number_levels(get_column(rows, "tokens"))
    return len(np.unique(groups)) - len(np.unique(levels))


def sum_group_squares(residuals: Array, groups: Groups) -> float:
    """Return the sum of squares between groups, of residuals `(rows,)`."""
    counts = np.bincount(groups)
    means = np.bincount(groups, residuals) / counts
    return float((counts * (means - residuals.mean()) ** 2).sum())


def estimate_effects(
    residuals: Array, groups: Groups, *, fitted_between: int, fitted_within: int
) -> SharedEffects | None:
    """Estimate both variances by an analysis of variance; None without degrees of freedom.

    Args:
        residuals: Ln loss minus the fitted one, `(rows,)`.
        groups: Number of the group of each row, from 0, `(rows,)`.
        fitted_between: Number of fitted parameters that depend on differences between groups.
        fitted_within: Number of those that depend on differences within groups.
    """
    counts = np.bincount(groups)
    num_groups, num_rows = len(counts), len(residuals)
    degrees = (num_groups - fitted_between, num_rows - num_groups - fitted_within)
    if degrees[0] < 1 or degrees[1] < 1:
        return None
    means = np.bincount(groups, residuals) / counts
    deviations = residuals - means[groups]
    within = float((deviations**2).sum()) / degrees[1]
    square = sum_group_squares(residuals, groups) / degrees[0]
    rows_per_group = (num_rows - float((counts**2).sum()) / num_rows) / (num_groups - 1)
    return SharedEffects(
        groups=groups,
        between=max(0.0, (square - within) / rows_per_group),
        within=within,
        degrees=degrees,
        group_means=_standardize(means),
        deviations=_standardize(deviations),
        rows_per_group=rows_per_group,
    )


def _standardize(values: Array) -> Array:
    spread = values.std()
    return (values - values.mean()) / spread if spread > 0 else np.zeros_like(values)
