"""The one place that chooses how a dendritic function is computed."""

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import MOST_HIDDEN, DendriticFunction
from omnimouse_cli.kernels.dendrite.operators import dendrite_operator, dendrite_packed_operator
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

FUSED_PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
# Hidden units whose weights and sums of gradients fit the 255 registers of a GPU's thread.
MOST_IN_REGISTERS = {"relu": 12, "smoothstep": 8}


def is_fused(function: DendriticFunction, x: Tensor) -> bool:
    """Whether one pass over memory computes a function of `x`, and not plain PyTorch."""
    if x.dtype not in FUSED_PRECISIONS:
        return False
    if x.is_cuda:
        return fits_registers(function)
    return x.device.type == "cpu" and function.hidden <= MOST_HIDDEN


def fits_registers(function: DendriticFunction) -> bool:
    """Whether a GPU's kernel can hold the inner network in its registers."""
    return function.depth == 1 and function.hidden <= MOST_IN_REGISTERS[function.inner]


def dendrite(a: Tensor, b: Tensor, weights_KP: Tensor, function: DendriticFunction) -> Tensor:
    """Apply a learned function of two arguments to every unit.

    Args:
        a: First arguments `(..., units)`; float32, or 16-bit numbers computed in float32.
        b: Second arguments, as `a`; both may be views of one tensor.
        weights_KP: Of each cell type, which has an equal share of the units, side by side.
        function: Of the inner network.

    Returns:
        As `a`.

    Example:
        >>> weights = torch.zeros(1, 33)
        >>> weights[0, -1] = 2.0
        >>> dendrite(torch.zeros(3), torch.zeros(3), weights, DendriticFunction())
        tensor([2., 2., 2.])
    """
    if not is_fused(function, a):
        return reference_dendrite(a, b, weights_KP, function)
    out: Tensor = dendrite_operator(a, b, weights_KP, function.name)
    return out


def dendrite_packed(both: Tensor, weights_KP: Tensor, function: DendriticFunction) -> Tensor:
    """Apply a learned function of two arguments that are the halves of one tensor.

    Args:
        both: First arguments of all units and then second ones, `(..., 2 units)`.
        weights_KP: Of each cell type.
        function: Of the inner network.

    Returns:
        `(..., units)`.
    """
    if not is_fused(function, both):
        a, b = both.chunk(2, -1)
        return reference_dendrite(a, b, weights_KP, function)
    out: Tensor = dendrite_packed_operator(both, weights_KP, function.name)
    return out
