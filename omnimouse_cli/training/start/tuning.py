"""Tuning in closed form: weights of the motion energies about the center of a receptive field."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import ORIENTATIONS
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.stimulus import GAZE_AXES, StimulusShortcut
from omnimouse_cli.training.start.receptive_fields import (
    SAMPLES_OF_WINDOW,
    local_energies,
    weights_about,
)
from omnimouse_cli.training.start.session_data import (
    WINDOWS_AT_ONCE,
    SessionData,
    TrainingReader,
)

# S samples, F energies, N neurons, D directions, K groups of energies that differ in scale and
# filter in time only: F = K x D

DIRECTIONS = 2 * ORIENTATIONS
# The prior is estimated from so many neurons of a session.
MOST_NEURONS = 512
# Energies about all neurons, and their products: so many numbers at once.
MOST_PRODUCTS = 50_000_000
SAMPLES_AT_ONCE = WINDOWS_AT_ONCE * NUM_RESPONSE_SAMPLES // 2
NUM_ITERATIONS = 20
# At first a neuron's weights explain this share of its variance; the rest is noise.
START_EXPLAINED, LEAST_NOISE = 0.1, 0.2
# Added to the prior's variances, as a share of their mean, so that it can be inverted.
LEAST_PRIOR = 1e-4
LEAST_VARIANCE = 1e-3


class Moments(NamedTuple):
    """Second moments about the mean, as averages over samples.

    Args:
        square: `(N, F, F)` of energies about the center of each neuron.
        cross: `(N, F)` of these with its clipped responses, which are scaled to a variance of 1.
        scale: `(N,)`: standard deviation of clipped responses.
    """

    square: Tensor
    cross: Tensor
    scale: Tensor


class Prior(NamedTuple):
    """Gaussian prior of the weights, and variance of what they leave.

    Args:
        mean: `(F,)`.
        covariance: `(F, F)`.
        noise: As a share of the variance of responses.
    """

    mean: Tensor
    covariance: Tensor
    noise: Tensor


def fit_tuning(
    reader: TrainingReader, core: OmniMouse, session: str, data: SessionData, field_N4: Tensor
) -> Tensor:
    """Return the weights of energies of a session's neurons: `(neurons, features)`.

    Bayesian linear regression of clipped responses. The prior is estimated from all neurons by
    expectation maximization, and knows no direction before another: neurons share what they like
    in time and space, and each has its own direction. It stands for a penalty that would have to be
    chosen.

    Args:
        reader: Reads the windows of the training tiers.
        core: Its stimulus shortcut gives the energies.
        session: Session key.
        data: The same windows.
        field_N4: Centers from `fit_fields`.
    """
    stimulus = core.linear_paths.stimulus
    assert stimulus is not None, "fitted tuning needs the stimulus shortcut"
    num_neurons, features = data.responses.shape[2], stimulus.energy.num_features
    if data.contrasts is None:
        return torch.zeros(num_neurons, features)
    step = max(MOST_PRODUCTS // features // max(SAMPLES_AT_ONCE, features), 1)
    parts = [
        _moments(
            reader.batches(session, reader.config.data.tiers),
            stimulus,
            data.responses,
            field_N4[:, :GAZE_AXES].double(),
            slice(first, first + step),
        )
        for first in range(0, num_neurons, step)
    ]
    count = SAMPLES_OF_WINDOW * len(data.responses)
    every = slice(None, None, -(-num_neurons // MOST_NEURONS))
    squares_NFF = torch.cat([part.square[every] for part in parts])
    crosses_NF = torch.cat([part.cross[every] for part in parts])
    # Neurons that never change say nothing of what others share.
    is_known_N = crosses_NF.any(1)
    if not is_known_N.any():
        return torch.zeros(num_neurons, features)
    prior = estimate_prior(squares_NFF[is_known_N], crosses_NF[is_known_N], count)
    found = [
        _posterior(part.square, part.cross, count, prior)[0] * part.scale[:, None] for part in parts
    ]
    return torch.cat(found).float()


def _moments(
    batches: Iterable[Batch],
    stimulus: StimulusShortcut,
    responses_WSN: Tensor,
    center_N2: Tensor,
    neurons: slice,
) -> Moments:
    mean_N = responses_WSN[..., neurons].flatten(0, 1).mean(0)
    where_PN = weights_about(center_N2[neurons], stimulus).to(mean_N)
    num_neurons, features = len(mean_N), stimulus.energy.num_features
    square_NFF = mean_N.new_zeros(num_neurons, features, features)
    cross_NF = mean_N.new_zeros(num_neurons, features)
    sum_NF, total_N, squares_N, count = cross_NF.clone(), mean_N * 0, mean_N * 0, 0
    for x_NSF, y_SN in local_energies(batches, stimulus, where_PN, neurons, mean_N):
        square_NFF += x_NSF.transpose(1, 2) @ x_NSF
        cross_NF += (y_SN.T[:, None] @ x_NSF)[:, 0]
        sum_NF += x_NSF.sum(1)
        total_N += y_SN.sum(0)
        squares_N += y_SN.square().sum(0)
        count += len(y_SN)
    sum_NF, total_N = sum_NF / count, total_N / count
    square_NFF = square_NFF / count - sum_NF[:, :, None] * sum_NF[:, None]
    scale_N = (squares_N / count - total_N.square()).clamp(min=1e-12).sqrt()
    cross_NF = (cross_NF / count - sum_NF * total_N[:, None]) / scale_N[:, None]
    # Energies of an image that never changes vary by rounding only.
    square_NFF += LEAST_VARIANCE * torch.eye(features, device=square_NFF.device)
    # Many small systems: a CPU solves them as fast. Where numbers are not finite, nothing is known.
    found = (each.nan_to_num().cpu().double() for each in (square_NFF, cross_NF, scale_N))
    return Moments(*found)


def estimate_prior(square_NFF: Tensor, cross_NF: Tensor, count: int) -> Prior:
    """Estimate the prior by expectation maximization.

    Args:
        square_NFF: Second moments of energies.
        cross_NF: Of these with responses of variance 1.
        count: Number of independent samples.
    """
    num_features = cross_NF.shape[1]
    eye_FF = torch.eye(num_features, dtype=torch.float64)
    variance = square_NFF.diagonal(dim1=1, dim2=2).mean()
    prior = Prior(
        torch.zeros(num_features, dtype=torch.float64),
        START_EXPLAINED / num_features / variance * eye_FF,
        torch.tensor(1.0, dtype=torch.float64),
    )
    for _ in range(NUM_ITERATIONS):
        weights_NF, covariance_NFF = _posterior(square_NFF, cross_NF, count, prior)
        explained_N = 2 * (cross_NF * weights_NF).sum(1)
        predicted_N = (weights_NF[:, None] @ square_NFF @ weights_NF[..., None])[:, 0, 0]
        uncertain_N = (square_NFF * covariance_NFF).sum((1, 2))
        noise = (1 - explained_N + predicted_N + uncertain_N).clamp(min=LEAST_NOISE).mean()
        mean_F = _same_for_directions(weights_NF.mean(0))
        deviation_NF = weights_NF - mean_F
        scatter_FF = covariance_NFF.mean(0) + deviation_NF.T @ deviation_NF / len(weights_NF)
        covariance_FF = _average_over_turns(scatter_FF)
        floor = LEAST_PRIOR * covariance_FF.diagonal().mean()
        prior = Prior(mean_F, covariance_FF + floor * eye_FF, noise)
    return prior


def _posterior(
    square_NFF: Tensor, cross_NF: Tensor, count: int, prior: Prior
) -> tuple[Tensor, Tensor]:
    """Return mean and covariance of the weights of neurons: `(N, F)` and `(N, F, F)`."""
    precision_FF = torch.linalg.inv(prior.covariance)
    share = count / prior.noise
    covariance_NFF = torch.linalg.inv(share * square_NFF + precision_FF)
    evidence_NF = share * cross_NF + precision_FF @ prior.mean
    return (covariance_NFF @ evidence_NF[..., None])[..., 0], covariance_NFF


def _same_for_directions(weights_F: Tensor) -> Tensor:
    weights_KD = weights_F.view(-1, DIRECTIONS)
    return weights_KD.mean(1, keepdim=True).expand_as(weights_KD).flatten()


def _average_over_turns(covariance_FF: Tensor) -> Tensor:
    """Average a covariance over turns of all directions: it depends on angles between them."""
    features = len(covariance_FF)
    groups = features // DIRECTIONS
    covariance_KDKD = covariance_FF.view(groups, DIRECTIONS, groups, DIRECTIONS)
    turns = [covariance_KDKD.roll((turn, turn), (1, 3)) for turn in range(DIRECTIONS)]
    return torch.stack(turns).mean(0).reshape(features, features)
