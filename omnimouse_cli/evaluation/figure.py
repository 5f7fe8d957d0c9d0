"""The figure of an evaluation: for each strategy, traces of some neurons and the scores of all."""

from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np

from omnimouse_cli.evaluation.baselines.table import BASELINES
from omnimouse_cli.evaluation.records import CEILING, MODEL, OVERALL, Evaluation
from omnimouse_cli.evaluation.traces import Trace, list_baselines
from omnimouse_cli.text import escape_math

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


def draw(evaluation: Evaluation, *, title: str, stream: BinaryIO) -> None:
    """Draw one line per strategy: traces on the left, distribution of correlations on the right.

    Args:
        evaluation: Its `traces` of the first session are drawn.
        title: Title of the figure.
        stream: The PNG is written to it.
    """
    from matplotlib.figure import Figure

    first = evaluation.traces[0].session
    traces = [_of_figure(trace) for trace in evaluation.traces if trace.session == first]
    figure = Figure(figsize=(12, 0.9 + ROW_INCHES * len(traces)), layout="constrained")
    num_sessions = len({one.session for one in evaluation.records} - {OVERALL})
    which = f"session {first}" + (f", the first of {num_sessions}" if num_sessions > 1 else "")
    figure.suptitle(escape_math(f"{title}, {which}"), fontsize=12)
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


def _of_figure(trace: Trace) -> Trace:
    """Return the trace with the outputs that the figure shows."""
    shown = list(trace.in_figure)
    return replace(
        trace,
        labels=tuple(trace.labels[number] for number in shown),
        truth=trace.truth[:, shown],
        predictions={name: values[:, shown] for name, values in trace.predictions.items()},
    )


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
    axes.set_title(escape_math(trace.strategy), fontsize=9, loc="left")
    axes.set_xlabel("scored time (s)", fontsize=8)
    output = "channel" if trace.is_behavior else "neuron"
    axes.set_ylabel(f"z-score, one line per {output}", fontsize=8)
    axes.margins(x=0.01)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)


def _draw_distributions(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    hidden = list_baselines(trace)[MAX_DRAWN_BASELINES:]
    for name, values in trace.correlations.items():
        if name in hidden:
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
            label=f"{LABELS.get(name, name)}: mean {np.nan_to_num(values).mean():.3f}",
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
    axes.set_xlabel("behavior channel", fontsize=8)
    axes.set_ylabel("single-trial correlation", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
