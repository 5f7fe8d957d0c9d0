"""Dendritic units as torch operators, so that torch.compile and autograd see one node each."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from omnimouse_cli.kernels.dendrite.function import DendriticFunction
from omnimouse_cli.kernels.dendrite.native import native_backward, native_forward
from omnimouse_cli.kernels.matrix import rows_of

# R rows, U units, K cell types, P weights of an inner network


def _forward(a: Tensor, b: Tensor, weights_KP: Tensor, function: DendriticFunction) -> Tensor:
    arguments = (rows_of(a), rows_of(b), weights_KP.detach(), function)
    if a.is_cuda:
        # Where there is no GPU there may be no Triton.
        from omnimouse_cli.kernels.dendrite.triton import triton_forward

        return triton_forward(*arguments).view(a.shape)
    return native_forward(*arguments).view(a.shape)


def _backward(
    g: Tensor,
    a: Tensor,
    b: Tensor,
    weights_KP: Tensor,
    function: DendriticFunction,
    *,
    is_packed: bool,
) -> tuple[tuple[Tensor, ...], Tensor]:
    arguments = (rows_of(g), rows_of(a), rows_of(b), weights_KP.detach(), function)
    if a.is_cuda:
        from omnimouse_cli.kernels.dendrite.triton import triton_backward

        return triton_backward(*arguments, is_packed=is_packed)
    return native_backward(*arguments, is_packed=is_packed)


def halves(both: Tensor) -> tuple[Tensor, Tensor]:
    """View the arguments that lie behind each other in every row."""
    units = both.shape[-1] // 2
    return both[..., :units], both[..., units:]


@torch.library.custom_op("omnimouse::dendrite", mutates_args=())
def dendrite_operator(a: Tensor, b: Tensor, weights: Tensor, network: str) -> Tensor:
    """Apply a function of two arguments."""
    return _forward(a, b, weights, DendriticFunction.named(network))


@torch.library.custom_op("omnimouse::dendrite_backward", mutates_args=())
def dendrite_backward_operator(
    g: Tensor, a: Tensor, b: Tensor, weights: Tensor, network: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Give the gradients of both arguments and of the weights."""
    function = DendriticFunction.named(network)
    (da, db), of_weights = _backward(g, a, b, weights, function, is_packed=False)
    return da.view(a.shape), db.view(a.shape), of_weights


@torch.library.custom_op("omnimouse::dendrite_packed", mutates_args=())
def dendrite_packed_operator(both: Tensor, weights: Tensor, network: str) -> Tensor:
    """Apply a function of two arguments that are halves of one tensor."""
    return _forward(*halves(both), weights, DendriticFunction.named(network))


@torch.library.custom_op("omnimouse::dendrite_packed_backward", mutates_args=())
def dendrite_packed_backward_operator(
    g: Tensor, both: Tensor, weights: Tensor, network: str
) -> tuple[Tensor, Tensor]:
    """Give the gradients of the tensor whose halves the arguments are, and of the weights."""
    function = DendriticFunction.named(network)
    (of_both,), of_weights = _backward(g, *halves(both), weights, function, is_packed=True)
    return of_both.view(both.shape), of_weights


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


@dendrite_packed_operator.register_fake
def _(both: Tensor, weights: Tensor, network: str) -> Tensor:  # noqa: ARG001
    return both.new_empty((*both.shape[:-1], both.shape[-1] // 2))


@dendrite_packed_backward_operator.register_fake
def _(
    g: Tensor,  # noqa: ARG001
    both: Tensor,
    weights: Tensor,
    network: str,  # noqa: ARG001
) -> tuple[Tensor, Tensor]:
    return both.new_empty(both.shape), weights.new_empty(weights.shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401, ARG001
    *tensors, network = inputs
    ctx.save_for_backward(*tensors)
    ctx.network = network


def _differentiate(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    return (*dendrite_backward_operator(g, *ctx.saved_tensors, ctx.network), None)


def _differentiate_packed(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
    gradients = dendrite_packed_backward_operator(g, *ctx.saved_tensors, ctx.network)
    return (*gradients, None)


dendrite_operator.register_autograd(_differentiate, setup_context=_keep)
dendrite_packed_operator.register_autograd(_differentiate_packed, setup_context=_keep)


def _register_flops() -> None:
    """Tell torch's counter what the operators cost; a backward pass repeats the forward pass."""
    operators = torch.ops.omnimouse

    def count(factor: int, network: str, shape: Sequence[int]) -> int:
        return factor * math.prod(shape) * DendriticFunction.named(network).forward_flops

    def forward(*shapes: Any, out_shape: Any) -> int:  # noqa: ANN401
        return count(1, shapes[-1], out_shape)

    def backward(g_shape: Any, *shapes: Any, out_shape: Any) -> int:  # noqa: ANN401, ARG001
        return count(3, shapes[-1], g_shape)

    register_flop_formula([operators.dendrite, operators.dendrite_packed])(forward)
    backwards = [operators.dendrite_backward, operators.dendrite_packed_backward]
    register_flop_formula(backwards)(backward)


_register_flops()
