"""Dendritic units on a CPU: one pass over torch's own memory, forward and backward."""

import torch
from torch import Tensor

from omnimouse_cli import _native
from omnimouse_cli.kernels.dendrite.function import DendriticFunction

# R rows, U units, K cell types, P weights of an inner network


def native_forward(
    a_RU: Tensor, b_RU: Tensor, weights_KP: Tensor, function: DendriticFunction
) -> Tensor:
    """Apply the function; 16-bit numbers are computed, and kept meanwhile, in float32.

    Args:
        a_RU: First arguments; rows may lie apart.
        b_RU: Second arguments.
        weights_KP: Of each cell type.
        function: Of the inner network.

    Returns:
        `(rows, units)`, without gaps.
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
    g_RU: Tensor,
    a_RU: Tensor,
    b_RU: Tensor,
    weights_KP: Tensor,
    function: DendriticFunction,
    *,
    is_packed: bool,
) -> tuple[tuple[Tensor, ...], Tensor]:
    """Give the gradients.

    Args:
        g_RU: Of the output.
        a_RU: As in the forward pass, like the next three.
        b_RU: Second arguments.
        weights_KP: Of each cell type.
        function: Of the inner network.
        is_packed: Whether the arguments' gradients are one tensor, `(rows, 2 units)`.

    Returns:
        Of the arguments, one tensor or two, and of the weights.
    """
    rows, units = a_RU.shape
    shapes = [(rows, 2 * units)] if is_packed else [(rows, units)] * 2
    of_arguments = [torch.empty(shape, dtype=torch.float32) for shape in shapes]
    of_weights_KP = torch.zeros(weights_KP.shape, dtype=torch.float32)
    if a_RU.numel():
        outputs = [x.numpy() for x in of_arguments]
        _native.dendrite_backward(
            g_RU.float().numpy(),
            a_RU.float().numpy(),
            b_RU.float().numpy(),
            weights_KP.float().contiguous().numpy(),
            outputs[0],
            None if is_packed else outputs[1],
            of_weights_KP.numpy(),
            network=(function.hidden, function.depth, function.inner),
            threads=torch.get_num_threads(),
        )
    return tuple(x.to(a_RU.dtype) for x in of_arguments), of_weights_KP.to(weights_KP.dtype)
