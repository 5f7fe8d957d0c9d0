"""Dendritic units on a CPU: one pass over torch's own memory, forward and backward."""

import torch
from torch import Tensor

from omnimouse_cli import _native
from omnimouse_cli.kernels.dendrite.function import DendriticFunction

# R rows, U units, K cell types, P weights of an inner network


def native_forward(
    a_RU: Tensor, b_RU: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> Tensor:
    """Apply the function; 16-bit numbers are computed in float32.

    Args:
        a_RU: First arguments; rows may have gaps between them.
        b_RU: Second arguments.
        weights_KP: Weights of each cell type.
        function: Shape of the inner network.

    Returns:
        Contiguous `(rows, units)`.
    """
    out_RU = torch.empty(a_RU.shape, dtype=torch.float32)
    if out_RU.numel():
        _native.dendrite_forward(
            a_RU.float().numpy(),
            b_RU.float().numpy(),
            weights_KP.float().contiguous().numpy(),
            out_RU.numpy(),
            network=(function.hidden, function.depth, function.inner),
            threads=torch.get_num_threads(),
        )
    return out_RU.to(a_RU.dtype)


def native_backward(
    g_RU: Tensor, a_RU: Tensor, b_RU: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of both arguments and of the weights.

    Args:
        g_RU: Gradient of the output.
        a_RU: First arguments of the forward pass.
        b_RU: Second arguments.
        weights_KP: Weights of each cell type.
        function: Shape of the inner network.
    """
    da_RU, db_RU = (torch.empty(a_RU.shape, dtype=torch.float32) for _ in range(2))
    dweights_KP = torch.zeros(weights_KP.shape, dtype=torch.float32)
    if a_RU.numel():
        _native.dendrite_backward(
            g_RU.float().numpy(),
            a_RU.float().numpy(),
            b_RU.float().numpy(),
            weights_KP.float().contiguous().numpy(),
            da_RU.numpy(),
            db_RU.numpy(),
            dweights_KP.numpy(),
            network=(function.hidden, function.depth, function.inner),
            threads=torch.get_num_threads(),
        )
    dtype = a_RU.dtype
    return da_RU.to(dtype), db_RU.to(dtype), dweights_KP.to(weights_KP.dtype)
