"""A figure as an SVG element that stands in a page and takes its colors."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnimouse_cli.report.table import Array

# Drawn in this color and replaced by the page's own text color, so that dark pages can be read.
INK = "#010203"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: a short name, the SVG element, and what is to be seen."""

    name: str
    svg: str
    caption: str


def draw_figure(
    name: str, caption: str, draw: Callable[[Any], None], *, columns: int = 1, height: float = 3.6
) -> Figure:
    """Let `draw` fill the axes of a new figure and give it as an SVG element."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "font.family": "sans-serif",
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "text.color": INK,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with mpl.rc_context(settings):
        canvas = Canvas(figsize=(4.4 * columns + 0.4, height), layout="constrained")
        canvas.patch.set_alpha(0)
        axes = canvas.subplots(1, columns, squeeze=False)[0]
        for one in axes:
            one.patch.set_alpha(0)
        draw(axes if columns > 1 else axes[0])
        FigureCanvasSVG(canvas)
        text = io.StringIO()
        canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Figure(name=name, svg=embeddable(text.getvalue(), name), caption=caption)


def embeddable(svg: str, name: str) -> str:
    """Make a stand-alone SVG file an element of a page: no prologue, no links, own identifiers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    svg = re.sub(r'<svg ([^>]*?)width="([\d.]+)pt"', r'<svg \1style="width:\2pt"', svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[\d.]+pt" ', r"<svg \1", svg, count=1)
    return svg.replace(INK, "currentColor")


def set_limits(setter: Callable[[float, float], Any], values: Array) -> None:
    """Set limits without the farthest hundredth, which would squeeze the rest into a corner."""
    low, high = np.percentile(values, [0.5, 99.5])
    margin = 0.05 * (high - low) + 1e-12
    setter(float(low - margin), float(high + margin))


def label_plainly(axes: Any, which: str = "y") -> None:  # noqa: ANN401
    """Label a logarithmic axis of less than a decade with plain numbers."""
    from matplotlib.ticker import FormatStrFormatter, MaxNLocator, NullFormatter, NullLocator

    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    if high / low > 12:
        return
    axis.set_major_locator(MaxNLocator(6))
    axis.set_major_formatter(FormatStrFormatter("%.3g"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
