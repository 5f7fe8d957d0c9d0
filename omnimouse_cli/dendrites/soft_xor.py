"""How many learned functions are soft XORs: every surface of a run, and the share over seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from omnimouse_cli.dendrites.functions import functions_of
from omnimouse_cli.dendrites.intervals import share_interval
from omnimouse_cli.dendrites.learned import ALL_LAYERS, LearnedFunction, Measuring
from omnimouse_cli.dendrites.surface import Surface, analyse, middles
from omnimouse_cli.reporter import Reporter, Silent

MOST_DRAWN = 10
DRAWN_EXTENT = 3.0

# Network, layer and cell type.
Place = tuple[str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysed:
    """A learned function and its surface."""

    function: LearnedFunction
    surface: Surface

    def to_dict(self) -> dict[str, Any]:
        """Give the fields for JSON."""
        one = self.function
        names = ("run", "network", "layer", "cell_type", "seed")
        return {**{name: getattr(one, name) for name in names}, **self.surface.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of some networks learned a saddle, with a 95 % interval of the probability."""

    hyperbolic: int
    total: int
    low: float
    high: float


def analyse_run(
    run: Path, reporter: Reporter | None = None, measuring: Measuring | None = None
) -> list[Analysed]:
    """Analyse every function of a run, in each layer and over all layers that share it.

    Args:
        run: Its folder.
        reporter: Is told about progress.
        measuring: How arguments of a training run are measured.

    Raises:
        OmniMouseError: Nothing in it is dendritic.
    """
    reporter = reporter or Silent()
    functions = functions_of(run, measuring or Measuring(), reporter)
    reporter.start("surfaces", len(functions))
    analysed = []
    for one in functions:
        surface = analyse(one.function, one.arguments, one.frame)
        analysed.append(Analysed(function=one, surface=surface))
        reporter.advance("surfaces")
    reporter.finish("surfaces")
    return analysed


def counted(analysed: Sequence[Analysed], network: str | None = None) -> Count:
    """Count saddles; a function that several layers share counts once.

    Args:
        analysed: Of one run or several.
        network: Only of this one.
    """
    return _count(one for one in _whole(analysed) if network in (None, one.function.network))


def counted_by_layer(analysed: Sequence[Analysed]) -> dict[Place, Count]:
    """Count saddles over the seeds of each network, layer and cell type."""
    places = dict.fromkeys(one.function.place for one in analysed)
    return {
        place: _count(one for one in analysed if one.function.place == place) for place in places
    }


def _whole(analysed: Sequence[Analysed]) -> list[Analysed]:
    return [one for one in analysed if one.function.is_whole]


def _count(analysed: Iterable[Analysed]) -> Count:
    kinds = [one.surface.curvature for one in analysed]
    saddles = kinds.count("hyperbolic")
    low, high = share_interval(saddles, len(kinds))
    return Count(hyperbolic=saddles, total=len(kinds), low=low, high=high)


def networks_of(analysed: Sequence[Analysed]) -> list[str]:
    """Give the networks in order."""
    return list(dict.fromkeys(one.function.network for one in analysed))


def draw(analysed: Sequence[Analysed], *, title: str, stream: BinaryIO) -> None:
    """Draw each function, seeds side by side, with the region that holds 90 % of its arguments.

    Args:
        analysed: Of one run or several.
        title: Above all.
        stream: Where the PNG goes.
    """
    from matplotlib.figure import Figure

    drawn: dict[Place, list[Analysed]] = {}
    for one in _whole(analysed):
        drawn.setdefault(one.function.place, []).append(one)
    columns = min(MOST_DRAWN, max(len(row) for row in drawn.values()))
    figure = Figure(figsize=(1.7 * columns + 0.6, 2.1 * len(drawn) + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(len(drawn), columns, squeeze=False)
    for number, ((network, layer, cell_type), row) in enumerate(drawn.items()):
        for place in range(columns):
            if place < len(row):
                _draw_one(axes[number, place], row[place])
            else:
                axes[number, place].set_axis_off()
        name = network if layer == ALL_LAYERS else f"{network} {layer}"
        axes[number, 0].set_ylabel(f"{name} {cell_type}" if cell_type else name, fontsize=8)
    figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})


def _draw_one(axes: Any, one: Analysed) -> None:  # noqa: ANN401 - matplotlib has no types
    surface = one.surface
    line = middles()
    a, b = surface.frame.outward(np.stack([line, line], axis=1)).T
    largest = abs(surface.values[surface.region] - surface.values[surface.region].mean()).max()
    centred = surface.values - surface.values[surface.region].mean()
    axes.pcolormesh(a, b, centred.T, cmap="RdBu_r", vmin=-largest, vmax=largest, rasterized=True)
    axes.contour(a, b, surface.region.T, levels=[0.5], colors="black", linewidths=0.8)
    (left, bottom), (right, top) = surface.frame.outward(DRAWN_EXTENT * np.array([[-1], [1]]))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_box_aspect(1)
    axes.set_title(f"{surface.curvature}\nseed {one.function.seed}", fontsize=7)
    axes.tick_params(labelsize=6)
