"""The learned functions of a run, whether a comparison or a training run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.dendrites.images.activation import DENDRITIC
from omnimouse_cli.dendrites.images.competitor import ARGUMENTS, WEIGHTS, Competitor, is_stored
from omnimouse_cli.dendrites.images.folder import is_comparison, open_comparison
from omnimouse_cli.dendrites.images.inner import inner_reference
from omnimouse_cli.dendrites.images.network import inner_of
from omnimouse_cli.dendrites.learned import ALL_LAYERS, LearnedFunction, Measuring
from omnimouse_cli.dendrites.surface import F64, Function
from omnimouse_cli.dendrites.transformer import functions_of_run
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import is_run


def functions_of(run: Path, measuring: Measuring, reporter: Reporter) -> list[LearnedFunction]:
    """Read the functions of a run.

    Args:
        run: Folder of a comparison, or of a finished training run.
        measuring: How the arguments of a training run are measured.
        reporter: Is told about progress.

    Raises:
        OmniMouseError: It is no run, or nothing in it is dendritic.
    """
    if is_run(run):
        return functions_of_run(run, measuring, reporter)
    if not is_comparison(run):
        raise OmniMouseError(
            f"{run} is neither a comparison of activations nor a training run",
            hint="make one with: omnimouse dendrites compare --data digits",
        )
    functions = list(_of_comparison(run))
    if not functions:
        raise OmniMouseError(
            f"{run} has no dendritic layers, so it has no surfaces to show",
            hint="compare activations with: omnimouse dendrites compare --data digits",
        )
    return functions


def _of_comparison(run: Path) -> Iterator[LearnedFunction]:
    comparison = open_comparison(run)
    for network in comparison.settings.networks:
        competitor = Competitor(network=network, activation=DENDRITIC)
        if not is_stored(competitor, comparison.results):
            continue
        result = comparison.result(competitor)
        weights = inner_of(result.part(WEIGHTS))
        arguments = {
            name: rows.double().numpy() for name, rows in sorted(result.part(ARGUMENTS).items())
        }
        for seed in range(len(weights[0])):
            layers = {f"layer{name}": rows[seed] for name, rows in arguments.items()}
            layers[ALL_LAYERS] = np.concatenate(list(layers.values()))
            function = _inner_function([weight[seed : seed + 1].double() for weight in weights])
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


def _inner_function(weights: list[Tensor]) -> Function:
    def values(points: F64) -> F64:
        with torch.no_grad():
            found = inner_reference(torch.from_numpy(points).unsqueeze(0), weights)
        return np.asarray(found[0].numpy(), np.float64)

    return values
