"""The picture of an evaluation: traces of some neurons per row, and the scores of all of them."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from omnimouse_cli.evaluate.records import MODEL, Evaluation
from omnimouse_cli.evaluate.traces import Trace

# Okabe and Ito's colours, which colour-blind readers tell apart.
COLORS = {
    "truth": "#000000",
    "model": "#0072B2",
    "ridge": "#D55E00",
    "persistence": "#009E73",
    "psth": "#CC79A7",
    "ceiling": "#E69F00",
    "train_mean": "#999999",
}
NAMES = {"psth": "trial average", "train_mean": "training mean"}
DRAWN_AS_TRACE = (MODEL, "ridge")
ROW_INCHES = 2.4


def draw(evaluation: Evaluation, *, title: str, stream: BinaryIO) -> None:
    """Draw one line per row: traces on the left, distribution of correlations on the right.

    Args:
        evaluation: Its `traces` are drawn.
        title: Above all.
        stream: Where the PNG goes.
    """
    from matplotlib.figure import Figure

    traces: Sequence[Trace] = evaluation.traces
    figure = Figure(figsize=(12, 0.9 + ROW_INCHES * len(traces)), layout="constrained")
    figure.suptitle(title, fontsize=12)
    grid = figure.add_gridspec(len(traces), 2, width_ratios=(2.0, 1))
    for number, trace in enumerate(traces):
        _draw_traces(figure.add_subplot(grid[number, 0]), trace)
        _draw_scores(figure.add_subplot(grid[number, 1]), trace)
    # No creation date: the same evaluation gives the same bytes.
    figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})


def _draw_traces(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    step = float(np.median(np.diff(trace.seconds)))
    # Scored stretches are drawn side by side, with a line where time was left out.
    gaps = np.flatnonzero(np.diff(trace.seconds) > 1.5 * step) + 1
    seconds = np.insert(np.arange(len(trace.seconds)) * step, gaps, np.nan)
    for gap in gaps:
        axes.axvline(gap * step, color="#CCCCCC", linewidth=0.8)
    ticks = []
    for number, _ in enumerate(trace.labels):
        scale = float(np.nanstd(trace.truth[:, number])) or 1.0
        level = -4.0 * number
        middle = float(np.nanmean(trace.truth[:, number]))
        ticks.append(level)
        lines = {"truth": trace.truth}
        lines |= {
            name: trace.predictions[name] for name in DRAWN_AS_TRACE if name in trace.predictions
        }
        for name, values in lines.items():
            shown = np.insert((values[:, number] - middle) / scale, gaps, np.nan)
            axes.plot(
                seconds,
                np.clip(shown, -1.9, 5.0) * 0.75 + level,
                color=COLORS[name],
                linewidth=0.8 if name == "truth" else 1.3,
                alpha=0.6 if name == "truth" else 0.95,
                label=NAMES.get(name, name) if number == 0 else None,
            )
    axes.set_yticks(ticks, trace.labels, fontsize=8)
    axes.set_title(f"{trace.row}: session {trace.session}", fontsize=9, loc="left")
    axes.set_xlabel("scored time (s)", fontsize=8)
    axes.set_ylabel("z-scored", fontsize=8)
    axes.margins(x=0.01)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(fontsize=7, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)


def _draw_scores(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    if trace.behavior:
        _draw_bars(axes, trace)
        return
    for name, values in trace.correlations.items():
        there = values[np.isfinite(values)]
        if not len(there):
            continue
        mean = float(np.nan_to_num(values).mean())
        share = np.arange(1, len(there) + 1) / len(there)
        axes.plot(
            np.sort(there),
            share,
            color=COLORS.get(name, "#56B4E9"),
            linewidth=2.0 if name == MODEL else 1.2,
            linestyle="--" if name == "ceiling" else "-",
            label=f"{NAMES.get(name, name)}: mean {mean:.3f}",
        )
    axes.set_xlabel("single-trial correlation", fontsize=8)
    axes.set_ylabel("share of neurons", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _draw_bars(axes: Any, trace: Trace) -> None:  # noqa: ANN401 - matplotlib has no types
    drawn = {name: v for name, v in trace.correlations.items() if np.isfinite(v).any()}
    width = 0.8 / max(len(drawn), 1)
    for number, (name, values) in enumerate(drawn.items()):
        places = np.arange(len(values)) + (number - (len(drawn) - 1) / 2) * width
        axes.bar(
            places,
            np.nan_to_num(values),
            width,
            color=COLORS.get(name, "#56B4E9"),
            label=NAMES.get(name, name),
        )
    axes.axhline(0, color="#000000", linewidth=0.6)
    names = [label.replace("_", "\n") for label in trace.labels]
    axes.set_xticks(range(len(names)), names, fontsize=6)
    axes.set_ylabel("correlation", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
