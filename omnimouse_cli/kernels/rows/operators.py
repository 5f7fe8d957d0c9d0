"""Work on rows as torch operators, so that torch.compile and autograd see one node each."""

from typing import Any

import torch
from torch import Tensor

from omnimouse_cli.kernels.rows import native


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


def _keep_tensors(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401, ARG001
    ctx.save_for_backward(*inputs)


def _keep_norm(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401, ARG001
    *tensors, ctx.epsilon = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_norm(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return (*norm_backward_operator(g, *ctx.saved_tensors, ctx.epsilon), None)


def _differentiate_gate(ctx: Any, g: Tensor) -> tuple[Tensor, ...]:  # noqa: ANN401
    of_both: tuple[Tensor, ...] = gate_backward_operator(g, *ctx.saved_tensors)
    return of_both


norm_operator.register_autograd(_differentiate_norm, setup_context=_keep_norm)
gate_operator.register_autograd(_differentiate_gate, setup_context=_keep_tensors)
