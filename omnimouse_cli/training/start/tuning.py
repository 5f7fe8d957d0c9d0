"""Tuning in closed form: weights of the motion energies about the center of a receptive field."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

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

# S samples, F energies, N neurons, D directions, O orientations, K groups of energies that differ
# in scale and filter in time only: F = K x D

DIRECTIONS = 2 * ORIENTATIONS
# The prior is estimated from so many neurons of a session.
MOST_NEURONS = 256
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
    """Gaussian prior of weights turned to the preferred orientation; variance of what they leave.

    Args:
        mean: `(F,)`: of the first orientation.
        covariance: `(F, F)`.
        noise: As a share of the variance of responses.
    """

    mean: Tensor
    covariance: Tensor
    noise: Tensor


class Posterior(NamedTuple):
    """Posterior of the weights.

    Args:
        weights: `(N, F)`: mean of each neuron.
        mean: `(F,)`: average over neurons, turned back to the first orientation.
        square: `(F, F)`: the same of products of two weights.
        noise: Share of the variance of responses that they leave, on average.
    """

    weights: Tensor
    mean: Tensor
    square: Tensor
    noise: Tensor


def fit_tuning(
    reader: TrainingReader, core: OmniMouse, session: str, data: SessionData, field_N4: Tensor
) -> Tensor:
    """Return the weights of energies of a session's neurons: `(neurons, features)`.

    Bayesian linear regression of clipped responses. The prior is estimated from all neurons by
    expectation maximization: neurons share their tuning but for the preferred orientation, which is
    as likely to be any; opposite directions are alike to it. It replaces a penalty that would have
    to be chosen.

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
        infer_weights(part.square, part.cross, count, prior).weights * part.scale[:, None]
        for part in parts
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
    about_N1F = None
    for energy_NSF, y_SN in local_energies(batches, stimulus, where_PN, neurons, mean_N):
        # Squares of what hardly varies about a large mean would be rounding.
        about_N1F = energy_NSF.mean(1, keepdim=True) if about_N1F is None else about_N1F
        x_NSF = energy_NSF - about_N1F
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
    # Many small systems: a CPU solves them as fast.
    square_NFF, cross_NF, scale_N = (
        each.nan_to_num(0.0, 0.0, 0.0).cpu().double() for each in (square_NFF, cross_NF, scale_N)
    )
    # Energies of an image that never changes vary by rounding only.
    least_FF = LEAST_VARIANCE * torch.eye(features, dtype=torch.float64)
    square_NFF += least_FF
    # Where numbers were not finite, or are rounding, nothing is known.
    is_wrong_N = torch.linalg.cholesky_ex(square_NFF).info > 0
    square_NFF[is_wrong_N], cross_NF[is_wrong_N] = least_FF, 0.0
    return Moments(square_NFF, cross_NF, scale_N)


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
    # All orientations are alike to this prior: at first, each neuron's is that of its weights.
    found = infer_weights(square_NFF, cross_NF, count, prior)
    weights_ND = found.weights.view(len(cross_NF), -1, DIRECTIONS).sum(1)
    preferred_N = weights_ND.view(-1, 2, ORIENTATIONS).sum(1).argmax(1)
    likely_ON = functional.one_hot(preferred_N, ORIENTATIONS).T.double()
    for given_ON in (likely_ON, *[None] * (NUM_ITERATIONS - 1)):
        found = infer_weights(square_NFF, cross_NF, count, prior, given_ON)
        mean_F = _same_for_opposite(found.mean, 1)
        covariance_FF = _same_for_opposite(found.square, 2) - torch.outer(mean_F, mean_F)
        floor = LEAST_PRIOR * covariance_FF.diagonal().mean()
        prior = Prior(mean_F, covariance_FF + floor * eye_FF, found.noise)
    return prior


def infer_weights(
    square_NFF: Tensor,
    cross_NF: Tensor,
    count: int,
    prior: Prior,
    given_ON: Tensor | None = None,
) -> Posterior:
    """Return the posterior of the weights of neurons, over all orientations that they may prefer.

    Args:
        square_NFF: Second moments of energies.
        cross_NF: Of these with responses of variance 1.
        count: Number of independent samples.
        prior: Prior of the weights.
        given_ON: Probability of each orientation; None computes it, the posterior.
    """
    share = count / prior.noise
    data_NFF, projection_NF = share * square_NFF, share * cross_NF
    weights, covariances, evidence, noise = [], [], [], []
    for turn in range(ORIENTATIONS):
        precision_FF = torch.linalg.inv(_turn(prior.covariance, turn, 2))
        factor_NFF = torch.linalg.cholesky(data_NFF + precision_FF)
        covariance_NFF = torch.cholesky_inverse(factor_NFF)
        sum_NF = projection_NF + precision_FF @ _turn(prior.mean, turn, 1)
        weights_NF = (covariance_NFF @ sum_NF[..., None])[..., 0]
        # Variance of the prediction, times `share`: of the mean, and of what is uncertain.
        predicted_N = (weights_NF * (sum_NF - weights_NF @ precision_FF)).sum(1)
        uncertain_N = len(precision_FF) - covariance_NFF.flatten(1) @ precision_FF.flatten()
        explained_N = 2 * (cross_NF * weights_NF).sum(1)
        noise.append(1 - explained_N + (predicted_N + uncertain_N) / share)
        # Logarithm of the evidence, without what is the same for every orientation.
        log_root_N = factor_NFF.diagonal(dim1=1, dim2=2).log().sum(1)
        evidence.append((sum_NF * weights_NF).sum(1) / 2 - log_root_N)
        weights.append(weights_NF)
        covariances.append(covariance_NFF)
    likely_ON = torch.stack(evidence).softmax(0) if given_ON is None else given_ON
    mean_F, second_FF = torch.zeros_like(prior.mean), torch.zeros_like(prior.covariance)
    for turn, (p_N, w_NF) in enumerate(zip(likely_ON, weights, strict=True)):
        uncertain_FF = (p_N @ covariances[turn].flatten(1)).view_as(second_FF)
        mean_F += _turn(p_N @ w_NF, -turn, 1) / len(cross_NF)
        second_FF += _turn((p_N * w_NF.T) @ w_NF + uncertain_FF, -turn, 2) / len(cross_NF)
    return Posterior(
        weights=torch.einsum("on,onf->nf", likely_ON, torch.stack(weights)),
        mean=mean_F,
        square=second_FF,
        noise=(likely_ON * torch.stack(noise)).sum(0).clamp(min=LEAST_NOISE).mean(),
    )


def _turn(values: Tensor, turn: int, axes: int) -> Tensor:
    """Turn the directions of the last axes, features, by steps of 22.5 degrees."""
    groups = values.shape[-1] // DIRECTIONS
    split = values.reshape(*values.shape[:-axes], *(groups, DIRECTIONS) * axes)
    turned = split.roll((turn,) * axes, tuple(range(-1, -2 * axes, -2)))
    return turned.reshape(values.shape)


def _same_for_opposite(values: Tensor, axes: int) -> Tensor:
    """Average over a turn by half a circle."""
    return (values + _turn(values, ORIENTATIONS, axes)) / 2
