"""The figure of a sweep: validation loss against the amount of data, and the learning curves."""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from omnimouse_cli.report.curves import LearningCurves
from omnimouse_cli.report.curves_figure import plot_curves
from omnimouse_cli.report.table import RunRow
from omnimouse_cli.text import escape_math, format_magnitude


def draw_sweep(
    rows: Sequence[RunRow],
    curves: Sequence[LearningCurves],
    stream: BinaryIO,
    *,
    title: str,
    image_format: str = "png",
) -> None:
    """Draw the final validation loss of each run on the left, learning curves on the right.

    Args:
        rows: Finished runs.
        curves: Their learning curves, with one loss.
        stream: The image is written to it.
        title: Title of the figure.
        image_format: `png`, `pdf` or `svg`.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    figure.suptitle(escape_math(title), fontsize=10)
    losses, learning = figure.subplots(1, 2)
    for number, size in enumerate(sorted({row.parameters for row in rows})):
        _plot_size(losses, [row for row in rows if row.parameters == size], color=f"C{number % 10}")
    losses.set_xlabel("unique tokens of the training data (neurons x samples)")
    losses.set_ylabel(f"validation, {rows[0].metric or 'loss'}")
    losses.legend(frameon=False, fontsize=8, title="core parameters", title_fontsize=8)
    plot_curves(learning, curves, "neural", axis="tokens")
    learning.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7)
    for panel in (losses, learning):
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(lambda value, _: format_magnitude(value))
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(stream, dpi=130, format=image_format)


def _plot_size(axes: Any, rows: Sequence[RunRow], *, color: str) -> None:  # noqa: ANN401
    """Plot the runs of one size: a point for each, a line through their means."""
    tokens = np.array([row.tokens for row in rows])
    loss = np.array([row.loss for row in rows])
    amounts = np.unique(tokens)
    means = [loss[tokens == amount].mean() for amount in amounts]
    axes.plot(amounts, means, color=color, label=format_magnitude(rows[0].parameters))
    axes.plot(tokens, loss, "o", color=color, markersize=4)
