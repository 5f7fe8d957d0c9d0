"""Dendritic units in plain PyTorch: readable, for every precision, and for comparison."""

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import DendriticFunction

# K cell types, U units of a type, H units of a hidden layer, P weights of an inner network


def activate(u: Tensor, inner: str) -> Tensor:
    """Apply the non-linearity of an inner network."""
    if inner == "relu":
        return u.relu()
    clamped = u.clamp(-1, 1)
    return clamped * (1.5 - 0.5 * clamped * clamped)


def reference_dendrite(
    a: Tensor, b: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> Tensor:
    """Apply a learned function of two arguments to every unit.

    Args:
        a: First arguments `(..., units)`; 16-bit numbers are computed in float32.
        b: Second arguments, as `a`.
        weights_KP: Weights of each cell type, which has an equal share of the units, side by side.
        function: Shape of the inner network.

    Returns:
        Same shape and type as `a`.
    """
    precision = torch.float64 if a.dtype == torch.float64 else torch.float32
    first, *middle, last = function.layers(weights_KP.to(precision))
    types = weights_KP.shape[0]
    shape = (*a.shape[:-1], types, a.shape[-1] // types, 1)
    a_KU1, b_KU1 = a.to(precision).reshape(shape), b.to(precision).reshape(shape)
    first_K1H3 = first.unsqueeze(1)
    u = a_KU1 * first_K1H3[..., 0] + b_KU1 * first_K1H3[..., 1] + first_K1H3[..., 2]
    z_KUH = activate(u, function.inner)
    for layer_KHI in middle:
        u = z_KUH @ layer_KHI[..., :-1].mT + layer_KHI[..., -1].unsqueeze(1)
        z_KUH = activate(u, function.inner)
    out_KU = (z_KUH * last[..., :-1]).sum(-1) + last[..., -1]
    return out_KU.flatten(-2).to(a.dtype)
