"""The figures of a scaling report, as SVG elements that take the colors of the page."""

from collections.abc import Callable
from typing import Any

import numpy as np

from omnimouse_cli.report.analysis import ScalingReport
from omnimouse_cli.report.forms import AXES, SYMBOLS, Axis
from omnimouse_cli.report.law import JointLaw
from omnimouse_cli.report.svg import INK, Figure, draw_figure
from omnimouse_cli.report.table import Array, find_largest_run, find_levels, get_column
from omnimouse_cli.report.verdict import MIN_RATIO
from omnimouse_cli.text import format_magnitude, pluralize

LABELS: dict[Axis, str] = {"parameters": "parameters N", "tokens": "unique tokens D"}
CURVE_COLORS = "viridis"
MAX_CURVES = 8


def draw_figures(report: ScalingReport) -> list[Figure]:
    """Draw the figures of a report; without a law only the runs themselves."""
    figures = [_draw_loss(report)]
    if report.law is not None:
        law = report.law
        figures += [
            _draw_residuals(report),
            _draw_map(report, law),
            _draw_intervals(law),
            _draw_gains(report),
        ]
    return figures


def _draw_loss(report: ScalingReport) -> Figure:
    """Plot loss against each axis, one color per level of the other, with the law's curves."""

    def draw(axes: Any) -> None:  # noqa: ANN401 - an array of matplotlib axes
        for one, axis in zip(axes, reversed(AXES), strict=True):
            _plot_loss_against(one, report, axis)

    curves = "Curves are the joint law. " if report.law is not None else ""
    return draw_figure(
        "loss",
        f"Validation loss of {pluralize(len(report.table.rows), 'run')}. {curves}Both axes are "
        "logarithmic.",
        draw,
        columns=2,
    )


def _plot_loss_against(axes: Any, report: ScalingReport, axis: Axis) -> None:  # noqa: ANN401
    import matplotlib as mpl

    rows = report.table.rows
    other: Axis = "tokens" if axis == "parameters" else "parameters"
    x, y, others = (get_column(rows, name) for name in (axis, "loss", other))
    levels = find_levels(others)
    colors = mpl.colormaps[CURVE_COLORS](np.linspace(0.15, 0.85, len(levels)))
    nearest = np.abs(np.log(others[:, None] / np.array(levels)[None])).argmin(axis=1)
    labeled = np.unique(np.linspace(0, len(levels) - 1, min(MAX_CURVES, len(levels))).round())
    grid = np.geomspace(x.min(), x.max(), 100)
    for number, level in enumerate(levels):
        here, color = nearest == number, colors[number]
        label = f"{SYMBOLS[other]} = {format_magnitude(level)}" if number in labeled else None
        axes.scatter(x[here], y[here], s=16, color=color, label=label, zorder=3)
        if report.law is not None and number in labeled:
            sizes = {axis: grid, other: np.full(100, level)}
            points = np.log(np.stack([sizes[name] for name in AXES], axis=1))
            axes.plot(grid, np.exp(report.law.fit.predict(points)), color=color, linewidth=1.1)
    axes.set(xscale="log", yscale="log", xlabel=LABELS[axis], ylabel="loss")
    _use_plain_labels(axes)
    axes.legend(handletextpad=0.2, labelspacing=0.25, loc="center left", bbox_to_anchor=(1, 0.5))


