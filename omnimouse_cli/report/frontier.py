"""Compute-optimal sizes by the joint law, and isoFLOP parabolas as a cross-check."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.report.table import Array, RunRow, find_levels, get_column, get_compute

MIN_SIZES = 5


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
        isoflop_levels: Number of levels of equal compute with at least five sizes.
    """

    compute: Array
    parameters: Array
    tokens: Array
    measured: bool
    operations: float
    spread: float
    isoflop_exponent: float | None
    isoflop_levels: int


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
    exponent, num_levels = fit_isoflop_exponent(rows, compute)
    return Frontier(
        compute=budgets,
        parameters=np.exp(log_size),
        tokens=np.exp(product - log_size),
        measured=measured,
        operations=operations,
        spread=float(high / low),
        isoflop_exponent=exponent,
        isoflop_levels=num_levels,
    )


def fit_isoflop_exponent(rows: Sequence[RunRow], compute: Array) -> tuple[float | None, int]:
    """Fit a parabola of ln loss over ln N per level of compute, and the growth of its minimum.

    Args:
        rows: The runs.
        compute: Compute of each run, `(rows,)`.

    Returns:
        The exponent, None with fewer than two levels with a minimum inside, and their number.
    """
    sizes, loss = np.log(get_column(rows, "parameters")), np.log(get_column(rows, "loss"))
    minima = []
    for level in find_levels(compute):
        here = np.abs(np.log(compute / level)) < math.log(1.1)
        if len(find_levels(np.exp(sizes[here]))) < MIN_SIZES:
            continue
        curvature, slope, _ = np.polyfit(sizes[here], loss[here], 2)
        minimum = -slope / (2 * curvature)
        if curvature > 0 and sizes[here].min() <= minimum <= sizes[here].max():
            minima.append((math.log(level), minimum))
    if len(minima) < 2:
        return None, len(minima)
    budgets, best = np.array(minima).T
    return float(np.polyfit(budgets, best, 1)[0]), len(minima)
