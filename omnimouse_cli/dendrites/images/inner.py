"""The inner network: n arguments through small ReLU layers to one number, for several seeds."""

import itertools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

# S seeds, M applications of the function, N arguments, H and K hidden units

# Rows whose hidden units stay in a core's own cache: twice as fast as all rows at once.
ROWS_AT_ONCE = 4096


def inner_weights(sizes: Sequence[int], generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Give Xavier-uniform weights and zero biases, one after the other.

    Args:
        sizes: Widths from arguments to the output.
        generators: One per seed.

    Returns:
        Weights `(seeds, in, out)` and biases `(seeds, out)` in turn.
    """
    weights = []
    for num_in, num_out in itertools.pairwise(sizes):
        bound = (6 / (num_in + num_out)) ** 0.5
        drawn = [torch.rand(num_in, num_out, generator=one) for one in generators]
        weights.append((torch.stack(drawn) * 2 - 1) * bound)
        weights.append(torch.zeros(len(generators), num_out))
    return weights


def inner_network(x_SMN: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Apply each seed's function to its own rows.

    Args:
        x_SMN: Arguments `(seeds, rows, arguments)`.
        weights: As `inner_weights` gives them.

    Returns:
        `(seeds, rows)`.
    """
    if x_SMN.is_cuda:
        return inner_reference(x_SMN, weights)
    return cast(Tensor, _InPieces.apply(x_SMN, *weights))


def inner_reference(x_SMN: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Do the same as `inner_network`, all rows at once and with torch's own gradients."""
    hidden_SMH = x_SMN
    for place in range(0, len(weights) - 2, 2):
        hidden_SMH = torch.baddbmm(
            weights[place + 1].unsqueeze(1), hidden_SMH, weights[place]
        ).relu()
    return torch.baddbmm(weights[-1].unsqueeze(1), hidden_SMH, weights[-2]).squeeze(-1)


class _InPieces(torch.autograd.Function):
    """The same, some rows of one seed at a time; the backward pass computes hidden units again."""

    @staticmethod
    def forward(ctx: Any, x_SMN: Tensor, *weights: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_SMN, *weights)
        y_SM = x_SMN.new_empty(x_SMN.shape[:2])
        for seed, rows in _pieces(x_SMN):
            of_seed = [weight[seed] for weight in weights]
            hidden_MH = _hidden(x_SMN[seed, rows], of_seed)[-1]
            torch.addmv(of_seed[-1], hidden_MH, of_seed[-2][:, 0], out=y_SM[seed, rows])
        return y_SM

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x_SMN, *weights = ctx.saved_tensors
        # Outputs come transposed from the layers of images.
        grad_SM = outgoing[0].contiguous()
        trains = any(ctx.needs_input_grad[1:])
        sums = [torch.zeros_like(weight) for weight in weights] if trains else None
        grad_x_SMN = torch.empty_like(x_SMN)
        for seed, rows in _pieces(x_SMN):
            grad_x_SMN[seed, rows] = _piece_backward(
                x_SMN[seed, rows],
                grad_SM[seed, rows],
                [weight[seed] for weight in weights],
                None if sums is None else [one[seed] for one in sums],
            )
        return grad_x_SMN, *(sums if sums is not None else [None] * len(weights))


def _pieces(x_SMN: Tensor) -> list[tuple[int, slice]]:
    num_seeds, num_rows = x_SMN.shape[:2]
    return [
        (seed, slice(first, first + ROWS_AT_ONCE))
        for seed in range(num_seeds)
        for first in range(0, num_rows, ROWS_AT_ONCE)
    ]


def _hidden(x_MN: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Give the arguments and every hidden layer."""
    layers = [x_MN]
    for place in range(0, len(weights) - 2, 2):
        layers.append(torch.addmm(weights[place + 1], layers[-1], weights[place]).relu_())
    return layers


def _piece_backward(
    x_MN: Tensor, grad_M: Tensor, weights: list[Tensor], sums: list[Tensor] | None
) -> Tensor:
    """Give the gradient of the arguments, and add those of the weights to `sums`."""
    layers = _hidden(x_MN, weights)
    grad_MK = grad_M.unsqueeze(1)
    for place in range(len(weights) - 2, -1, -2):
        hidden_MH = layers[place // 2]
        if sums is not None:
            sums[place].addmm_(hidden_MH.T, grad_MK)
            sums[place + 1].add_(grad_MK.sum(dim=0))
        grad_MK = grad_MK @ weights[place].T
        if place:
            # Hidden units are 0 or positive, and the sign is the derivative of ReLU.
            grad_MK.mul_(hidden_MH.sign_())
    return grad_MK