def _draw_residuals(report: ScalingReport) -> Figure:
    rows = report.table.rows
    fitted = report.fitted
    assert fitted is not None, "residuals are drawn only with a law"
    percent = 100 * np.log(get_column(rows, "loss") / fitted)

    def draw(axes: Any) -> None:  # noqa: ANN401
        axes[0].axhline(0, color=INK, linewidth=0.7)
        axes[0].scatter(fitted, percent, s=16, color="#3b7dd8")
        axes[0].set(xlabel="loss by the law", ylabel="residual (%)", xscale="log")
        _use_plain_labels(axes[0], which="x")
        axes[1].hist(percent, bins=min(40, max(8, len(rows) // 3)), color="#3b7dd8")
        axes[1].set(xlabel="residual (%)", ylabel="runs")

    return draw_figure(
        "residuals",
        "Residuals of the joint law: measured over fitted loss, in percent. A trend or a few "
        "outliers would make its exponents doubtful.",
        draw,
        columns=2,
        height=2.8,
    )


def _draw_map(report: ScalingReport, law: JointLaw) -> Figure:
    rows = report.table.rows
    spans = [get_column(rows, axis) for axis in AXES]
    grids = [np.geomspace(span.min() / 2, span.max() * 2, 80) for span in spans]

    def draw(axes: Any) -> None:  # noqa: ANN401
        size, tokens = np.meshgrid(*grids)
        points = np.log(np.stack([size.ravel(), tokens.ravel()], axis=1))
        loss = np.exp(law.fit.predict(points)).reshape(size.shape)
        lines = axes.contour(
            size,
            tokens,
            loss,
            levels=np.geomspace(loss.min(), loss.max(), 12)[1:-1],
            cmap=CURVE_COLORS,
            linewidths=1,
        )
        axes.clabel(lines, fmt="%.3g", fontsize=7)
        axes.scatter(*spans, s=16, color=INK, zorder=3, label="runs")
        frontier = report.frontier
        if frontier is not None:
            axes.plot(
                frontier.parameters,
                frontier.tokens,
                color="#d1495b",
                linewidth=1.6,
                label="best for its compute",
            )
        axes.set(xscale="log", yscale="log", xlabel=LABELS["parameters"], ylabel=LABELS["tokens"])
        axes.set(xlim=(grids[0][0], grids[0][-1]), ylim=(grids[1][0], grids[1][-1]))
        axes.legend(loc="lower right")

    return draw_figure(
        "map",
        "Lines of equal loss by the joint law, the runs, and the compute-optimal frontier.",
        draw,
        height=4.0,
    )


def _draw_intervals(law: JointLaw) -> Figure:
    def draw(axes: Any) -> None:  # noqa: ANN401
        axes[0].scatter(
            law.samples["alpha"],
            law.samples["beta"],
            s=4,
            alpha=0.35,
            color="#3b7dd8",
            linewidths=0,
        )
        point = law.fit.values
        axes[0].plot(point["alpha"], point["beta"], "+", color="#d1495b", markersize=10)
        axes[0].set(xlabel="alpha (parameters)", ylabel="beta (tokens)")
        _set_limits(axes[0].set_xlim, law.samples["alpha"])
        _set_limits(axes[0].set_ylim, law.samples["beta"])
        for one, name in zip(axes[1:], ("E", "a_opt"), strict=True):
            low, high = np.percentile(law.samples[name], [0.5, 99.5])
            one.hist(law.samples[name], bins=np.linspace(low, high, 40), color="#3b7dd8")
            one.axvline(law.estimates[name].value, color="#d1495b")
            one.set(xlabel=name, ylabel="resamples")

    return draw_figure(
        "intervals",
        f"{len(law.samples['E'])} resamples of whole runs: the exponents, the irreducible loss E, "
        "and the growth a_opt of the best size with compute. Red is the fit of all runs.",
        draw,
        columns=3,
        width=4.2,
        height=2.8,
    )


def _draw_gains(report: ScalingReport) -> Figure:
    ratios = report.verdict.gain_ratios
    assert ratios is not None, "gains are drawn only with a law"
    largest = find_largest_run(report.table.rows)

    def draw(axes: Any) -> None:  # noqa: ANN401
        low, high = np.percentile(ratios, [0.5, 99.5])
        low, high = min(low, 1 / MIN_RATIO / 1.2), max(high, MIN_RATIO * 1.2)
        axes.hist(np.clip(ratios, low, high), bins=np.geomspace(low, high, 50), color="#3b7dd8")
        axes.axvspan(1 / MIN_RATIO, MIN_RATIO, color=INK, alpha=0.1, linewidth=0)
        axes.axvline(report.verdict.gain_ratio, color="#d1495b")
        axes.set(xscale="log", xlabel="gain of data / gain of parameters", ylabel="resamples")
        _use_plain_labels(axes, which="x")

    return draw_figure(
        "gains",
        f"At the largest run (N = {format_magnitude(largest.parameters)}, "
        f"D = {format_magnitude(largest.tokens)}): how much more the loss falls per factor "
        "of data than per factor of parameters. Inside the grey band no verdict is given.",
        draw,
        height=2.8,
    )


def _set_limits(setter: Callable[[float, float], Any], values: Array) -> None:
    """Set axis limits from the 0.5th to the 99.5th percentile, with a margin."""
    low, high = np.percentile(values, [0.5, 99.5])
    margin = 0.05 * (high - low) + 1e-12
    setter(float(low - margin), float(high + margin))


def _use_plain_labels(axes: Any, which: str = "y") -> None:  # noqa: ANN401
    """Label a logarithmic axis of about a decade or less with plain numbers."""
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter, NullLocator

    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    if high / low > 12:
        return
    axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FormatStrFormatter("%.3g"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
