"""Figures as SVG elements that take the colors of the page."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# Replaced by the page's own text color, so that dark pages can be read.
INK = "#010203"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure: a short name, an SVG element for each panel, and a caption."""

    name: str
    svg: str
    caption: str


def draw_figure(
    name: str,
    caption: str,
    draw: Callable[[Any], None],
    *,
    columns: int = 1,
    width: float = 4.4,
    height: float = 3.6,
) -> Figure:
    """Return a figure as SVG elements, one for each panel, which a narrow page lays in a column.

    Args:
        name: Unique name on the page, of characters that identifiers may have.
        caption: What it shows, as plain text.
        draw: Called with a list of Matplotlib axes, or with the axes if there is one column.
        columns: Number of axes.
        width: Width of each in inches.
        height: Height in inches.
    """
    import matplotlib as mpl
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
        canvases = [Canvas(figsize=(width, height), layout="constrained") for _ in range(columns)]
        axes = [canvas.subplots() for canvas in canvases]
        draw(axes if columns > 1 else axes[0])
        panels = []
        for number, canvas in enumerate(canvases):
            text = io.StringIO()
            canvas.savefig(text, format="svg", transparent=True, metadata={"Date": None})
            own = f"{name}-{number}" if columns > 1 else name
            panels.append(make_embeddable(text.getvalue(), own))
    return Figure(name=name, svg="".join(panels), caption=caption)


def make_embeddable(svg: str, name: str) -> str:
    """Turn an SVG file into an element of a page: no prologue, no links, its own identifiers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace('href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    svg = re.sub(r'<svg ([^>]*?)width="([\d.]+)pt"', r'<svg \1style="width:\2pt"', svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[\d.]+pt" ', r"<svg \1", svg, count=1)
    return svg.replace(INK, "currentColor")
