"""Networks among the baselines: their training, early stopping and predictions.

Budget: at most 30 passes over windows half a second apart (fewer where they do not fit in 600 MB),
for each of a few settings. Training ends after 4 passes without a lower loss on the validation
tier; the best weights of the best setting are kept. Everything random follows from a fixed seed.
"""

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from omnimouse_cli.evaluation.baselines.choose import Choice
from omnimouse_cli.evaluation.baselines.network_data import (
    WINDOWS_PER_START,
    ColumnScaling,
    NetworkData,
)
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets

MOST_PASSES, PATIENCE = 30, 4
BATCH_WINDOWS = 32
LEARNING_RATE, WEIGHT_DECAY, MOST_GRADIENT = 2e-3, 1e-2, 1.0
SEED = 0


def predict_network(
    builders: Sequence[Callable[[ColumnScaling], nn.Module]], targets: Targets, choice: Choice
) -> Iterator[Piece]:
    """Train a network under several settings and predict the scored windows with the best one.

    Args:
        builders: Each returns a network of one setting, which maps columns `(windows, 60, columns)`
            to predictions `(windows, samples, outputs)`.
        targets: What is predicted.
        choice: Windows to train on and to stop by.
    """
    scaling = ColumnScaling.fit(targets, choice.training)
    training = scaling.load(choice.training[::WINDOWS_PER_START])
    validation = scaling.load(choice.grid)
    with torch.random.fork_rng():
        fits = []
        for build in builders:
            torch.manual_seed(SEED)
            fits.append(_train(build(scaling), training, validation))
    _, network = min(fits, key=lambda fit: fit[0])
    for windows in targets.window_slices():
        with torch.inference_mode():
            values = network(scaling.columns(targets.windows.grid[windows]))
        yield Piece(windows, slice(None), values.numpy())


def _train(
    network: nn.Module, training: NetworkData, validation: NetworkData
) -> tuple[float, nn.Module]:
    """Return the lowest validation loss and the network with the weights that had it."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    best, weights, since_best = math.inf, copy.deepcopy(network.state_dict()), 0
    for _ in range(MOST_PASSES):
        network.train()
        for some in torch.split(torch.randperm(len(training.columns)), BATCH_WINDOWS):
            optimizer.zero_grad()
            _squared_error(network, training, some).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), MOST_GRADIENT)
            optimizer.step()
        network.eval()
        with torch.inference_mode():
            batches = torch.split(torch.arange(len(validation.columns)), BATCH_WINDOWS)
            losses = [float(_squared_error(network, validation, some)) for some in batches]
        loss = sum(value * len(some) for value, some in zip(losses, batches, strict=True))
        if loss < best:
            best, weights, since_best = loss, copy.deepcopy(network.state_dict()), 0
            continue
        since_best += 1
        if since_best == PATIENCE:
            break
    network.load_state_dict(weights)
    return best, network.eval()


def _squared_error(network: nn.Module, data: NetworkData, windows: Tensor) -> Tensor:
    """Return the mean squared error of some windows over what is scored and not lost."""
    truth = data.truth[windows]
    known = ~truth.isnan()
    error = (network(data.columns[windows]) - truth.nan_to_num(0.0)).square() * known
    loss: Tensor = error.sum() / known.sum().clamp(min=1)
    return loss
