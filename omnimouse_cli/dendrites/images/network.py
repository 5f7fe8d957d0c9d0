"""Networks on images, all seeds at once: every weight has the seed as its first dimension."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.dendrites.images.architecture import Architecture, Layer
from omnimouse_cli.dendrites.images.formulas import FORMULAS, start_own_weights

# S seeds, B batch, C channels, Y and X position of a pixel, U units, N arguments of a unit,
# P pre-activations (units x arguments), F features of a flattened map, Q seeds x channels,
# M applications of the inner network, H and K its hidden units

INNER = "inner"
# Pixels from 0 to 1 are scaled to -1 to 1 inside the network, so that attacks work on pixels.
PIXEL_MEAN, PIXEL_STD = 0.5, 0.5
# Rows whose hidden units stay in a core's own cache: twice as fast as all rows at once.
CHUNK_ROWS = 4096

Weights = dict[str, Tensor]
# Receives the number of a hidden layer and the arguments of its units, `(seeds, rows, arguments)`.
Observer = Callable[[int, Tensor], None]
# Maps activations `(batch, seeds, ...)` to the same with some of them dropped.
Dropout = Callable[[Tensor], Tensor]


def init_outer_weights(
    architecture: Architecture, generators: Sequence[torch.Generator]
) -> Weights:
    """Draw weights of layers and classifier, uniform within 1 / sqrt(fan-in).

    An activation's own weights start from the values of its definition, or are drawn so too.

    Args:
        architecture: Architecture of the network.
        generators: One per seed.
    """
    arity = architecture.activation.arity
    shapes: dict[str, tuple[int, ...]] = {}
    fans: dict[str, int] = {}
    for number, layer in enumerate(architecture.layers):
        outputs = layer.units * arity
        shape = (outputs, layer.num_in) + ((3, 3) if layer.kind == "conv" else ())
        shapes |= {f"layer{number}.weight": shape, f"layer{number}.bias": (outputs,)}
        fans |= dict.fromkeys((f"layer{number}.weight", f"layer{number}.bias"), layer.fan_in)
        for name, own_shape in layer.list_own_shapes(architecture.activation).items():
            shapes[f"layer{number}.{name}"] = own_shape
            fans[f"layer{number}.{name}"] = layer.num_in
    last = architecture.layers[-1].units
    shapes |= {
        "classifier.weight": (architecture.num_classes, last),
        "classifier.bias": (architecture.num_classes,),
    }
    fans |= dict.fromkeys(("classifier.weight", "classifier.bias"), last)
    weights = {}
    for name, shape in shapes.items():
        start = start_own_weights(name, shape)
        drawn = [
            (torch.rand(shape, generator=one) * 2 - 1) / math.sqrt(fans[name])
            if start is None
            else start
            for one in generators
        ]
        weights[name] = torch.stack(drawn)
    return weights


def init_inner_weights(sizes: Sequence[int], generators: Sequence[torch.Generator]) -> list[Tensor]:
    """Draw Xavier-uniform weights and zero biases of an inner network.

    Args:
        sizes: Widths from arguments to output.
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


def name_inner_weights(weights: Sequence[Tensor]) -> Weights:
    """Return the weights of an inner network by the names that they have in `Weights`."""
    return {f"{INNER}.{number}": weight for number, weight in enumerate(weights)}


def get_inner_weights(weights: Weights) -> list[Tensor]:
    """Return the weights of the inner network in order."""
    names = (f"{INNER}.{number}" for number in range(len(weights)))
    return [weights[name] for name in names if name in weights]


def compute_logits(
    architecture: Architecture,
    weights: Weights,
    pixels_SBCYX: Tensor,
    *,
    dropout: Dropout | None = None,
    observer: Observer | None = None,
    is_scaled: bool = False,
) -> Tensor:
    """Apply every seed's network to its own images.

    Args:
        architecture: Architecture of the networks.
        weights: Weights of all seeds.
        pixels_SBCYX: `(seeds, batch, channels, height, width)` from 0 to 1.
        dropout: Drops activations; None in evaluation.
        observer: Receives the arguments of all units.
        is_scaled: Whether pixels are from -1 to 1 already; only to repeat a published mistake.

    Returns:
        `(seeds, batch, classes)`.
    """
    if not is_scaled:
        pixels_SBCYX = (pixels_SBCYX - PIXEL_MEAN) / PIXEL_STD
    # With the batch first, one grouped convolution serves all seeds.
    x_BSCYX = pixels_SBCYX.transpose(0, 1)
    for number, layer in enumerate(architecture.layers):
        weight, bias = weights[f"layer{number}.weight"], weights[f"layer{number}.bias"]
        p_BSPYX = _compute_preactivations(layer, x_BSCYX, weight, bias)
        if architecture.activation.normalized:
            p_BSPYX = functional.layer_norm(p_BSPYX, p_BSPYX.shape[2:])
        x_BSCYX = _compute_activations(
            architecture, weights, x_BSCYX, p_BSPYX, number, observer=observer
        )
        if layer.pool:
            pooled_BQYX = functional.max_pool2d(x_BSCYX.flatten(1, 2), 2)
            x_BSCYX = pooled_BQYX.view(*x_BSCYX.shape[:3], *layer.side_out)
        if dropout is not None:
            x_BSCYX = dropout(x_BSCYX)
    x_SBF = x_BSCYX.flatten(2).transpose(0, 1)
    return torch.baddbmm(
        weights["classifier.bias"].unsqueeze(1), x_SBF, weights["classifier.weight"].transpose(1, 2)
    )


