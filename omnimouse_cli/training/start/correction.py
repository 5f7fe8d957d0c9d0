"""The correction of the factor model: a ridge regression of what it leaves on its factors."""

import itertools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import select
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.model.inputs import ModelInputs, prepare_inputs
from omnimouse_cli.model.omnimouse import OmniMouse
from omnimouse_cli.model.shortcuts.factors import (
    FactorShortcut,
    LinearWeights,
    correction_features,
)
from omnimouse_cli.training.start.factor_analysis import FactorModel

# W windows, S samples, A target samples, N neurons, G hidden neurons, R factors, F features,
# K rows of the regression

# Draws of visible neurons: so many rounds, of these shares of the population, in different windows.
NUM_ROUNDS, SHARES = 6, (1 / 16, 1 / 8, 1 / 4, 1 / 2)
MOST_WINDOWS = 300
TARGET_SAMPLES = (30, 60)
# Bounds the memory that thousands of neurons take.
WINDOWS_AT_ONCE = 64


class CorrectionMoments(NamedTuple):
    """Normal equations of the correction, float64, on the CPU.

    Args:
        square: `(F, F)`: mean product of features, over all draws.
        cross: `(F, N)`: of features and what the model leaves of a neuron, where it was hidden.
    """

    square: Tensor
    cross: Tensor

    def solve(self, penalty: float) -> Tensor:
        """Return the weights of the neurons: `(neurons, features)`.

        Args:
            penalty: Per row, for features whose mean square is 1.
        """
        scale_F1 = self.square.diagonal().clamp(min=1e-8).sqrt()[:, None]
        scaled_FF = self.square / scale_F1 / scale_F1.T
        scaled_FF = scaled_FF + penalty * torch.eye(len(scaled_FF), dtype=scaled_FF.dtype)
        weights_FN = torch.linalg.solve(scaled_FF, self.cross / scale_F1) / scale_F1
        result_NF: Tensor = weights_FN.T.float()
        return result_NF


def population_inputs(
    responses_WSN: Tensor, order_N: Tensor, share: float, core: OmniMouse
) -> ModelInputs:
    """Return inputs in which a share of the neurons, the first of an order, is visible.

    The others are to be predicted, in the second half of windows.
    """
    windows, _, neurons = responses_WSN.shape
    visible = max(1, round(share * neurons))
    strategy = Strategy(
        name="draw",
        family="population",
        num_visible=visible,
        num_targets=max(1, neurons - visible),
        literal_counts=True,
        prefix=TARGET_SAMPLES,
        context=TARGET_SAMPLES,
        targets=TARGET_SAMPLES,
        behavior="absent",
    )
    batch = Batch(
        number=-1,
        session="",
        responses=responses_WSN[..., order_N],
        neuron_index=order_N.repeat(windows, 1),
        video=None,
        behavior=None,
        behavior_present=np.zeros(len(core.behavior_channels), bool),
        start_seconds=np.zeros(windows),
    )
    selection = select(strategy, num_neurons=neurons, num_windows=windows, generator=None)
    inputs: ModelInputs = prepare_inputs(core.config, batch, strategy, selection)
    return inputs


def factor_weights(
    model: FactorModel, device: torch.device, correction_NF: Tensor | None = None
) -> LinearWeights:
    """Return weights of neurons on a device, for predictions from responses alone."""
    loadings_NR = model.loadings.to(device)
    none_N0 = loadings_NR[:, :0]
    return LinearWeights(
        none_N0,
        loadings_NR,
        model.log_noise.to(device),
        none_N0 if correction_NF is None else correction_NF.to(device),
        none_N0,
    )


def correction_moments(
    responses_WSN: Tensor, model: FactorModel, shortcut: FactorShortcut, core: OmniMouse
) -> CorrectionMoments:
    """Return the normal equations over random draws of visible neurons.

    Args:
        responses_WSN: `(windows, 60, neurons)`, on any device.
        model: Factor model of the session.
        shortcut: On that device, with the autocovariances of factors that sessions share.
        core: Says how inputs are prepared.
    """
    device, neurons = responses_WSN.device, responses_WSN.shape[2]
    weights, mean_N = factor_weights(model, device), model.mean.to(device)
    clip, generator = shortcut.get_buffer("clip"), torch.Generator().manual_seed(0)
    step = -(-len(responses_WSN) // MOST_WINDOWS)
    num_features = correction_features(weights.loadings[None, :1]).shape[2]
    square_FF = responses_WSN.new_zeros(num_features, num_features)
    cross_FN = responses_WSN.new_zeros(num_features, neurons)
    rows_N = responses_WSN.new_zeros(neurons)
    for number, share in itertools.product(range(NUM_ROUNDS), SHARES):
        order_N = torch.rand(neurons, generator=generator).argsort().to(device)
        for part_WSN in torch.split(responses_WSN[number % step :: step], WINDOWS_AT_ONCE):
            inputs = population_inputs(part_WSN, order_N, share, core)
            targets = inputs.target_neurons()
            factors_WAR = shortcut.infer(inputs, targets, weights, mean_N, None).at_targets
            # The same neurons are hidden in all windows.
            hidden_G = targets.neurons[0]
            deviation_WAG = targets.responses[:, slice(*TARGET_SAMPLES)] - mean_N[hidden_G]
            expected_WAG = factors_WAR @ weights.loadings[hidden_G].T
            left_KG = (deviation_WAG.clamp(-clip, clip) - expected_WAG).flatten(0, 1)
            features_KF = correction_features(factors_WAR).flatten(0, 1)
            square_FF += features_KF.T @ features_KF
            cross_FN[:, hidden_G] += features_KF.T @ left_KG
            rows_N[hidden_G] += len(features_KF)
    # The last feature is 1 in every row.
    square_FF /= square_FF[-1, -1].clone()
    cross_FN /= rows_N.clamp(min=1)
    return CorrectionMoments(square_FF.double().cpu(), cross_FN.double().cpu())
