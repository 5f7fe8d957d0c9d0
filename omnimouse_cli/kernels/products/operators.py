"""Products and what surrounds them as torch operators: one node each for autograd and compilers.

Their names say what most of their time goes into.
"""

from typing import Any

import torch
from torch import Tensor

from omnimouse_cli.kernels.products import native
from omnimouse_cli.kernels.products.heads import HeadShape
from omnimouse_cli.kernels.products.native import Given


def _given(shape: list[int], epsilons: list[float]) -> Given:
    return Given(HeadShape.of_numbers(shape, epsilons[1]), epsilons[0])


@torch.library.custom_op("omnimouse::linear_heads", mutates_args=())
def entry_operator(  # noqa: PLR0917 - operators have no keywords
    x: Tensor,
    weights: list[Tensor],
    angles: list[Tensor],
    shape: list[int],
    epsilons: list[float],
    keeps: bool,  # noqa: FBT001 - operators have no other flags
) -> list[Tensor]:
    """Give the parts of a projection of normed tokens, and the projection if it is kept."""
    return native.entry_forward(x, weights, angles, _given(shape, epsilons), keeps=keeps)


@torch.library.custom_op("omnimouse::linear_heads_backward", mutates_args=())
def entry_backward_operator(  # noqa: PLR0917
    gs: list[Tensor],
    x: Tensor,
    projection: Tensor,
    weights: list[Tensor],
    angles: list[Tensor],
    shape: list[int],
    epsilons: list[float],
) -> list[Tensor]:
    """Give the gradients of tokens and weights."""
    return native.entry_backward(gs, x, projection, weights, angles, _given(shape, epsilons))


@torch.library.custom_op("omnimouse::linear_update", mutates_args=())
def update_operator(
    x: Tensor,
    read: Tensor,
    weights: list[Tensor],
    epsilon: float,
    keeps: bool,  # noqa: FBT001
) -> list[Tensor]:
    """Give what tokens become, and what is kept for the backward pass."""
    return native.update_forward(x, read, weights, epsilon, keeps=keeps)


@torch.library.custom_op("omnimouse::linear_update_backward", mutates_args=())
def update_backward_operator(
    g: Tensor, read: Tensor, kept: list[Tensor], weights: list[Tensor], epsilon: float
) -> list[Tensor]:
    """Give the gradients of tokens, of what they read, and of weights."""
    return native.update_backward(g, read, kept, weights, epsilon)


@entry_operator.register_fake
def _(  # noqa: PLR0917
    x: Tensor,
    weights: list[Tensor],
    angles: list[Tensor],  # noqa: ARG001
    shape: list[int],
    epsilons: list[float],
    keeps: bool,  # noqa: FBT001
) -> list[Tensor]:
    projection = (*x.shape[:2], weights[1].shape[0])
    shapes = _given(shape, epsilons).shape.shapes(projection)
    return [x.new_empty(each) for each in (*shapes, projection if keeps else (0,))]


@entry_backward_operator.register_fake
def _(  # noqa: PLR0917
    gs: list[Tensor],  # noqa: ARG001
    x: Tensor,
    projection: Tensor,  # noqa: ARG001
    weights: list[Tensor],
    angles: list[Tensor],  # noqa: ARG001
    shape: list[int],  # noqa: ARG001
    epsilons: list[float],  # noqa: ARG001
) -> list[Tensor]:
    return [each.new_empty(each.shape) for each in (x, *weights)]


@update_operator.register_fake
def _(
    x: Tensor,
    read: Tensor,  # noqa: ARG001
    weights: list[Tensor],
    epsilon: float,  # noqa: ARG001
    keeps: bool,  # noqa: FBT001
) -> list[Tensor]:
    hidden = (*x.shape[:-1], weights[3].shape[0])
    sizes = (x.shape, hidden, hidden) if keeps else ((0,),) * 3
    return [x.new_empty(each) for each in (x.shape, *sizes)]


@update_backward_operator.register_fake
def _(
    g: Tensor,
    read: Tensor,
    kept: list[Tensor],  # noqa: ARG001
    weights: list[Tensor],
    epsilon: float,  # noqa: ARG001
) -> list[Tensor]:
    of_tokens = g.new_empty(g.shape), read.new_empty(read.transpose(1, 2).shape).transpose(1, 2)
    return [*of_tokens, *[each.new_empty(each.shape) for each in weights]]


def _keep_entry(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ANN401
    x, weights, angles, ctx.shape, ctx.epsilons, _ = inputs
    # Nobody asks for the gradient of what is kept: zeros need not be written for it.
    ctx.set_materialize_grads(False)
    ctx.num_weights = len(weights)
    ctx.save_for_backward(x, output[-1], *weights, *angles)


def _differentiate_entry(ctx: Any, gs: list[Tensor | None]) -> tuple[Any, ...]:  # noqa: ANN401
    x, projection, *others = ctx.saved_tensors
    weights, angles = others[: ctx.num_weights], others[ctx.num_weights :]
    shapes = HeadShape.of_numbers(ctx.shape, ctx.epsilons[1]).shapes(projection.shape)
    parts = [
        x.new_zeros(shape) if g is None else g for g, shape in zip(gs[:-1], shapes, strict=True)
    ]
    of_x, *of_weights = entry_backward_operator(
        parts, x, projection, weights, angles, ctx.shape, ctx.epsilons
    )
    return of_x, of_weights, [None] * len(angles), None, None, None


def _keep_update(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:  # noqa: ANN401
    _, read, weights, ctx.epsilon, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(read, *output[1:], *weights)


def _differentiate_update(ctx: Any, gs: list[Tensor]) -> tuple[Any, ...]:  # noqa: ANN401
    read, middle, first, second, *weights = ctx.saved_tensors
    kept = [middle, first, second]
    of_x, of_read, *of_weights = update_backward_operator(gs[0], read, kept, weights, ctx.epsilon)
    return of_x, of_read, of_weights, None, None


entry_operator.register_autograd(_differentiate_entry, setup_context=_keep_entry)
update_operator.register_autograd(_differentiate_update, setup_context=_keep_update)