def _compute_preactivations(layer: Layer, x_BSCYX: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return pre-activations `(batch, seeds, units x arguments, height, width)`."""
    if layer.kind == "dense":
        x_SBF = x_BSCYX.flatten(2).transpose(0, 1)
        p_SBP = torch.baddbmm(bias.unsqueeze(1), x_SBF, weight.transpose(1, 2))
        return p_SBP.transpose(0, 1)[..., None, None]
    num_seeds = weight.shape[0]
    p_BQYX = functional.conv2d(
        x_BSCYX.flatten(1, 2), weight.flatten(0, 1), bias.flatten(), groups=num_seeds
    )
    return p_BQYX.view(p_BQYX.shape[0], num_seeds, -1, *p_BQYX.shape[2:])


def _compute_activations(
    architecture: Architecture,
    weights: Weights,
    x_BSCYX: Tensor,
    p_BSPYX: Tensor,
    number: int,
    *,
    observer: Observer | None,
) -> Tensor:
    """Return `(batch, seeds, units, height, width)`; adjacent channels are arguments of a unit."""
    activation = architecture.activation
    a_BSUNYX = p_BSPYX.reshape(*p_BSPYX.shape[:2], -1, activation.arity, *p_BSPYX.shape[3:])
    if observer is not None or activation.learned:
        a_SBUYXN = a_BSUNYX.movedim((1, 3), (0, 5))
        rows_SMN = a_SBUYXN.reshape(a_SBUYXN.shape[0], -1, activation.arity)
        if observer is not None:
            observer(number, rows_SMN)
        if activation.learned:
            y_SM = apply_inner_network(rows_SMN, get_inner_weights(weights))
            return y_SM.view(a_SBUYXN.shape[:-1]).transpose(0, 1)
    layer = architecture.layers[number]
    own = {name: weights[f"layer{number}.{name}"] for name in layer.list_own_shapes(activation)}
    return FORMULAS[activation.name](a_BSUNYX, own, x_BSCYX)


def apply_inner_network(x_SMN: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Apply each seed's inner network to its own rows.

    Args:
        x_SMN: Arguments `(seeds, rows, arguments)`.
        weights: Weights and biases in turn, as `init_inner_weights` returns them.

    Returns:
        `(seeds, rows)`.
    """
    if x_SMN.is_cuda:
        return apply_inner_reference(x_SMN, weights)
    return cast(Tensor, _ChunkedInnerNetwork.apply(x_SMN, *weights))


def apply_inner_reference(x_SMN: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Compute `apply_inner_network` on all rows at once, with torch's own gradients."""
    hidden_SMH = x_SMN
    for number in range(0, len(weights) - 2, 2):
        hidden_SMH = torch.baddbmm(
            weights[number + 1].unsqueeze(1), hidden_SMH, weights[number]
        ).relu()
    return torch.baddbmm(weights[-1].unsqueeze(1), hidden_SMH, weights[-2]).squeeze(-1)


class _ChunkedInnerNetwork(torch.autograd.Function):
    """The inner network on chunks of rows; the backward pass recomputes the hidden units."""

    @staticmethod
    def forward(ctx: Any, x_SMN: Tensor, *weights: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(x_SMN, *weights)
        y_SM = x_SMN.new_empty(x_SMN.shape[:2])
        for seed, rows in _list_chunks(x_SMN):
            seed_weights = [weight[seed] for weight in weights]
            hidden_MH = _compute_hidden(x_SMN[seed, rows], seed_weights)[-1]
            torch.addmv(seed_weights[-1], hidden_MH, seed_weights[-2][:, 0], out=y_SM[seed, rows])
        return y_SM

    @staticmethod
    def backward(ctx: Any, *outgoing: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        x_SMN, *weights = ctx.saved_tensors
        # Outputs come transposed from the layers of images.
        grad_SM = outgoing[0].contiguous()
        is_trained = any(ctx.needs_input_grad[1:])
        sums = [torch.zeros_like(weight) for weight in weights] if is_trained else None
        grad_x_SMN = torch.empty_like(x_SMN)
        for seed, rows in _list_chunks(x_SMN):
            grad_x_SMN[seed, rows] = _backward_chunk(
                x_SMN[seed, rows],
                grad_SM[seed, rows],
                [weight[seed] for weight in weights],
                None if sums is None else [one[seed] for one in sums],
            )
        return grad_x_SMN, *(sums if sums is not None else [None] * len(weights))


def _list_chunks(x_SMN: Tensor) -> list[tuple[int, slice]]:
    num_seeds, num_rows = x_SMN.shape[:2]
    return [
        (seed, slice(first, first + CHUNK_ROWS))
        for seed in range(num_seeds)
        for first in range(0, num_rows, CHUNK_ROWS)
    ]


def _compute_hidden(x_MN: Tensor, weights: list[Tensor]) -> list[Tensor]:
    """Return the arguments and every hidden layer of one seed."""
    layers = [x_MN]
    for number in range(0, len(weights) - 2, 2):
        layers.append(torch.addmm(weights[number + 1], layers[-1], weights[number]).relu_())
    return layers


def _backward_chunk(
    x_MN: Tensor, grad_M: Tensor, weights: list[Tensor], sums: list[Tensor] | None
) -> Tensor:
    """Return the gradient of the arguments, and add those of the weights to `sums`."""
    layers = _compute_hidden(x_MN, weights)
    grad_MK = grad_M.unsqueeze(1)
    for number in range(len(weights) - 2, -1, -2):
        hidden_MH = layers[number // 2]
        if sums is not None:
            sums[number].addmm_(hidden_MH.T, grad_MK)
            sums[number + 1].add_(grad_MK.sum(dim=0))
        grad_MK = grad_MK @ weights[number].T
        if number:
            # Hidden units are 0 or positive, and the sign is the derivative of ReLU.
            grad_MK.mul_(hidden_MH.sign_())
    return grad_MK
