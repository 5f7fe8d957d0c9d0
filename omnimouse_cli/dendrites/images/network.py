"""Networks on images, all seeds at once: every weight has the seed as its first dimension."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.dendrites.images.activation import MAXOUT, RELU, RELU_PLAIN, SWIGLU
from omnimouse_cli.dendrites.images.inner import inner_network, inner_weights
from omnimouse_cli.dendrites.images.plan import Layer, Plan

# S seeds, B batch, C channels, Y and X the place of a pixel, U units, N arguments of a unit,
# P pre-activations (units x arguments), F numbers of a flattened map

INNER = "inner"
# Pixels from 0 to 1 come to -1 to 1 inside the network, so that attacks work in units of pixels.
PIXEL_MEAN, PIXEL_STD = 0.5, 0.5

Weights = dict[str, Tensor]
# Is told the number of a hidden layer and the arguments of its units, `(seeds, rows, arguments)`.
Observer = Callable[[int, Tensor], None]
# Is given activations `(batch, seeds, ...)` and gives some of them back, scaled.
Dropout = Callable[[Tensor], Tensor]


def outer_weights(plan: Plan, generators: Sequence[torch.Generator]) -> Weights:
    """Draw the weights of layers and classifier: uniform within one over the root of the fan-in.

    Args:
        plan: Which network.
        generators: One per seed.
    """
    arity = plan.activation.arity
    shapes: dict[str, tuple[int, ...]] = {}
    fans: dict[str, int] = {}
    for number, layer in enumerate(plan.layers):
        outputs = layer.units * arity
        shape = (outputs, layer.num_in) + ((3, 3) if layer.kind == "conv" else ())
        shapes |= {f"layer{number}.weight": shape, f"layer{number}.bias": (outputs,)}
        fans |= dict.fromkeys((f"layer{number}.weight", f"layer{number}.bias"), layer.fan_in)
    last = plan.layers[-1].units
    shapes |= {
        "classifier.weight": (plan.num_classes, last),
        "classifier.bias": (plan.num_classes,),
    }
    fans |= dict.fromkeys(("classifier.weight", "classifier.bias"), last)
    return {
        name: torch.stack(
            [
                (torch.rand(shape, generator=one) * 2 - 1) / math.sqrt(fans[name])
                for one in generators
            ]
        )
        for name, shape in shapes.items()
    }


def xavier_inner(plan: Plan, generators: Sequence[torch.Generator]) -> Weights:
    """Draw the weights of the inner network; none where the activation is fixed."""
    drawn = inner_weights(plan.inner_sizes, generators) if plan.activation.learned else []
    return named_inner(drawn)


def named_inner(weights: Sequence[Tensor]) -> Weights:
    """Give the weights of an inner network the names that they have in a network's."""
    return {f"{INNER}.{place}": weight for place, weight in enumerate(weights)}


def inner_of(weights: Weights) -> list[Tensor]:
    """Give the weights of the inner network in order."""
    return [
        weights[name]
        for name in (f"{INNER}.{place}" for place in range(len(weights)))
        if name in weights
    ]


def logits_of(
    plan: Plan,
    weights: Weights,
    pixels_SBCYX: Tensor,
    *,
    dropout: Dropout | None = None,
    observer: Observer | None = None,
    normalised: bool = False,
) -> Tensor:
    """Run every seed's network on its own images.

    Args:
        plan: Which network.
        weights: Of all seeds.
        pixels_SBCYX: `(seeds, batch, channels, height, width)` from 0 to 1.
        dropout: Drops activations; None in evaluation.
        observer: Is shown the arguments of all units.
        normalised: Whether pixels are from -1 to 1 already; only to repeat a mistake of others.

    Returns:
        `(seeds, batch, classes)`.
    """
    if not normalised:
        pixels_SBCYX = (pixels_SBCYX - PIXEL_MEAN) / PIXEL_STD
    # Batch before seeds lets one grouped convolution serve all seeds.
    x_BSCYX = pixels_SBCYX.transpose(0, 1)
    for number, layer in enumerate(plan.layers):
        weight, bias = weights[f"layer{number}.weight"], weights[f"layer{number}.bias"]
        p_BSPYX = _sums(layer, x_BSCYX, weight, bias)
        if plan.activation.normalised:
            p_BSPYX = functional.layer_norm(p_BSPYX, p_BSPYX.shape[2:])
        x_BSCYX = _activated(plan, weights, p_BSPYX, number, observer)
        if layer.pool:
            pooled_BQYX = functional.max_pool2d(x_BSCYX.flatten(1, 2), 2)
            x_BSCYX = pooled_BQYX.view(*x_BSCYX.shape[:3], *layer.side_out)
        if dropout is not None:
            x_BSCYX = dropout(x_BSCYX)
    x_SBF = x_BSCYX.flatten(2).transpose(0, 1)
    return torch.baddbmm(
        weights["classifier.bias"].unsqueeze(1), x_SBF, weights["classifier.weight"].transpose(1, 2)
    )


def _sums(layer: Layer, x_BSCYX: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Give pre-activations `(batch, seeds, units x arguments, height, width)`."""
    if layer.kind == "dense":
        x_SBF = x_BSCYX.flatten(2).transpose(0, 1)
        p_SBP = torch.baddbmm(bias.unsqueeze(1), x_SBF, weight.transpose(1, 2))
        return p_SBP.transpose(0, 1)[..., None, None]
    num_seeds = weight.shape[0]
    p_BQYX = functional.conv2d(
        x_BSCYX.flatten(1, 2), weight.flatten(0, 1), bias.flatten(), groups=num_seeds
    )
    return p_BQYX.view(p_BQYX.shape[0], num_seeds, -1, *p_BQYX.shape[2:])


def _activated(
    plan: Plan, weights: Weights, p_BSPYX: Tensor, number: int, observer: Observer | None
) -> Tensor:
    """Give activations `(batch, seeds, units, height, width)`: neighbouring channels are a unit."""
    arity = plan.activation.arity
    a_BSUNYX = p_BSPYX.reshape(*p_BSPYX.shape[:2], -1, arity, *p_BSPYX.shape[3:])
    if observer is not None or plan.activation.learned:
        a_SBUYXN = a_BSUNYX.movedim((1, 3), (0, 5))
        rows_SMN = a_SBUYXN.reshape(a_SBUYXN.shape[0], -1, arity)
        if observer is not None:
            observer(number, rows_SMN)
        if plan.activation.learned:
            y_SM = inner_network(rows_SMN, inner_of(weights))
            return y_SM.view(a_SBUYXN.shape[:-1]).transpose(0, 1)
    return _FIXED[plan.activation.name](a_BSUNYX)


_FIXED: dict[str, Callable[[Tensor], Tensor]] = {
    RELU: lambda a_BSUNYX: a_BSUNYX[:, :, :, 0].relu(),
    RELU_PLAIN: lambda a_BSUNYX: a_BSUNYX[:, :, :, 0].relu(),
    SWIGLU: lambda a_BSUNYX: functional.silu(a_BSUNYX[:, :, :, 0]) * a_BSUNYX[:, :, :, 1],
    MAXOUT: lambda a_BSUNYX: torch.maximum(a_BSUNYX[:, :, :, 0], a_BSUNYX[:, :, :, 1]),
}
