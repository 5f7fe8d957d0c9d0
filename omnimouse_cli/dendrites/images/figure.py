"""The figure of a comparison: learning curves and scores of every activation, per network."""

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from omnimouse_cli.dendrites.images.results import CURVES
from omnimouse_cli.dendrites.images.scores import CandidateScores, ScoreTable
from omnimouse_cli.dendrites.images.summaries import summarize
from omnimouse_cli.metrics.intervals import mean_interval
from omnimouse_cli.text import escape_math

# Summaries that are drawn where they were measured: the label, and the factor to its unit.
PANELS = {
    "accuracy": ("test accuracy (%)", 100.0),
    "attacked_accuracy": ("accuracy under attack (%)", 100.0),
    "mce": ("mean corruption error\n(% of ReLU's)", 1.0),
}


def draw_comparison(
    scores: ScoreTable, stream: BinaryIO, *, title: str, image_format: str = "png"
) -> None:
    """Draw one row per network: validation accuracy by epoch, and scores with 95 % intervals.

    Args:
        scores: Scores by network and activation.
        stream: The image is written to it.
        title: Title of the figure.
        image_format: `png`, `pdf` or `svg`.
    """
    from matplotlib.figure import Figure

    summaries = summarize(scores)
    panels = [name for name in PANELS if any(one[name] is not None for one in summaries)]
    figure = Figure(
        figsize=(4.6 + 2.6 * len(panels), 0.7 + 3.0 * len(scores)), layout="constrained"
    )
    figure.suptitle(escape_math(title), fontsize=10)
    axes = figure.subplots(
        len(scores), 1 + len(panels), squeeze=False, width_ratios=(1.7, *(1.0 for _ in panels))
    )
    for row, (network, by_name) in zip(axes, scores.items(), strict=True):
        _draw_curves(row[0], by_name)
        row[0].set_title(network, fontsize=9, loc="left")
        for panel, name in zip(row[1:], panels, strict=True):
            _draw_scores(panel, [one for one in summaries if one["network"] == network], name)
        for panel in row:
            panel.tick_params(labelsize=7)
            panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(stream, dpi=130, format=image_format)


def _draw_curves(axes: Any, by_name: Mapping[str, CandidateScores]) -> None:  # noqa: ANN401
    """Draw the mean validation accuracy over seeds with its 95 % interval."""
    from matplotlib.ticker import MaxNLocator

    for number, (name, scores) in enumerate(by_name.items()):
        curves = 100 * np.asarray(scores.result.arrays[f"{CURVES}accuracy"].tolist(), np.float64)
        intervals = [mean_interval(values, within=(0.0, 100.0)) for values in curves.T]
        epochs = np.arange(1, len(intervals) + 1)
        axes.plot(epochs, [one.value for one in intervals], color=f"C{number}", label=name)
        axes.fill_between(
            epochs,
            [one.low for one in intervals],
            [one.high for one in intervals],
            color=f"C{number}",
            alpha=0.15,
            linewidth=0,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch of the last session", fontsize=8)
    axes.set_ylabel("validation accuracy (%)", fontsize=8)
    axes.legend(fontsize=7, frameon=False, loc="lower right")


def _draw_scores(axes: Any, summaries: list[dict[str, Any]], name: str) -> None:  # noqa: ANN401
    label, factor = PANELS[name]
    for number, one in enumerate(summaries):
        if one[name] is None:
            continue
        value, low, high = (factor * one[name][part] for part in ("value", "low", "high"))
        # Clipped at the bounds of a share, an end may come to lie on the mean.
        ends = [[max(value - low, 0.0)], [max(high - value, 0.0)]]
        axes.errorbar([value], [number], xerr=ends, fmt="o", color=f"C{number}", markersize=4)
    axes.set_yticks(range(len(summaries)), [one["activation"] for one in summaries])
    axes.set_ylim(len(summaries) - 0.5, -0.5)
    axes.set_xlabel(label, fontsize=8)
