"""Losses that need no model, beside those of a validation: the training mean, and persistence."""

from collections.abc import Iterator

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.evaluation.scorer import RATE_FLOOR
from omnimouse_cli.model.inputs import select_neurons
from omnimouse_cli.model.losses import Losses, compute_losses
from omnimouse_cli.model.omnimouse import Prediction

TRAIN_MEAN, PERSISTENCE = "train_mean", "persistence"


def baseline_losses(
    batch: Batch,
    strategy: Strategy,
    selection: Selection,
    mean_N: Tensor,
    response_loss: ResponseLoss,
) -> Iterator[tuple[str, Losses]]:
    """Yield the name of each baseline that a strategy has, and its losses.

    Rates by persistence are at least a hundredth of the training mean, as those of models are in
    the deviance of an evaluation: a silent sample would cost nearly infinitely much.

    Args:
        batch: Recorded windows.
        strategy: Inputs and targets.
        selection: Visible and target neurons, on the batch's device.
        mean_N: float32 `(neurons,)`: training mean of the neurons of the batch, as they are scaled.
        response_loss: `poisson`, `gaussian` or `gamma`.
    """
    mean_BG = mean_N[selection.targets]
    behavior = None
    if strategy.behavior == "reconstructed" and batch.behavior is not None:
        # Channels are z-scored over the training trials.
        behavior = torch.zeros_like(batch.behavior)
    responses = None if strategy.targets is None else _hold(mean_BG[:, None], strategy)
    mean = Prediction(responses, behavior)
    yield (
        TRAIN_MEAN,
        compute_losses(mean, batch, strategy, selection, response_loss, by_channel=True),
    )
    sample = last_visible_sample(strategy, selection)
    if sample is None:
        return
    last_BAG = select_neurons(batch.responses[:, sample : sample + 1], selection.targets)
    if response_loss != "gaussian":
        last_BAG = torch.maximum(last_BAG, RATE_FLOOR * mean_BG[:, None])
    held = Prediction(_hold(last_BAG, strategy), None)
    yield PERSISTENCE, compute_losses(held, batch, strategy, selection, response_loss)


def last_visible_sample(strategy: Strategy, selection: Selection) -> int | None:
    """Return the last sample before the targets in which all target neurons are visible."""
    if strategy.targets is None or strategy.prefix is None:
        return None
    all_visible = selection.num_shared == selection.num_targets
    first, end = strategy.visible_range if all_visible else strategy.full_population_range
    last = min(end, strategy.targets[0]) - 1
    return last if last >= first else None


def _hold(values_B1G: Tensor, strategy: Strategy) -> Tensor:
    assert strategy.targets is not None, "responses are a target"
    first, end = strategy.targets
    return values_B1G.expand(-1, end - first, -1)
