"""Work on rows as torch operators, so that torch.compile and autograd see one node each."""

from typing import Any

import torch
from torch import Tensor

from omnimouse_cli.kernels.rows import native
from omnimouse_cli.kernels.rows.heads import HeadShape


@torch.library.custom_op("omnimouse::rms_norm", mutates_args=())
def norm_operator(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide rows by the root of their mean square, and weigh them."""
    return native.norm_forward(x, weight, epsilon)


@torch.library.custom_op("omnimouse::rms_norm_backward", mutates_args=())
def norm_backward_operator(
    g: Tensor, x: Tensor, weight: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Give the gradients of x and of the weight."""
    return native.norm_backward(g, x, weight, epsilon)


@torch.library.custom_op("omnimouse::gate", mutates_args=())
def gate_operator(a: Tensor, b: Tensor) -> Tensor:
    """Give silu(a) b."""
    return native.gate_forward(a, b)


@torch.library.custom_op("omnimouse::gate_backward", mutates_args=())
def gate_backward_operator(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Give the gradients of both arguments."""
    return native.gate_backward(g, a, b)


@torch.library.custom_op("omnimouse::largest_row", mutates_args=())
def pool_operator(x_IRC: Tensor) -> Tensor:
    """Give the largest of every item's rows."""
    return native.pool_forward(x_IRC)


@torch.library.custom_op("omnimouse::largest_row_backward", mutates_args=())
def pool_backward_operator(g_IC: Tensor, x_IRC: Tensor) -> Tensor:
    """Give the gradient of all rows."""
    return native.pool_backward(g_IC, x_IRC)


@torch.library.custom_op("omnimouse::split_heads", mutates_args=())
def heads_operator(
    projection: Tensor, angles: list[Tensor], shape: list[int], epsilon: float
) -> list[Tensor]:
    """Cut a projection into heads, queries and keys normed and turned by angles, if any."""
    return native.heads_forward(projection, angles, HeadShape.of_numbers(shape, epsilon))


@torch.library.custom_op("omnimouse::split_heads_backward", mutates_args=())
def heads_backward_operator(
    gs: list[Tensor], projection: Tensor, angles: list[Tensor], shape: list[int], epsilon: float
) -> Tensor:
    """Give the gradient of the projection."""
    return native.heads_backward(gs, projection, angles, HeadShape.of_numbers(shape, epsilon))


@norm_operator.register_fake
def _(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:  # noqa: ARG001
    return x.new_empty(x.shape)


@norm_backward_operator.register_fake
def _(g: Tensor, x: Tensor, weight: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    return x.new_empty(x.shape), weight.new_empty(weight.shape)


@gate_operator.register_fake
def _(a: Tensor, b: Tensor) -> Tensor:  # noqa: ARG001
    return a.new_empty(a.shape)


@gate_backward_operator.register_fake
def _(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    return a.new_empty(a.shape), b.new_empty(b.shape)


@pool_operator.register_fake
def _(x_IRC: Tensor) -> Tensor:
    return x_IRC.new_empty(x_IRC.shape[0], x_IRC.shape[2])


@pool_backward_operator.register_fake
def _(g_IC: Tensor, x_IRC: Tensor) -> Tensor:  # noqa: ARG001
    return x_IRC.new_empty(x_IRC.shape)


@heads_operator.register_fake
def _(
    projection: Tensor,
    angles: list[Tensor],  # noqa: ARG001
    shape: list[int],
    epsilon: float,
) -> list[Tensor]:
    shapes = HeadShape.of_numbers(shape, epsilon).shapes(projection.shape)
    return [projection.new_empty(each) for each in shapes]


@heads_backward_operator.register_fake
def _(
    gs: list[Tensor],  # noqa: ARG001
    projection: Tensor,
    angles: list[Tensor],  # noqa: ARG001
    shape: list[int],  # noqa: ARG001
    epsilon: float,  # noqa: ARG001
) -> Tensor:
    return projection.new_empty(projection.shape)


def _keep_tensors(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401, ARG001
    ctx.save_for_backward(*inputs)


def _keep_norm(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401, ARG001
    *tensors, ctx.epsilon = inputs
    ctx.save_for_backward(*tensors)


def _keep_heads(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401, ARG001
    projection, angles, ctx.shape, ctx.epsilon = inputs
    ctx.save_for_backward(projection, *angles)


def _differentiate_norm(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return (*norm_backward_operator(g, *ctx.saved_tensors, ctx.epsilon), None)


def _differentiate_gate(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401
    of_both: tuple[Tensor, ...] = gate_backward_operator(g, *ctx.saved_tensors)
    return of_both


def _differentiate_pool(ctx: Any, g: Tensor) -> Tensor:  # noqa: ANN401
    of_rows: Tensor = pool_backward_operator(g, *ctx.saved_tensors)
    return of_rows


def _differentiate_heads(ctx: Any, gs: list[Tensor]) -> tuple[Any, ...]:  # noqa: ANN401
    projection, *angles = ctx.saved_tensors
    of_projection = heads_backward_operator(gs, projection, angles, ctx.shape, ctx.epsilon)
    return of_projection, [None] * len(angles), None, None


norm_operator.register_autograd(_differentiate_norm, setup_context=_keep_norm)
gate_operator.register_autograd(_differentiate_gate, setup_context=_keep_tensors)
pool_operator.register_autograd(_differentiate_pool, setup_context=_keep_tensors)
heads_operator.register_autograd(_differentiate_heads, setup_context=_keep_heads)
