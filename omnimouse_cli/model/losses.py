"""Losses of predictions. Source: OmniMouse (ICLR 2026, arXiv 2604.18827)."""

from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection, scored_mask, scored_samples
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.model.inputs import channel_numbers, select_neurons
from omnimouse_cli.model.omnimouse import Prediction

# B batch, A target samples, G target neurons, C channels, S behavior samples

POISSON_EPSILON = 1e-5
# In standard deviations of a neuron: one response at a predicted rate of 0 has a finite gradient.
GAMMA_FLOOR = 0.01
LOSS_CLAMP = 100.0
BEHAVIOR_CLAMP = 10.0


class Losses(NamedTuple):
    """Mean losses of a batch, unweighted; None without targets.

    Args:
        neural: Mean over scored samples of target neurons.
        behavior: Mean over samples of the session's channels that are not lost; 0 if all are.
        channels: `(2, channels of the session)`: the sum of each channel's losses, and the number
            of its samples that are not lost; None where they are not wanted.
    """

    neural: Tensor | None
    behavior: Tensor | None
    channels: Tensor | None = None


def compute_losses(
    prediction: Prediction,
    batch: Batch,
    strategy: Strategy,
    selection: Selection,
    response_loss: ResponseLoss,
    *,
    by_channel: bool = False,
) -> Losses:
    """Compare a prediction with its batch.

    Args:
        prediction: Prediction of the model.
        batch: Recorded windows.
        strategy: Masking strategy; samples of which a part was visible do not count.
        selection: Visible and target neurons.
        response_loss: `poisson`, `gaussian` or `gamma`.
        by_channel: Whether the loss of each behavior channel is wanted too.
    """
    neural = behavior = of_channels = None
    if prediction.responses is not None:
        neural = _neural_loss(prediction.responses, batch, strategy, selection, response_loss)
    if prediction.behavior is not None:
        assert batch.behavior is not None
        # Numbers, not bools: to count bools, the host would wait for the device.
        channels = channel_numbers(batch, batch.behavior.device)
        predicted_BCS, recorded_BCS = prediction.behavior[:, channels], batch.behavior[:, channels]
        loss_BCS, lost_BCS = _behavior_losses(predicted_BCS, recorded_BCS)
        num_scored = lost_BCS.numel() - lost_BCS.sum()
        behavior = loss_BCS.sum() / num_scored.clamp(min=1)
        if by_channel:
            of_channels = torch.stack([loss_BCS.sum((0, 2)), (~lost_BCS).sum((0, 2)).float()])
    return Losses(neural, behavior, of_channels)


def _behavior_losses(predicted_BCS: Tensor, recorded_BCS: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of each sample, 0 for those that are lost, and which are."""
    lost_BCS = recorded_BCS.isnan()
    # A gradient through NaN would be NaN even where its weight is 0.
    error_BCS = predicted_BCS - recorded_BCS.masked_fill(lost_BCS, 0.0)
    return error_BCS.square().clamp(max=BEHAVIOR_CLAMP).masked_fill(lost_BCS, 0.0), lost_BCS


def _neural_loss(
    predicted_BAG: Tensor,
    batch: Batch,
    strategy: Strategy,
    selection: Selection,
    response_loss: ResponseLoss,
) -> Tensor | None:
    assert strategy.targets is not None
    selection = selection.to(predicted_BAG.device)
    recorded_BAN = batch.responses[:, slice(*strategy.targets)]
    loss_BAG = elementwise_loss(
        predicted_BAG, select_neurons(recorded_BAN, selection.targets), response_loss
    )
    visible_scored, hidden_scored = scored_samples(strategy)
    shared, hidden = selection.num_shared, selection.num_targets - selection.num_shared
    num_scored = sum(visible_scored) * shared + sum(hidden_scored) * hidden
    if num_scored == loss_BAG[0].numel():
        return loss_BAG.mean()
    if num_scored == 0:
        return None
    scored_AG = scored_mask(strategy, selection)
    return loss_BAG.where(scored_AG, 0.0).sum() / (num_scored * loss_BAG.shape[0])


def neural_loss_by_window(
    prediction: Prediction,
    batch: Batch,
    strategy: Strategy,
    selection: Selection,
    response_loss: ResponseLoss,
) -> Tensor:
    """Return the mean neural loss of each window, `(batch,)`; see `compute_losses`."""
    assert prediction.responses is not None, "responses are a target"
    assert strategy.targets is not None, "responses are a target"
    selection = selection.to(prediction.responses.device)
    recorded_BAN = batch.responses[:, slice(*strategy.targets)]
    recorded_BAG = select_neurons(recorded_BAN, selection.targets)
    loss_BAG = elementwise_loss(prediction.responses, recorded_BAG, response_loss)
    scored_AG = scored_mask(strategy, selection)
    return loss_BAG.where(scored_AG, 0.0).sum(dim=(1, 2)) / scored_AG.sum()


def elementwise_loss(predicted: Tensor, recorded: Tensor, response_loss: ResponseLoss) -> Tensor:
    """Return the loss of each sample, in the scaled unit of a batch's responses.

    `gaussian` is the squared error. The others are negative log-likelihoods in nats, up to terms
    that do not depend on the prediction: `poisson`, a quasi-likelihood where responses are not
    counts (Wedderburn, Biometrika 1974), and `gamma`, of a gamma distribution of shape 1. Any other
    shape scales the gamma loss as a whole, so the loss needs none.

    Args:
        predicted: Predicted means; not negative unless the loss is `gaussian`.
        recorded: Responses of the same shape.
        response_loss: `poisson`, `gaussian` or `gamma`.
    """
    if response_loss == "gaussian":
        return (predicted - recorded).square()
    if response_loss == "gamma":
        mean = predicted + GAMMA_FLOOR
        loss = recorded / mean + torch.log(mean)
    else:
        loss = predicted - recorded * torch.log(predicted + POISSON_EPSILON)
    return loss.clamp(-LOSS_CLAMP, LOSS_CLAMP)
