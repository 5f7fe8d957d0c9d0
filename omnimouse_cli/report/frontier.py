"""Compute-optimal sizes from the joint law, and parabolas at equal compute as a cross-check."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.report.table import Array, Row, column, compute_of, levels

MIN_SIZES = 5
# Compute per parameter and token may differ by this factor before one constant is a poor summary.
MAX_SPREAD = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The best size and amount of data for a compute budget, C = operations N D.

    Args:
        compute: Budgets; a proxy in units of parameters x tokens where nothing was measured.
        parameters: Best size of each.
        tokens: Best amount of data of each.
        measured: Whether compute was measured.
        operations: Median compute per parameter and token (one when not measured).
        spread: 90th over 10th percentile of the same.
        isoflop_exponent: Growth of the best size with compute by parabolas; None without levels.
        isoflop_levels: Levels of equal compute with at least five sizes.
    """

    compute: Array
    parameters: Array
    tokens: Array
    measured: bool
    operations: float
    spread: float
    isoflop_exponent: float | None
    isoflop_levels: int


def compute_frontier(rows: Sequence[Row], values: dict[str, float]) -> Frontier:
    """Give the frontier over the table's range of compute.

    Args:
        rows: The runs.
        values: E, A, B, alpha, beta of the joint law.
    """
    compute, measured = compute_of(rows)
    per_token = compute / (column(rows, "parameters") * column(rows, "tokens"))
    operations = float(np.median(per_token))
    low, high = np.percentile(per_token, [10, 90])
    budgets = np.geomspace(compute.min(), compute.max(), 50)
    alpha, beta = values["alpha"], values["beta"]
    product = np.log(budgets / operations)
    # The minimum of A N^-alpha + B D^-beta on N D = product.
    offset = math.log(alpha * values["A"] / (beta * values["B"]))
    log_size = (offset + beta * product) / (alpha + beta)
    exponent, num_levels = isoflop_exponent(rows, compute)
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


def isoflop_exponent(rows: Sequence[Row], compute: Array) -> tuple[float | None, int]:
    """Fit a parabola of ln loss over ln N per level of compute; give the growth of its minimum.

    Args:
        rows: The runs.
        compute: Of each run, (rows,).

    Returns:
        The exponent, None with fewer than two levels with a minimum inside, and those levels.
    """
    sizes, loss = np.log(column(rows, "parameters")), np.log(column(rows, "loss"))
    minima = []
    for level in levels(compute):
        here = np.abs(np.log(compute / level)) < math.log(1.1)
        if len(levels(np.exp(sizes[here]))) < MIN_SIZES:
            continue
        curvature, slope, _ = np.polyfit(sizes[here], loss[here], 2)
        minimum = -slope / (2 * curvature)
        if curvature > 0 and sizes[here].min() <= minimum <= sizes[here].max():
            minima.append((math.log(level), minimum))
    if len(minima) < 2:
        return None, len(minima)
    budgets, best = np.array(minima).T
    return float(np.polyfit(budgets, best, 1)[0]), len(minima)
