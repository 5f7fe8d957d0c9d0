"""What the figure of an evaluation shows: seconds of some neurons, and the scores of all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.evaluate.records import MODEL
from omnimouse_cli.evaluate.session import RowScores
from omnimouse_cli.evaluate.signals import F32, F64, I64

TRACE_SECONDS = 20.0
# Shares of the neurons that a shown neuron is better than.
SHOWN_QUANTILES = (0.95, 0.75, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """One row of the figure.

    Args:
        row: Name of the row.
        session: Session key.
        behavior: Whether behavior was asked for.
        seconds: float64 `(samples,)`: time from the recording's origin.
        labels: Of the shown outputs.
        truth: float32 `(samples, shown)`.
        predictions: By predictor, the same shape.
        correlations: By predictor, float64 `(outputs,)`: of all outputs.
    """

    row: str
    session: str
    behavior: bool
    seconds: F64
    labels: tuple[str, ...]
    truth: F32
    predictions: dict[str, F32]
    correlations: dict[str, F64]


def traces_of(rows: Sequence[RowScores]) -> list[Trace]:
    """Take the first seconds of a session for the figure, row by row."""
    return [_trace(row) for row in rows]


def _trace(row: RowScores) -> Trace:
    asked = row.asked
    rate = BEHAVIOR_RATE_HZ if asked.behavior else RESPONSE_RATE_HZ
    count = row.scores[MODEL].trace.shape[0]
    grid = _without_overlap(asked.windows.grid[:count], asked.num_samples / rate)
    most = max(1, round(TRACE_SECONDS * rate / asked.num_samples))
    grid = grid[:most]
    chosen = np.searchsorted(asked.windows.grid[:count], grid)
    shown = _shown(row)
    truth = asked.truth(asked.windows.grid[chosen])[:, :, shown]
    offset = np.arange(*asked.samples) / rate
    start = asked.windows.start_seconds[chosen]
    predictions = {
        name: score.trace[chosen][:, :, shown].reshape(-1, len(shown))
        for name, score in row.scores.items()
    }
    return Trace(
        row=asked.row,
        session=asked.signals.session.key,
        behavior=asked.behavior,
        seconds=(start[:, None] + offset).reshape(-1),
        labels=tuple(_label(row, int(output)) for output in shown),
        truth=truth.reshape(-1, len(shown)),
        predictions=predictions,
        correlations={name: score.per_output for name, score in row.scores.items()},
    )


def _without_overlap(grid: I64, seconds: float) -> I64:
    """Windows whose asked samples do not overlap, from the first on."""
    step = min(round(seconds * RESPONSE_RATE_HZ), NUM_RESPONSE_SAMPLES)
    kept: list[int] = []
    for index in grid:
        if not kept or index - kept[-1] >= step:
            kept.append(int(index))
    return np.array(kept, np.int64)


def _shown(row: RowScores) -> I64:
    """Channels all; of the neurons a good, a fair and a median one, as the model scores them."""
    score = row.scores[MODEL].per_output
    if row.asked.behavior:
        return np.arange(len(score))
    order = np.argsort(np.nan_to_num(score, nan=-2.0), kind="stable")
    places = [round(quantile * (len(score) - 1)) for quantile in SHOWN_QUANTILES]
    return order[sorted(set(places), reverse=True)]


def _label(row: RowScores, output: int) -> str:
    asked = row.asked
    if asked.behavior:
        return asked.signals.channels[output]
    return f"neuron {asked.columns[output]}"
