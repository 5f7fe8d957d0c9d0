"""Goodness of fit: what a form leaves unexplained, beyond the noise between equal runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.report.fitting import Fit
from omnimouse_cli.report.table import (
    MIN_NOISE_FREEDOM,
    ROUNDING,
    SAME_LEVEL,
    RunRow,
    get_column,
    number_levels,
)

# A form fits if it misses at most this share of the variance of ln loss, beyond noise.
MAX_MISFIT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodness:
    """How well a form fits.

    Args:
        r2: Share of the variance of ln loss that the form explains.
        rms: Root mean square of the residuals of ln loss.
        noise: Standard deviation of ln loss between runs of one size and amount of data; None
            without enough of them.
        misfit: Share of the variance of ln loss that neither the form nor this noise explains.
    """

    r2: float
    rms: float
    noise: float | None
    misfit: float

    @property
    def fits(self) -> bool:
        """Return whether numbers of the form mean anything."""
        return self.misfit <= MAX_MISFIT

    def describe(self) -> str:
        """Return the numbers in words."""
        noise = "unknown" if self.noise is None else f"{self.noise:.2%}"
        return (
            f"it explains {self.r2:.1%} of the variance of ln loss, and misses runs by "
            f"{self.rms:.2%} (root mean square; noise between equal runs: {noise})"
        )


def assess_fit(result: Fit, rows: Sequence[RunRow]) -> Goodness:
    """Return the goodness of a fit.

    Args:
        result: Fit of all rows.
        rows: Runs that were fitted.
    """
    variance = max(float(result.problem.y.var()), 1e-300)
    square = float((result.residuals**2).mean())
    noise = compute_replicate_noise(rows)
    beyond = square if noise is None else max(0.0, square - noise**2)
    return Goodness(
        r2=1 - square / variance, rms=square**0.5, noise=noise, misfit=beyond / variance
    )


def compute_replicate_noise(rows: Sequence[RunRow]) -> float | None:
    """Return the standard deviation of ln loss between runs of one size and amount, pooled.

    Subsets of data of one amount are equal runs too. None with fewer than two degrees of freedom.
    """
    has_subsets = any(row.subset is not None for row in rows)
    levels = number_levels(get_column(rows, "tokens"), SAME_LEVEL if has_subsets else ROUNDING)
    sizes = number_levels(get_column(rows, "parameters"), ROUNDING)
    groups = np.unique(np.stack([sizes, levels]), axis=1, return_inverse=True)[1].reshape(-1)
    loss = np.log(get_column(rows, "loss"))
    counts = np.bincount(groups)
    means = np.bincount(groups, loss) / counts
    freedom = len(rows) - len(counts)
    if freedom < MIN_NOISE_FREEDOM:
        return None
    return float(np.sqrt(((loss - means[groups]) ** 2).sum() / freedom))
