"""The figure of an evaluation: for each strategy, traces of some neurons and the scores of all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.evaluation.baselines.table import BASELINES
from omnimouse_cli.evaluation.records import CEILING, MODEL, Evaluation
from omnimouse_cli.evaluation.scorer import PredictorScores
from omnimouse_cli.evaluation.session_reader import F32, F64, I64
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.text import escape_math

TRACE_SECONDS = 20.0
# Neurons are shown whose correlation lies at these quantiles.
SHOWN_QUANTILES = (0.95, 0.75, 0.5)
TRUTH = "truth"
SHOWN_PREDICTORS = (MODEL, "ridge")
COLORS = {
    TRUTH: "#000000",
    MODEL: "#0072B2",
    **{name: baseline.color for name, baseline in BASELINES.items()},
}
LABELS = {name: baseline.label for name, baseline in BASELINES.items()}
ROW_INCHES = 2.4
# Curves of more baselines, the best ones, could not be told apart.
MAX_DRAWN_BASELINES = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trace:
    """What the figure shows of one strategy.

    Args:
        strategy: Name of the masking strategy.
        session: Session key.
        is_behavior: Whether behavior was predicted.
        seconds: float64 `(samples,)`: time from the recording's origin.
        labels: Names of the shown outputs.
        truth: float32 `(samples, shown)`.
        predictions: By predictor, the same shape.
        correlations: By predictor, float64 `(outputs,)`: of all outputs.
    """

    strategy: str
    session: str
    is_behavior: bool
    seconds: F64
    labels: tuple[str, ...]
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
    outputs = _shown_outputs(targets, scores[MODEL].per_output)
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
        labels=labels,
        truth=truth.reshape(-1, len(outputs)),
        predictions={
            name: score.trace[windows][:, :, outputs].reshape(-1, len(outputs))
            for name, score in scores.items()
        },
        correlations={name: score.per_output for name, score in scores.items()},
    )


def _without_overlap(grid: I64, seconds: float) -> I64:
    """Return the positions of windows whose target samples do not overlap, from the first on."""
    step = min(round(seconds * RESPONSE_RATE_HZ), NUM_RESPONSE_SAMPLES)
    kept: list[int] = []
    for position, index in enumerate(grid):
        if not kept or index - grid[kept[-1]] >= step:
            kept.append(position)
    return np.array(kept, np.int64)


def _shown_outputs(targets: Targets, correlations: F64) -> I64:
    """Return all channels; of the neurons a good, a fair and a median one."""
    if targets.is_behavior:
        return np.arange(len(correlations))
    order = np.argsort(np.nan_to_num(correlations, nan=-2.0), kind="stable")
    ranks = {round(quantile * (len(correlations) - 1)) for quantile in SHOWN_QUANTILES}
    return order[sorted(ranks, reverse=True)]


def draw(evaluation: Evaluation, *, title: str, stream: BinaryIO) -> None:
    """Draw one line per strategy: traces on the left, distribution of correlations on the right.

    Args:
        evaluation: Its `traces` are drawn.
        title: Title of the figure.
        stream: The PNG is written to it.
    """
    from matplotlib.figure import Figure

    traces: Sequence[Trace] = evaluation.traces
    figure = Figure(figsize=(12, 0.9 + ROW_INCHES * len(traces)), layout="constrained")
    figure.suptitle(escape_math(title), fontsize=12)
    grid = figure.add_gridspec(len(traces), 2, width_ratios=(2.0, 1))
    for number, trace in enumerate(traces):
        _draw_traces(figure.add_subplot(grid[number, 0]), trace)
        scores = figure.add_subplot(grid[number, 1])
        if trace.is_behavior:
            _draw_bars(scores, trace)
        else:
            _draw_distributions(scores, trace)
    # No creation date: the same evaluation gives the same bytes.
    figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})


def _draw_traces(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    step = float(np.median(np.diff(trace.seconds)))
    # Scored stretches are drawn side by side, with a line where time was skipped.
    gaps = np.flatnonzero(np.diff(trace.seconds) > 1.5 * step) + 1
    seconds = np.insert(np.arange(len(trace.seconds)) * step, gaps, np.nan)
    for gap in gaps:
        axes.axvline(gap * step, color="#CCCCCC", linewidth=0.8)
    lines = {TRUTH: trace.truth}
    lines |= {
        name: trace.predictions[name] for name in SHOWN_PREDICTORS if name in trace.predictions
    }
    levels = [-4.0 * number for number in range(len(trace.labels))]
    for number, level in enumerate(levels):
        known = trace.truth[:, number][~np.isnan(trace.truth[:, number])]
        # A channel may be lost all of the time that is shown.
        scale, mean = 1.0, 0.0
        if len(known):
            scale, mean = float(known.std()) or 1.0, float(known.mean())
        for name, values in lines.items():
            shown = np.insert((values[:, number] - mean) / scale, gaps, np.nan)
            axes.plot(
                seconds,
                np.clip(shown, -1.9, 5.0) * 0.75 + level,
                color=COLORS[name],
                linewidth=0.8 if name == TRUTH else 1.3,
                alpha=0.6 if name == TRUTH else 0.95,
                label=LABELS.get(name, name) if number == 0 else None,
            )
    axes.set_yticks(levels, [escape_math(label) for label in trace.labels], fontsize=8)
    title = escape_math(f"{trace.strategy}: session {trace.session}")
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel("scored time (s)", fontsize=8)
    axes.set_ylabel("z-scored", fontsize=8)
    axes.margins(x=0.01)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)


def _draw_distributions(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    means = {name: float(np.nan_to_num(v).mean()) for name, v in trace.correlations.items()}
    baselines = sorted(means.keys() - {MODEL, CEILING}, key=lambda name: (-means[name], name))
    for name, values in trace.correlations.items():
        if name in baselines[MAX_DRAWN_BASELINES:]:
            continue
        finite = values[np.isfinite(values)]
        if not len(finite):
            continue
        axes.plot(
            np.sort(finite),
            np.arange(1, len(finite) + 1) / len(finite),
            color=COLORS[name],
            linewidth=2.0 if name == MODEL else 1.2,
            linestyle="--" if name == CEILING else "-",
            label=f"{LABELS.get(name, name)}: mean {means[name]:.3f}",
        )
    axes.set_xlabel("single-trial correlation", fontsize=8)
    axes.set_ylabel("share of neurons", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _draw_bars(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    drawn = {name: v for name, v in trace.correlations.items() if np.isfinite(v).any()}
    width = 0.8 / max(len(drawn), 1)
    for number, (name, values) in enumerate(drawn.items()):
        axes.bar(
            np.arange(len(values)) + (number - (len(drawn) - 1) / 2) * width,
            np.nan_to_num(values),
            width,
            color=COLORS[name],
            label=LABELS.get(name, name),
        )
    axes.axhline(0, color="#000000", linewidth=0.6)
    names = [escape_math(label.replace("_", "\n")) for label in trace.labels]
    axes.set_xticks(range(len(names)), names, fontsize=6)
    axes.set_ylabel("correlation", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
