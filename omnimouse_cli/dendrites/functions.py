"""The learned functions of a run: what its units compute, and arguments that they were given."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.dendrites.activation import DENDRITIC
from omnimouse_cli.dendrites.competitor import ARGUMENTS, WEIGHTS, Competitor, is_stored
from omnimouse_cli.dendrites.folder import is_comparison, open_comparison
from omnimouse_cli.dendrites.inner import inner_reference
from omnimouse_cli.dendrites.network import inner_of
from omnimouse_cli.dendrites.surface import F64
from omnimouse_cli.errors import OmniMouseError

ALL_LAYERS = "all"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedFunction:
    """One function of two arguments in one layer.

    Args:
        network: Which of a run's networks.
        layer: Its name; `all` pools the layers that share the function.
        seed: Number of the training.
        weights: Weights `(1, in, out)` and biases `(1, out)` of the inner network in turn.
        arguments: float64 `(rows, 2)` that its units were given.
    """

    network: str
    layer: str
    seed: int
    weights: list[Tensor]
    arguments: F64

    def __call__(self, points: F64) -> F64:
        """Evaluate at `(rows, 2)`."""
        rows = torch.from_numpy(points).unsqueeze(0)
        with torch.no_grad():
            values = inner_reference(rows, [weight.double() for weight in self.weights])
        return np.asarray(values[0].numpy(), np.float64)


def functions_of(run: Path) -> list[LearnedFunction]:
    """Read the functions of a run.

    Raises:
        OmniMouseError: It is no run, or nothing in it is dendritic.
    """
    if is_comparison(run):
        functions = list(_of_comparison(run))
        if functions:
            return functions
    elif not (run / "config.toml").is_file():
        raise OmniMouseError(
            f"{run} is neither a comparison of activations nor a training run",
            hint="make one with: omnimouse dendrites compare --data digits",
        )
    raise OmniMouseError(
        f"{run} has no dendritic layers, so it has no surfaces to show",
        hint="compare activations with: omnimouse dendrites compare --data digits",
    )


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
            for layer, rows in layers.items():
                yield LearnedFunction(
                    network=network,
                    layer=layer,
                    seed=seed,
                    weights=[weight[seed : seed + 1] for weight in weights],
                    arguments=rows,
                )
