"""How many learned functions are soft XORs: every surface of a run, and the share over seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from omnimouse_cli.dendrites.functions import ALL_LAYERS, LearnedFunction, functions_of
from omnimouse_cli.dendrites.intervals import share_interval
from omnimouse_cli.dendrites.surface import Surface, analyse, middles
from omnimouse_cli.reporter import Reporter, Silent

MOST_DRAWN = 10
DRAWN_EXTENT = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Analysed:
    """A learned function and its surface."""

    function: LearnedFunction
    surface: Surface

    def to_dict(self) -> dict[str, Any]:
        """Give the fields for JSON."""
        one = self.function
        heading = {"network": one.network, "layer": one.layer, "seed": one.seed}
        return {**heading, **self.surface.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of some networks learned a saddle, with a 95 % interval of the probability."""

    hyperbolic: int
    total: int
    low: float
    high: float


def analyse_run(run: Path, reporter: Reporter | None = None) -> list[Analysed]:
    """Analyse every function of a run, in each layer and over all layers that share it.

    Args:
        run: Its folder.
        reporter: Is told about progress.

    Raises:
        OmniMouseError: Nothing in it is dendritic.
    """
    reporter = reporter or Silent()
    functions = functions_of(run)
    reporter.start("surfaces", len(functions))
    analysed = []
    for function in functions:
        analysed.append(Analysed(function=function, surface=analyse(function, function.arguments)))
        reporter.advance("surfaces")
    reporter.finish("surfaces")
    return analysed


def counted(analysed: Sequence[Analysed], network: str | None = None) -> Count:
    """Count saddles; a network that shares its function over layers counts once.

    Args:
        analysed: Of a run.
        network: Only of this one.
    """
    whole = [
        one
        for one in analysed
        if one.function.layer == ALL_LAYERS and network in (None, one.function.network)
    ]
    saddles = sum(one.surface.curvature == "hyperbolic" for one in whole)
    low, high = share_interval(saddles, len(whole))
    return Count(hyperbolic=saddles, total=len(whole), low=low, high=high)


def networks_of(analysed: Sequence[Analysed]) -> list[str]:
    """Give the networks in order."""
    return list(dict.fromkeys(one.function.network for one in analysed))


def draw(analysed: Sequence[Analysed], *, title: str, stream: BinaryIO) -> None:
    """Draw each network's functions side by side, with the region that holds 90 % of arguments.

    Args:
        analysed: Of a run.
        title: Above all.
        stream: Where the PNG goes.
    """
    from matplotlib.figure import Figure

    networks = networks_of(analysed)
    drawn = {
        name: [
            one
            for one in analysed
            if one.function.network == name and one.function.layer == ALL_LAYERS
        ][:MOST_DRAWN]
        for name in networks
    }
    columns = max(len(row) for row in drawn.values())
    figure = Figure(figsize=(1.7 * columns + 0.6, 2.1 * len(networks) + 0.6), layout="constrained")
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(len(networks), columns, squeeze=False)
    for number, name in enumerate(networks):
        for place in range(columns):
            if place < len(drawn[name]):
                _draw_one(axes[number, place], drawn[name][place])
            else:
                axes[number, place].set_axis_off()
        axes[number, 0].set_ylabel(name, fontsize=8)
    figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})


def _draw_one(axes: Any, one: Analysed) -> None:  # noqa: ANN401 - matplotlib has no types
    line = middles()
    surface = one.surface
    largest = abs(surface.values[surface.region] - surface.values[surface.region].mean()).max()
    centred = surface.values - surface.values[surface.region].mean()
    axes.pcolormesh(
        line, line, centred.T, cmap="RdBu_r", vmin=-largest, vmax=largest, rasterized=True
    )
    axes.contour(line, line, surface.region.T, levels=[0.5], colors="black", linewidths=0.8)
    axes.set(xlim=(-DRAWN_EXTENT, DRAWN_EXTENT), ylim=(-DRAWN_EXTENT, DRAWN_EXTENT))
    axes.set_aspect("equal")
    axes.set_title(f"{surface.curvature}\nseed {one.function.seed}", fontsize=7)
    axes.tick_params(labelsize=6)
