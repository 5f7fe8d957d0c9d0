"""Examples of what was predicted: some seconds of some neurons or channels, for figures."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.evaluation.records import CEILING, MODEL
from omnimouse_cli.evaluation.scorer import PredictorScores
from omnimouse_cli.evaluation.session_reader import F32, F64, I64
from omnimouse_cli.evaluation.targets import Targets

TRACE_SECONDS = 20.0
# Neurons are kept whose correlation lies at these quantiles; the figure shows three of them.
KEPT_QUANTILES = (0.99, 0.95, 0.9, 0.75, 0.5, 0.25)
FIGURE_QUANTILES = (0.95, 0.75, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """Some seconds of what a strategy predicts in one session.

    Args:
        strategy: Name of the masking strategy.
        session: Session key.
        is_behavior: Whether behavior was predicted.
        seconds: float64 `(samples,)`: time from the recording's origin.
        index: int64 `(kept,)`: columns of the neurons, or positions of the channels.
        labels: Names of the kept outputs.
        in_figure: Positions of the kept outputs that the figure shows.
        truth: float32 `(samples, kept)`; NaN where a sample is lost or not scored.
        predictions: By predictor, the same shape.
        correlations: By predictor, float64 `(outputs,)`: of all outputs.
    """

    strategy: str
    session: str
    is_behavior: bool
    seconds: F64
    index: I64
    labels: tuple[str, ...]
    in_figure: tuple[int, ...]
    truth: F32
    predictions: dict[str, F32]
    correlations: dict[str, F64]


def make_trace(targets: Targets, scores: Mapping[str, PredictorScores]) -> Trace:
    """Take the first seconds of some outputs, and the correlations of all.

    Args:
        targets: What was predicted.
        scores: By predictor; the model's is among them.
    """
    rate_hz = BEHAVIOR_RATE_HZ if targets.is_behavior else RESPONSE_RATE_HZ
    num_kept = scores[MODEL].trace.shape[0]
    windows = _without_overlap(targets.windows.grid[:num_kept], targets.num_samples / rate_hz)
    windows = windows[: max(1, round(TRACE_SECONDS * rate_hz / targets.num_samples))]
    outputs, in_figure = _kept_outputs(targets, scores[MODEL].per_output)
    seconds = targets.windows.start_seconds[windows, None] + np.arange(*targets.samples) / rate_hz
    if targets.is_behavior:
        labels = tuple(targets.reader.channels[output] for output in outputs)
    else:
        labels = tuple(f"neuron {targets.outputs[output]}" for output in outputs)
    truth = targets.truth(targets.windows.grid[windows])[:, :, outputs]
    return Trace(
        strategy=targets.strategy.name,
        session=targets.reader.session.key,
        is_behavior=targets.is_behavior,
        seconds=seconds.reshape(-1),
        index=targets.outputs[outputs],
        labels=labels,
        in_figure=in_figure,
        truth=truth.reshape(-1, len(outputs)),
        predictions={
            name: score.trace[windows][:, :, outputs].reshape(-1, len(outputs))
            for name, score in scores.items()
        },
        correlations={name: score.per_output for name, score in scores.items()},
    )


def trace_arrays(traces: Iterable[Trace]) -> dict[str, Any]:
    """Return the arrays of `traces.npz`, as `<session>/<strategy>/<neurons or channels>/<what>`.

    Of the predictors, the model, the noise ceiling and the best baseline are kept.
    """
    arrays: dict[str, Any] = {}
    for trace in traces:
        folder = f"{trace.session}/{trace.strategy}/"
        folder += "channels" if trace.is_behavior else "neurons"
        arrays[f"{folder}/index"] = trace.index
        arrays[f"{folder}/label"] = np.array(trace.labels)
        arrays[f"{folder}/seconds"] = trace.seconds
        arrays[f"{folder}/measured"] = trace.truth
        for name in (MODEL, CEILING, *list_baselines(trace)[:1]):
            if name in trace.predictions:
                arrays[f"{folder}/{name}"] = trace.predictions[name]
    return arrays


def list_baselines(trace: Trace) -> list[str]:
    """Return the names of the baselines, the one with the highest mean correlation first."""
    means = {name: float(np.nan_to_num(v).mean()) for name, v in trace.correlations.items()}
    return sorted(means.keys() - {MODEL, CEILING}, key=lambda name: (-means[name], name))


def _without_overlap(grid: I64, seconds: float) -> I64:
    """Return the positions of windows whose target samples do not overlap, from the first on."""
    step = min(round(seconds * RESPONSE_RATE_HZ), NUM_RESPONSE_SAMPLES)
    kept: list[int] = []
    for position, index in enumerate(grid):
        if not kept or index - grid[kept[-1]] >= step:
            kept.append(position)
    return np.array(kept, np.int64)


def _kept_outputs(targets: Targets, correlations: F64) -> tuple[I64, tuple[int, ...]]:
    """Return all channels, or neurons from the best to fair ones; and which of them are drawn."""
    num_outputs = len(correlations)
    if targets.is_behavior:
        return np.arange(num_outputs), tuple(range(num_outputs))
    order = np.argsort(np.nan_to_num(correlations, nan=-2.0), kind="stable")
    kept, drawn = (
        {round(quantile * (num_outputs - 1)) for quantile in quantiles}
        for quantiles in (KEPT_QUANTILES, FIGURE_QUANTILES)
    )
    ranks = sorted(kept, reverse=True)
    return order[ranks], tuple(number for number, rank in enumerate(ranks) if rank in drawn)
