"""Fits of resampled tables: whole runs are resampled, or effects of subsets and runs are drawn."""

from collections.abc import Callable, Sequence

import numpy as np

from omnimouse_cli.report.effects import SharedEffects
from omnimouse_cli.report.fitting import Fit, draw_starts, minimize_batch
from omnimouse_cli.report.table import Array, RunRow, resample_runs

MakeStarts = Callable[[Fit, int, np.random.Generator], list[Array]]

# Resamples times rows that are fitted at once; more would not fit the caches.
CHUNK = 60_000


def bootstrap_fit(
    result: Fit,
    rows: Sequence[RunRow],
    effects: SharedEffects | None,
    make_starts: MakeStarts,
    *,
    num_resamples: int,
    generator: np.random.Generator,
    advance: Callable[[int], None] = lambda _: None,
) -> Array:
    """Return the parameters fitted to each resample, `(resamples, parameters)`.

    Args:
        result: Fit of all rows.
        rows: Runs that were fitted.
        effects: Effects that rows share, which are drawn anew; None to resample whole runs.
        make_starts: Makes starts `(resamples, parameters)` from the fit; the best end is kept.
        num_resamples: Number of resamples.
        generator: Source of the draws.
        advance: Receives the number of resamples that were fitted.
    """
    size = max(1, CHUNK // len(rows))
    fitted = result.problem.y - result.residuals
    chunks = []
    for first in range(0, num_resamples, size):
        number = min(size, num_resamples - first)
        y, weights = None, np.ones((number, len(rows)))
        if effects is None:
            weights = resample_runs(rows, number, generator)
        else:
            y = fitted + effects.draw(number, generator)
        best, lowest = np.empty((number, len(result.theta))), np.full(number, np.inf)
        for start in make_starts(result, number, generator):
            ends, values = minimize_batch(result.problem, start, weights, y=y)
            better = values < lowest
            best[better], lowest[better] = ends[better], values[better]
        chunks.append(best)
        advance(number)
    return np.concatenate(chunks)


def start_near(result: Fit, number: int, generator: np.random.Generator) -> list[Array]:
    """Return the optimum, points near it and random points, `(number, parameters)` each."""
    problem = result.problem
    best = np.repeat(result.theta[None], number, axis=0)
    jitter = generator.normal(0, 0.3, best.shape)
    return [
        best,
        np.clip(best + jitter, problem.low, problem.high),
        draw_starts(problem, number, generator),
    ]
