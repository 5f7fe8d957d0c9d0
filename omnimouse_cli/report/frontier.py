"""Compute-optimal sizes by the joint law, and isoFLOP parabolas as a cross-check."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.report.table import Array, RunRow, find_levels, get_column, get_compute

MIN_SIZES = 5
# A parabola holds near its minimum: it takes sizes up to this factor from the best one.
NEAR_BEST = 4.0
MIN_LEVELS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The best size and amount of data for a compute budget, C = operations N D.

    Args:
        compute: Budgets; in units of parameters x tokens where compute was not measured.
        parameters: Best size for each.
        tokens: Best amount of data for each.
        measured: Whether compute was measured.
        operations: Median compute per parameter and token (1 when not measured).
        spread: 90th over 10th percentile of compute per parameter and token.
        isoflop_exponent: Growth of the best size with compute by parabolas; None without levels.
        isoflop_levels: Number of levels of equal compute with a minimum inside.
        isoflop_r2: Share of the variance of ln N of the minima that a power of compute explains.
    """

    compute: Array
    parameters: Array
    tokens: Array
    measured: bool
    operations: float
    spread: float
    isoflop_exponent: float | None
    isoflop_levels: int
    isoflop_r2: float | None


def compute_frontier(rows: Sequence[RunRow], values: dict[str, float]) -> Frontier:
    """Return the frontier over the table's range of compute.

    Args:
        rows: The runs.
        values: E, A, B, alpha and beta of the joint law.
    """
    compute, measured = get_compute(rows)
    per_token = compute / (get_column(rows, "parameters") * get_column(rows, "tokens"))
    operations = float(np.median(per_token))
    low, high = np.percentile(per_token, [10, 90])
    budgets = np.geomspace(compute.min(), compute.max(), 50)
    alpha, beta = values["alpha"], values["beta"]
    product = np.log(budgets / operations)
    # The minimum of A N^-alpha + B D^-beta on N D = product.
    offset = math.log(alpha * values["A"] / (beta * values["B"]))
    log_size = (offset + beta * product) / (alpha + beta)
    exponent, num_levels, r2 = fit_isoflop_exponent(rows, compute)
    return Frontier(
        compute=budgets,
        parameters=np.exp(log_size),
        tokens=np.exp(product - log_size),
        measured=measured,
        operations=operations,
        spread=float(high / low),
        isoflop_exponent=exponent,
        isoflop_levels=num_levels,
        isoflop_r2=r2,
    )


def fit_isoflop_exponent(
    rows: Sequence[RunRow], compute: Array
) -> tuple[float | None, int, float | None]:
    """Fit a parabola of ln loss over ln N per level of compute, and the growth of its minimum.

    Args:
        rows: The runs.
        compute: Compute of each run, `(rows,)`.

    Returns:
        The exponent, None with fewer than two levels with a minimum inside, their number, and the
        share of the variance of the minima that it explains.
    """
    sizes, loss = np.log(get_column(rows, "parameters")), np.log(get_column(rows, "loss"))
    minima = []
    for level in find_levels(compute):
        here = np.abs(np.log(compute / level)) < math.log(1.1)
        best = _find_minimum(sizes[here], loss[here])
        if best is not None:
            minima.append((math.log(level), best))
    if len(minima) < MIN_LEVELS:
        return None, len(minima), None
    budgets, best_sizes = np.array(minima).T
    exponent = float(np.polyfit(budgets, best_sizes, 1)[0])
    r2 = float(np.corrcoef(budgets, best_sizes)[0, 1] ** 2) if len(minima) > MIN_LEVELS else None
    return exponent, len(minima), r2


def _find_minimum(sizes: Array, loss: Array) -> float | None:
    """Return ln N of the minimum of a parabola through the sizes around the best one.

    None with fewer than five sizes, and where the best one is the smallest or the largest.
    """
    different = np.unique(sizes)
    if len(find_levels(np.exp(different))) < MIN_SIZES:
        return None
    mean_loss = np.array([loss[sizes == size].mean() for size in different])
    center = different[int(mean_loss.argmin())]
    if center in (different[0], different[-1]):
        return None
    distance = np.abs(different - center)
    reach = max(math.log(NEAR_BEST), float(np.sort(distance)[MIN_SIZES - 1]))
    near = np.abs(sizes - center) <= reach + 1e-9
    curvature, slope, _ = np.polyfit(sizes[near], loss[near], 2)
    minimum = -slope / (2 * curvature)
    if curvature <= 0 or not different[0] <= minimum <= different[-1]:
        return None
    return float(minimum)
