"""Frozen dendritic units as torch operators: one node each for torch.compile and autograd."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from omnimouse_cli.kernels.dendrite.operators import halves
from omnimouse_cli.kernels.dendrite_table.grid import BACKWARD_FLOPS, FORWARD_FLOPS
from omnimouse_cli.kernels.dendrite_table.native import native_backward, native_forward
from omnimouse_cli.kernels.matrix import rows_of


def _forward(a: Tensor, b: Tensor, pairs: Tensor, reach: float) -> Tensor:
    arguments = (rows_of(a), rows_of(b), pairs.detach(), reach)
    if a.is_cuda:
        # Where there is no GPU there may be no Triton.
        from omnimouse_cli.kernels.dendrite_table.triton import triton_forward

        return triton_forward(*arguments).view(a.shape)
    return native_forward(*arguments).view(a.shape)


def _backward(
    g: Tensor, a: Tensor, b: Tensor, pairs: Tensor, reach: float, *, is_packed: bool
) -> tuple[Tensor, ...]:
    arguments = (rows_of(g), rows_of(a), rows_of(b), pairs.detach(), reach)
    if a.is_cuda:
        from omnimouse_cli.kernels.dendrite_table.triton import triton_backward

        return triton_backward(*arguments, is_packed=is_packed)
    return native_backward(*arguments, is_packed=is_packed)


@torch.library.custom_op("omnimouse::dendrite_table", mutates_args=())
def table_operator(a: Tensor, b: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Read a function of two arguments."""
    return _forward(a, b, pairs, reach)


@torch.library.custom_op("omnimouse::dendrite_table_backward", mutates_args=())
def table_backward_operator(
    g: Tensor, a: Tensor, b: Tensor, pairs: Tensor, reach: float
) -> tuple[Tensor, Tensor]:
    """Give the gradients of both arguments."""
    da, db = _backward(g, a, b, pairs, reach, is_packed=False)
    return da.view(a.shape), db.view(a.shape)


@torch.library.custom_op("omnimouse::dendrite_table_packed", mutates_args=())
def table_packed_operator(both: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Read a function of two arguments that are halves of one tensor."""
    return _forward(*halves(both), pairs, reach)


@torch.library.custom_op("omnimouse::dendrite_table_packed_backward", mutates_args=())
def table_packed_backward_operator(g: Tensor, both: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Give the gradient of the tensor whose halves the arguments are."""
    (of_both,) = _backward(g, *halves(both), pairs, reach, is_packed=True)
    return of_both.view(both.shape)


@table_operator.register_fake
def _(a: Tensor, b: Tensor, pairs: Tensor, reach: float) -> Tensor:  # noqa: ARG001
    return a.new_empty(a.shape)


@table_backward_operator.register_fake
def _(
    g: Tensor,  # noqa: ARG001
    a: Tensor,
    b: Tensor,
    pairs: Tensor,  # noqa: ARG001
    reach: float,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return a.new_empty(a.shape), b.new_empty(b.shape)


@table_packed_operator.register_fake
def _(both: Tensor, pairs: Tensor, reach: float) -> Tensor:  # noqa: ARG001
    return both.new_empty((*both.shape[:-1], both.shape[-1] // 2))


@table_packed_backward_operator.register_fake
def _(g: Tensor, both: Tensor, pairs: Tensor, reach: float) -> Tensor:  # noqa: ARG001
    return both.new_empty(both.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401, ARG001
    *tensors, reach = inputs
    ctx.save_for_backward(*tensors)
    ctx.reach = reach


def _differentiate(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return (*table_backward_operator(g, *ctx.saved_tensors, ctx.reach), None, None)


def _differentiate_packed(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return table_packed_backward_operator(g, *ctx.saved_tensors, ctx.reach), None, None


table_operator.register_autograd(_differentiate, setup_context=_keep)
table_packed_operator.register_autograd(_differentiate_packed, setup_context=_keep)


def _register_flops() -> None:
    """Tell torch's counter what the operators cost inside the grid, where elements lie."""
    operators = torch.ops.omnimouse

    def forward(*shapes: Any, out_shape: Sequence[int]) -> int:  # noqa: ANN401, ARG001
        return FORWARD_FLOPS * math.prod(out_shape)

    def backward(g_shape: Sequence[int], *shapes: Any, out_shape: Any) -> int:  # noqa: ANN401, ARG001
        return BACKWARD_FLOPS * math.prod(g_shape)

    register_flop_formula([operators.dendrite_table, operators.dendrite_table_packed])(forward)
    backwards = [operators.dendrite_table_backward, operators.dendrite_table_packed_backward]
    register_flop_formula(backwards)(backward)


_register_flops()
