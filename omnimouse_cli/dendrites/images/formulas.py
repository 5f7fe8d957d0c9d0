"""Activations with a given form: what units compute from their arguments."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.dendrites.images.architecture import (
    MAXOUT,
    NUM_ROUTES,
    POLYGLU,
    RELU,
    RELU_UNNORMALIZED,
    SINGLU,
    SWIGLU,
    XIELU,
)

# S seeds, B batch, C channels, Y and X position of a pixel, U units, N arguments of a unit,
# F features of the input averaged over pixels, K functions to choose from

# Arguments `(batch, seeds, units, arguments, height, width)`, the activation's own weights by name,
# and the input of the layer `(batch, seeds, channels, height, width)`, to activations
# `(batch, seeds, units, height, width)`.
Formula = Callable[[Tensor, Mapping[str, Tensor], Tensor], Tensor]

# xIELU's slope at 0 and the values from which its curvatures are learned.
XIELU_SLOPE, XIELU_START = 0.5, 0.8


def relu(a_BSUNYX: Tensor, _own: Mapping[str, Tensor], _x_BSCYX: Tensor) -> Tensor:
    """Return the argument where it is positive, else 0."""
    return a_BSUNYX[:, :, :, 0].relu()


def swiglu(a_BSUNYX: Tensor, _own: Mapping[str, Tensor], _x_BSCYX: Tensor) -> Tensor:
    """Return silu(a) b (Shazeer 2020, arXiv 2002.05202)."""
    return functional.silu(a_BSUNYX[:, :, :, 0]) * a_BSUNYX[:, :, :, 1]


def maxout(a_BSUNYX: Tensor, _own: Mapping[str, Tensor], _x_BSCYX: Tensor) -> Tensor:
    """Return the larger argument (Goodfellow et al. 2013, arXiv 1302.4389)."""
    return torch.maximum(a_BSUNYX[:, :, :, 0], a_BSUNYX[:, :, :, 1])


def singlu(a_BSUNYX: Tensor, _own: Mapping[str, Tensor], _x_BSCYX: Tensor) -> Tensor:
    """Return sin(a) b: a gated linear unit with a sine (openreview.net/forum?id=qq4yipldw2)."""
    return a_BSUNYX[:, :, :, 0].sin() * a_BSUNYX[:, :, :, 1]


def polyglu(a_BSUNYX: Tensor, own: Mapping[str, Tensor], x_BSCYX: Tensor) -> Tensor:
    """Return b times a mixture of relu, tanh, silu and gelu of a (Medeiros 2026, arXiv 2603.13347).

    The mixture is a softmax of each unit's own preferences plus a linear map of the layer's input,
    averaged over pixels. The published map has a hidden layer of 32 units, which would hold a large
    share of these small networks' parameters, and its softmax has Gumbel noise in training.
    """
    first_BSUYX, second_BSUYX = a_BSUNYX.unbind(3)
    # A dense layer reads the flattened map.
    is_dense = own["route.weight"].shape[2] != x_BSCYX.shape[2]
    x_BSF = x_BSCYX.flatten(2) if is_dense else x_BSCYX.mean(dim=(3, 4))
    route_SBK = torch.baddbmm(
        own["route.bias"].unsqueeze(1), x_BSF.transpose(0, 1), own["route.weight"].transpose(1, 2)
    )
    preference_SUK = own["preference"].view(first_BSUYX.shape[1], -1, NUM_ROUTES)
    shares_BSUK = (preference_SUK + route_SBK.transpose(0, 1).unsqueeze(2)).softmax(dim=3)
    mixture_BSUYX = torch.zeros_like(first_BSUYX)
    functions = (torch.relu, torch.tanh, functional.silu, functional.gelu)
    for number, function in enumerate(functions):
        mixture_BSUYX = mixture_BSUYX + function(first_BSUYX) * shares_BSUK[..., number, None, None]
    return mixture_BSUYX * second_BSUYX


def xielu(a_BSUNYX: Tensor, own: Mapping[str, Tensor], _x_BSCYX: Tensor) -> Tensor:
    """Return xIELU, one argument with two learned curvatures (Huang & Schlag, arXiv 2411.13010).

    With slope s = 1/2 at 0: p a^2 + s a above 0, n (exp(a) - 1 - a) + s a below, where p > 0 and
    n > s are learned for each layer, both from .8.
    """
    x_BSUYX = a_BSUNYX[:, :, :, 0]
    positive_S, negative_S = functional.softplus(own["alpha"]).unbind(1)
    positive, negative = (one.view(1, -1, 1, 1, 1) for one in (positive_S, negative_S))
    below = x_BSUYX.clamp(max=0)
    curved = positive * x_BSUYX.clamp(min=0).square()
    curved = curved + (XIELU_SLOPE + negative) * (below.expm1() - below)
    return curved + XIELU_SLOPE * x_BSUYX


def start_own_weights(name: str, shape: tuple[int, ...]) -> Tensor | None:
    """Return the initial value of an activation's own weights `layer0.alpha`; None for others."""
    name = name.partition(".")[2]
    if name == "alpha":
        starts = (XIELU_START, XIELU_START - XIELU_SLOPE)
        # The inverse of softplus.
        return torch.tensor([math.log(math.expm1(start)) for start in starts])
    return torch.zeros(shape) if name in ("preference", "route.bias") else None


FORMULAS: dict[str, Formula] = {
    RELU: relu,
    RELU_UNNORMALIZED: relu,
    SWIGLU: swiglu,
    MAXOUT: maxout,
    SINGLU: singlu,
    POLYGLU: polyglu,
    XIELU: xielu,
}
