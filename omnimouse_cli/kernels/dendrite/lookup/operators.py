"""Interpolation in a lookup table: plain PyTorch, or one torch operator on a GPU."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from omnimouse_cli.kernels.dendrite.lookup.grid import BACKWARD_FLOPS, FORWARD_FLOPS
from omnimouse_cli.kernels.dendrite.lookup.reference import reference_interpolate
from omnimouse_cli.kernels.dendrite.operators import FUSED_PRECISIONS, as_matrix


def interpolate(a: Tensor, b: Tensor, table: Tensor, limit: float) -> Tensor:
    """Apply a frozen function of two arguments to every unit.

    Args:
        a: First arguments `(..., units)`; 16-bit numbers are computed in float32.
        b: Second arguments, as `a`; both may be views of one tensor.
        table: From `build_tables`: a table of each cell type, which has an equal share of the
            units, side by side. It has no gradient.
        limit: The largest argument of the table's grid.

    Returns:
        Same shape and type as `a`. Gradients are the exact slopes of the interpolant.

    Example:
        >>> from omnimouse_cli.kernels.dendrite import DendriticFunction
        >>> from omnimouse_cli.kernels.dendrite.lookup import Grid, build_tables
        >>> weights = torch.tensor([[1.0, 0.0, 0.0, 2.0, 0.5]])
        >>> tables = build_tables(weights, DendriticFunction(1), Grid(8, 1.0))
        >>> interpolate(torch.tensor([-1.0, 0.3, 7.0]), torch.zeros(3), tables.values, 1.0)
        tensor([ 0.5000,  1.1000, 14.5000])
    """
    if not (a.is_cuda and a.dtype in FUSED_PRECISIONS):
        return reference_interpolate(a, b, table, limit)
    out: Tensor = lookup_operator(a, b, table, limit)
    return out


@torch.library.custom_op("omnimouse::dendrite_lookup", mutates_args=(), device_types="cuda")
def lookup_operator(a: Tensor, b: Tensor, table: Tensor, limit: float) -> Tensor:
    """Read a function of two arguments."""
    # Where there is no GPU there may be no Triton.
    from omnimouse_cli.kernels.dendrite.lookup.triton import triton_forward

    return triton_forward(as_matrix(a), as_matrix(b), table.detach(), limit).view(a.shape)


@torch.library.custom_op(
    "omnimouse::dendrite_lookup_backward", mutates_args=(), device_types="cuda"
)
def lookup_backward_operator(
    g: Tensor, a: Tensor, b: Tensor, table: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of both arguments."""
    from omnimouse_cli.kernels.dendrite.lookup.triton import triton_backward

    matrices = (as_matrix(g), as_matrix(a), as_matrix(b))
    da, db = triton_backward(*matrices, table.detach(), limit)
    return da.view(a.shape), db.view(a.shape)


@lookup_operator.register_fake
def _(a: Tensor, b: Tensor, table: Tensor, limit: float) -> Tensor:  # noqa: ARG001
    return a.new_empty(a.shape)


@lookup_backward_operator.register_fake
def _(
    g: Tensor,  # noqa: ARG001
    a: Tensor,
    b: Tensor,
    table: Tensor,  # noqa: ARG001
    limit: float,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401, ARG001
    *tensors, ctx.limit = inputs
    ctx.save_for_backward(*tensors)


def _differentiate(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return (*lookup_backward_operator(g, *ctx.saved_tensors, ctx.limit), None, None)


lookup_operator.register_autograd(_differentiate, setup_context=_save)


# Operations inside the grid, where nearly all arguments lie.
@register_flop_formula(torch.ops.omnimouse.dendrite_lookup)
def _forward_flops(*shapes: Any, out_shape: Sequence[int]) -> int:  # noqa: ANN401, ARG001
    return FORWARD_FLOPS * math.prod(out_shape)


@register_flop_formula(torch.ops.omnimouse.dendrite_lookup_backward)
def _backward_flops(g_shape: Sequence[int], *shapes: Any, out_shape: Any) -> int:  # noqa: ANN401, ARG001
    return BACKWARD_FLOPS * math.prod(g_shape)
