"""Initialization of dendritic functions: a distilled SwiGLU, smoothed noise, or Xavier."""

import math
from functools import cache
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.model.distill import Fit, distill

# N points, K cell types, P weights of a function

# Pre-activations of normalised tokens start with a variance of 1.
SWIGLU_RANGE, SWIGLU_POINTS = 4.0, 33
# Source: Yoon et al. 2022 (arXiv 2110.06871).
NOISE_RANGE, NOISE_POINTS, NOISE_SIGMA = 5.0, 101, 10 / 3
NOISE_SEEDS = 2**31


def start_weights(
    start: Literal["swiglu", "noise", "xavier"], function: DendriticFunction, cell_types: int
) -> Tensor:
    """Return initial weights of every cell type: float32 `(cell types, weights)`, on the CPU.

    `swiglu` is deterministic; the others draw from torch's generator, for each cell type anew.
    """
    with torch.device("cpu"):
        if start == "swiglu":
            return distilled_swiglu(function).weights.repeat(cell_types, 1)
        draw = smoothed_noise if start == "noise" else xavier
        return torch.stack([draw(function) for _ in range(cell_types)])


@cache
def distilled_swiglu(function: DendriticFunction) -> Fit:
    """Fit `silu(a) * b` of two independent normal arguments.

    Eight relu units are off by 10.2 % of its root mean square, eight smoothstep units by 2.7 %.

    Example:
        >>> round(distilled_swiglu(DendriticFunction()).relative_error, 2)
        0.1
        >>> round(distilled_swiglu(DendriticFunction(inner="smoothstep")).relative_error, 2)
        0.03
    """
    with torch.device("cpu"):
        points_N2 = _grid(SWIGLU_RANGE, SWIGLU_POINTS)
        density_N = torch.exp(-points_N2.square().sum(1) / 2)
        target_N = functional.silu(points_N2[:, 0]) * points_N2[:, 1]
        return distill(function, points_N2, target_N, density_N)


def smoothed_noise(function: DendriticFunction) -> Tensor:
    """Fit uniform noise smoothed by a Gaussian, drawn anew each time: `(weights,)`."""
    seed = int(torch.randint(NOISE_SEEDS, ()))
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(NOISE_POINTS, NOISE_POINTS, generator=generator, dtype=torch.float64) * 2 - 1
    reach = torch.arange(NOISE_POINTS, dtype=torch.float64)
    blur = torch.exp(-(reach[:, None] - reach).square() / (2 * NOISE_SIGMA**2))
    # Zero beyond the border, as in a convolution that is padded with zeros.
    blur /= NOISE_SIGMA * math.sqrt(2 * math.pi)
    target = (blur @ noise @ blur.T)[::3, ::3]
    points_N2 = _grid(NOISE_RANGE, NOISE_POINTS).view(NOISE_POINTS, NOISE_POINTS, 2)[::3, ::3]
    everywhere_N = torch.ones(target.numel(), dtype=torch.float64)
    points_N2 = points_N2.reshape(-1, 2)
    fit = distill(function, points_N2, target.flatten(), everywhere_N, seed=seed, starts=1)
    return fit.weights[0]


def xavier(function: DendriticFunction) -> Tensor:
    """Draw uniform weights scaled by inputs and outputs, with biases of 0: `(weights,)`."""
    weights_P = torch.zeros(1, function.num_weights)
    for layer_1UI in function.layers(weights_P):
        # A layer is a view of the weights, into which it is written.
        units, inputs = layer_1UI.shape[1], layer_1UI.shape[2] - 1
        bound = math.sqrt(6 / (inputs + units))
        layer_1UI[..., :-1] = (2 * torch.rand(1, units, inputs) - 1) * bound
    return weights_P[0]


def _grid(reach: float, points: int) -> Tensor:
    axis = torch.linspace(-reach, reach, points, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)
