"""Learned functions of runs: their surfaces, and how many of them are soft XORs."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import DENDRITIC
from omnimouse_cli.dendrites.images.network import apply_inner_reference, get_inner_weights
from omnimouse_cli.dendrites.images.results import (
    ARGUMENTS,
    WEIGHTS,
    Candidate,
    is_comparison,
    open_comparison,
)
from omnimouse_cli.dendrites.surface import (
    ALL_LAYERS,
    F64,
    Function,
    FunctionKey,
    LearnedFunction,
    Surface,
    analyze,
    get_bin_centers,
)
from omnimouse_cli.dendrites.transformer import (
    ArgumentSampling,
    read_transformer_functions,
)
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.metrics.intervals import share_interval
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.folder import is_run
from omnimouse_cli.text import escape_math

MAX_COLUMNS = 10
DRAWN_EXTENT = 3.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalyzedFunction:
    """A learned function and its surface."""

    function: LearnedFunction
    surface: Surface

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        names = ("run", "network", "layer", "cell_type", "seed")
        return {
            **{name: getattr(self.function, name) for name in names},
            **self.surface.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftXorCount:
    """Number of hyperbolic functions among all, and the 95 % interval of their probability."""

    hyperbolic: int
    total: int
    low: float
    high: float


def analyze_run(
    run: Path, reporter: Reporter | None = None, sampling: ArgumentSampling | None = None
) -> list[AnalyzedFunction]:
    """Analyze every learned function of a run, in each layer and over all layers that share it.

    Args:
        run: Folder of a comparison, or of a finished training run.
        reporter: Receives progress.
        sampling: Data on which a training run's arguments are sampled.

    Raises:
        OmniMouseError: The folder is neither, or has no dendritic layers.
    """
    reporter = reporter or Silent()
    if is_run(run):
        functions = read_transformer_functions(run, sampling or ArgumentSampling(), reporter)
    elif is_comparison(run):
        functions = list(_read_comparison_functions(run))
    else:
        raise OmniMouseError(
            f"{run} is neither a comparison of activations nor a training run",
            hint="make one with: omnimouse dendrites compare --data digits",
        )
    if not functions:
        raise OmniMouseError(
            f"{run} has no dendritic layers, so it has no surfaces to show",
            hint="compare activations with: omnimouse dendrites compare --data digits",
        )
    reporter.start("surfaces", len(functions))
    analyzed = []
    for one in functions:
        surface = analyze(one.function, one.arguments, one.frame)
        analyzed.append(AnalyzedFunction(function=one, surface=surface))
        reporter.advance("surfaces")
    reporter.finish("surfaces")
    return analyzed


def _read_comparison_functions(run: Path) -> Iterator[LearnedFunction]:
    comparison = open_comparison(run)
    for network in comparison.settings.networks:
        candidate = Candidate(network=network, activation=DENDRITIC)
        if not comparison.has_result(candidate):
            continue
        result = comparison.read_result(candidate)
        weights = get_inner_weights(result.get_arrays(WEIGHTS))
        arguments = {
            name: rows.double().numpy()
            for name, rows in sorted(result.get_arrays(ARGUMENTS).items())
        }
        for seed in range(len(weights[0])):
            layers = {f"layer{name}": rows[seed] for name, rows in arguments.items()}
            layers[ALL_LAYERS] = np.concatenate(list(layers.values()))
            function = _make_function([weight[seed : seed + 1].double() for weight in weights])
            for layer, rows in layers.items():
                yield LearnedFunction(
                    run=run.resolve().name,
                    network=network,
                    layer=layer,
                    seed=seed,
                    is_whole=layer == ALL_LAYERS,
                    function=function,
                    arguments=rows,
                )


def _make_function(weights: list[Tensor]) -> Function:
    def compute(points: F64) -> F64:
        with torch.no_grad():
            values = apply_inner_reference(torch.from_numpy(points).unsqueeze(0), weights)
        return np.asarray(values[0].numpy(), np.float64)

    return compute


def count_soft_xors(
    analyzed: Sequence[AnalyzedFunction], network: str | None = None
) -> SoftXorCount:
    """Count hyperbolic functions; a function that several layers share counts once.

    Args:
        analyzed: Functions of one or several runs.
        network: Count only those of this network.
    """
    return _count(
        one for one in analyzed if one.function.is_whole and network in (None, one.function.network)
    )


def count_by_layer(analyzed: Sequence[AnalyzedFunction]) -> dict[FunctionKey, SoftXorCount]:
    """Count hyperbolic functions over the seeds of each network, layer and cell type."""
    keys = dict.fromkeys(one.function.key for one in analyzed)
    return {key: _count(one for one in analyzed if one.function.key == key) for key in keys}


def _count(analyzed: Iterable[AnalyzedFunction]) -> SoftXorCount:
    curvatures = [one.surface.curvature for one in analyzed]
    hyperbolic = curvatures.count("hyperbolic")
    low, high = share_interval(hyperbolic, len(curvatures))
    return SoftXorCount(hyperbolic=hyperbolic, total=len(curvatures), low=low, high=high)


def list_networks(analyzed: Sequence[AnalyzedFunction]) -> list[str]:
    """Return the different networks in order."""
    return list(dict.fromkeys(one.function.network for one in analyzed))


def draw(analyzed: Sequence[AnalyzedFunction], *, title: str, stream: BinaryIO) -> None:
    """Draw each function, seeds side by side, with the region that holds 90 % of its arguments.

    Args:
        analyzed: Functions of one or several runs.
        title: Title of the figure.
        stream: File that the PNG is written to.
    """
    from matplotlib.figure import Figure

    by_key: dict[FunctionKey, list[AnalyzedFunction]] = {}
    for one in analyzed:
        if one.function.is_whole:
            by_key.setdefault(one.function.key, []).append(one)
    columns = min(MAX_COLUMNS, max(len(row) for row in by_key.values()))
    figure = Figure(figsize=(1.7 * columns + 0.6, 2.1 * len(by_key) + 0.6), layout="constrained")
    figure.suptitle(escape_math(title), fontsize=10)
    axes = figure.subplots(len(by_key), columns, squeeze=False)
    for number, ((network, layer, cell_type), row) in enumerate(by_key.items()):
        for column in range(columns):
            if column < len(row):
                _draw_surface(axes[number, column], row[column])
            else:
                axes[number, column].set_axis_off()
        name = network if layer == ALL_LAYERS else f"{network} {layer}"
        axes[number, 0].set_ylabel(f"{name} {cell_type}" if cell_type else name, fontsize=8)
    figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})


def _draw_surface(axes: Any, one: AnalyzedFunction) -> None:  # noqa: ANN401 - matplotlib has no types
    surface = one.surface
    line = get_bin_centers()
    a, b = surface.frame.to_arguments(np.stack([line, line], axis=1)).T
    centered = surface.values - surface.values[surface.region].mean()
    largest = abs(centered[surface.region]).max()
    axes.pcolormesh(a, b, centered.T, cmap="RdBu_r", vmin=-largest, vmax=largest, rasterized=True)
    axes.contour(a, b, surface.region.T, levels=[0.5], colors="black", linewidths=0.8)
    (left, bottom), (right, top) = surface.frame.to_arguments(DRAWN_EXTENT * np.array([[-1], [1]]))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_box_aspect(1)
    axes.set_title(f"{surface.curvature}\nseed {one.function.seed}", fontsize=7)
    axes.tick_params(labelsize=6)
