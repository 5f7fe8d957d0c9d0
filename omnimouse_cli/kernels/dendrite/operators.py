"""Dendritic units as one torch operator, whose backend is chosen here.

torch.compile and autograd see one node forward and one backward.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from omnimouse_cli.kernels.dendrite.function import MAX_HIDDEN, DendriticFunction
from omnimouse_cli.kernels.dendrite.native import native_backward, native_forward
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

# K cell types, P weights of an inner network, R rows, C columns

FUSED_PRECISIONS = (torch.float32, torch.bfloat16, torch.float16)
# Hidden units whose weights and sums of gradients fit the 255 registers of a GPU's thread.
MAX_REGISTER_UNITS = {"relu": 12, "smoothstep": 8}


def fits_registers(function: DendriticFunction) -> bool:
    """Whether a GPU's kernel can hold the inner network in its registers."""
    return function.depth == 1 and function.hidden <= MAX_REGISTER_UNITS[function.inner]


def dendrite(a: Tensor, b: Tensor, weights_KP: Tensor, function: DendriticFunction) -> Tensor:
    """Apply a learned function of two arguments to every unit.

    Args:
        a: First arguments `(..., units)`; float32, or 16-bit numbers computed in float32.
        b: Second arguments, as `a`; both may be views of one tensor.
        weights_KP: Weights of each cell type, which has an equal share of the units, side by side.
        function: Shape of the inner network.

    Returns:
        Same shape and type as `a`.

    Example:
        >>> weights = torch.zeros(1, 33)
        >>> weights[0, -1] = 2.0
        >>> dendrite(torch.zeros(3), torch.zeros(3), weights, DendriticFunction())
        tensor([2., 2., 2.])
    """
    if not _is_fused(function, a):
        return reference_dendrite(a, b, weights_KP, function)
    out: Tensor = dendrite_operator(a, b, weights_KP, function.name)
    return out


def _is_fused(function: DendriticFunction, x: Tensor) -> bool:
    if x.dtype not in FUSED_PRECISIONS:
        return False
    if x.is_cuda:
        return fits_registers(function)
    return x.device.type == "cpu" and function.hidden <= MAX_HIDDEN


def as_matrix(x: Tensor) -> Tensor:
    """View a tensor as a matrix whose rows have no gaps; only other layouts are copied."""
    x_RC = x.detach().reshape(-1, x.shape[-1]) if x.dim() != 2 else x.detach()
    has_contiguous_rows = x_RC.shape[-1] <= 1 or x_RC.stride(-1) == 1
    has_separate_rows = x_RC.shape[0] <= 1 or x_RC.stride(0) >= x_RC.shape[1]
    return x_RC if has_contiguous_rows and has_separate_rows else x_RC.contiguous()


@torch.library.custom_op("omnimouse::dendrite", mutates_args=())
def dendrite_operator(a: Tensor, b: Tensor, weights: Tensor, network: str) -> Tensor:
    """Apply a function of two arguments."""
    function = DendriticFunction.from_name(network)
    arguments = (as_matrix(a), as_matrix(b), weights.detach(), function)
    if a.is_cuda:
        # Where there is no GPU there may be no Triton.
        from omnimouse_cli.kernels.dendrite.triton import triton_forward

        return triton_forward(*arguments).view(a.shape)
    return native_forward(*arguments).view(a.shape)


@torch.library.custom_op("omnimouse::dendrite_backward", mutates_args=())
def dendrite_backward_operator(
    g: Tensor, a: Tensor, b: Tensor, weights: Tensor, network: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of both arguments and of the weights."""
    function = DendriticFunction.from_name(network)
    arguments = (as_matrix(g), as_matrix(a), as_matrix(b), weights.detach(), function)
    if a.is_cuda:
        from omnimouse_cli.kernels.dendrite.triton import triton_backward

        da, db, dweights = triton_backward(*arguments)
    else:
        da, db, dweights = native_backward(*arguments)
    return da.view(a.shape), db.view(a.shape), dweights


@dendrite_operator.register_fake
def _(a: Tensor, b: Tensor, weights: Tensor, network: str) -> Tensor:  # noqa: ARG001
    return a.new_empty(a.shape)


@dendrite_backward_operator.register_fake
def _(
    g: Tensor,  # noqa: ARG001
    a: Tensor,
    b: Tensor,
    weights: Tensor,
    network: str,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape), weights.new_empty(weights.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401, ARG001
    *tensors, network = inputs
    ctx.save_for_backward(*tensors)
    ctx.network = network


def _differentiate(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return (*dendrite_backward_operator(g, *ctx.saved_tensors, ctx.network), None)


dendrite_operator.register_autograd(_differentiate, setup_context=_save)


@register_flop_formula(torch.ops.omnimouse.dendrite)
def _forward_flops(*shapes: Any, out_shape: Sequence[int]) -> int:  # noqa: ANN401
    return math.prod(out_shape) * DendriticFunction.from_name(shapes[-1]).forward_flops


@register_flop_formula(torch.ops.omnimouse.dendrite_backward)
def _backward_flops(g_shape: Sequence[int], *shapes: Any, out_shape: Any) -> int:  # noqa: ANN401, ARG001
    # A backward pass repeats the forward pass.
    return 3 * math.prod(g_shape) * DendriticFunction.from_name(shapes[-1]).forward_flops
