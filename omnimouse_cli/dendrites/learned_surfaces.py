"""Learned functions of runs: their surfaces before and after training, and their figure."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.architecture import DENDRITIC
from omnimouse_cli.dendrites.images.network import apply_inner_reference, get_inner_weights
from omnimouse_cli.dendrites.images.results import (
    ARGUMENTS,
    START,
    WEIGHTS,
    Candidate,
    CandidateResult,
    is_comparison,
    open_comparison,
)
from omnimouse_cli.dendrites.soft_xor import AnalyzedFunction
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
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.folder import is_run
from omnimouse_cli.text import escape_math

MAX_COLUMNS = 10
DRAWN_EXTENT = 3.0


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
        analyzed.append(_analyze(one))
        reporter.advance("surfaces")
    reporter.finish("surfaces")
    if any(one.start is None for one in analyzed):
        reporter.warn(
            f"{run} was trained by an earlier omnimouse, which did not store its functions before "
            "training: whether it has learned soft XORs cannot be tested"
        )
    return analyzed


def _analyze(function: LearnedFunction) -> AnalyzedFunction:
    def describe(values: Function) -> Surface:
        # Both where the arguments lie at the end, so that only the function differs.
        return analyze(values, function.arguments, function.frame)

    start = None if function.start is None else describe(function.start)
    return AnalyzedFunction(function=function, surface=describe(function.function), start=start)


def _read_comparison_functions(run: Path) -> Iterator[LearnedFunction]:
    comparison = open_comparison(run)
    for network in comparison.settings.networks:
        candidate = Candidate(network=network, activation=DENDRITIC)
        if not comparison.has_result(candidate):
            continue
        result = comparison.read_result(candidate)
        functions, starts = (_read_functions(result, prefix) for prefix in (WEIGHTS, START))
        arguments = {
            name: rows.double().numpy()
            for name, rows in sorted(result.get_arrays(ARGUMENTS).items())
        }
        for seed, function in enumerate(functions):
            layers = {f"layer{name}": rows[seed] for name, rows in arguments.items()}
            layers[ALL_LAYERS] = np.concatenate(list(layers.values()))
            for layer, rows in layers.items():
                yield LearnedFunction(
                    run=run.resolve().name,
                    network=network,
                    layer=layer,
                    seed=seed,
                    is_whole=layer == ALL_LAYERS,
                    function=function,
                    arguments=rows,
                    start=starts[seed] if starts else None,
                )


def _read_functions(result: CandidateResult, prefix: str) -> list[Function]:
    """Return the function of each seed; none where a result has no such weights."""
    weights = get_inner_weights(result.get_arrays(prefix))
    return [
        _make_function([weight[seed : seed + 1].double() for weight in weights])
        for seed in range(len(weights[0]) if weights else 0)
    ]


def _make_function(weights: list[Tensor]) -> Function:
    def compute(points: F64) -> F64:
        with torch.no_grad():
            values = apply_inner_reference(torch.from_numpy(points).unsqueeze(0), weights)
        return np.asarray(values[0].numpy(), np.float64)

    return compute


def draw(analyzed: Sequence[AnalyzedFunction], *, title: str, stream: BinaryIO) -> None:
    """Draw each function, seeds side by side, with the region that holds 90 % of its arguments.

    The first argument is called basal and the second apical, as in the published comparison.

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
    figure = Figure(figsize=(1.8 * columns + 1.2, 2.3 * len(by_key) + 0.6), layout="constrained")
    figure.suptitle(escape_math(title), fontsize=10)
    axes = figure.subplots(len(by_key), columns, squeeze=False)
    for number, ((network, layer, cell_type), row) in enumerate(by_key.items()):
        for column in range(columns):
            if column < len(row):
                image = _draw_surface(axes[number, column], row[column])
            else:
                axes[number, column].set_axis_off()
        name = network if layer == ALL_LAYERS else f"{network} {layer}"
        name = f"{name} {cell_type}" if cell_type else name
        unit = _unit(row[0])
        axes[number, 0].set_ylabel(f"{name}\napical argument ({unit})", fontsize=7)
    bar = figure.colorbar(image, ax=axes, shrink=0.6, aspect=30)
    bar.set_label("output less its mean\n(share of its largest in the region)", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    figure.savefig(stream, dpi=130, format="png", metadata={"Software": None})


def _unit(one: AnalyzedFunction) -> str:
    """Return the unit of a function's arguments: normalized ones have a deviation of 1."""
    return "SD" if one.function.frame is None else "a.u."


def _draw_surface(axes: Any, one: AnalyzedFunction) -> Any:  # noqa: ANN401 - matplotlib has no types
    """Draw a function, and return what a color bar describes."""
    surface = one.surface
    line = get_bin_centers()
    a, b = surface.frame.to_arguments(np.stack([line, line], axis=1)).T
    centered = surface.values - surface.values[surface.region].mean()
    shares = centered / (abs(centered[surface.region]).max() or 1.0)
    image = axes.pcolormesh(a, b, shares.T, cmap="RdBu_r", vmin=-1, vmax=1, rasterized=True)
    axes.contour(a, b, surface.region.T, levels=[0.5], colors="black", linewidths=0.8)
    (left, bottom), (right, top) = surface.frame.to_arguments(DRAWN_EXTENT * np.array([[-1], [1]]))
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_box_aspect(1)
    before = "" if one.start is None else f"{one.start.angular_power[2]:.2f} > "
    power = f"l = 2: {before}{surface.angular_power[2]:.2f}"
    axes.set_title(f"seed {one.function.seed}, {surface.curvature}\n{power}", fontsize=6)
    axes.tick_params(labelsize=6)
    axes.set_xlabel(f"basal argument ({_unit(one)})", fontsize=6)
    return image
