"""Initialization of weights. Source: OmniMouse (ICLR 2026, arXiv 2604.18827)."""

import torch
from torch import Tensor, nn

# Positions have to be distinguishable beside patches of a variance of 1.
POSITION_STD = 0.5


def scaled_(tensor: Tensor, *, fan_in: int | None = None) -> Tensor:
    """Fill with a normal of standard deviation fan-in^(-1/2), truncated at 2.

    Args:
        tensor: Filled in place.
        fan_in: Inputs per output; None is the size of the last dimension.
    """
    with torch.no_grad():
        return nn.init.trunc_normal_(tensor, std=(fan_in or tensor.shape[-1]) ** -0.5)


def parameter(*shape: int) -> nn.Parameter:
    """Return a parameter that is initialized as an embedding."""
    return nn.Parameter(scaled_(torch.empty(*shape)))


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """Return a linear layer whose initial weights are scaled by its inputs, with a bias of 0."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    scaled_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def video_(module: nn.Module, *, scaled: bool) -> None:
    """Initialize a layer of the video encoder.

    Args:
        module: Changed in place, if it is a linear layer or a convolution.
        scaled: Scale weights by the number of inputs, with biases of 0; otherwise weights have the
            published standard deviation of 0.02, and biases are 0.02.
    """
    if isinstance(module, nn.Linear | nn.Conv3d):
        fan_in = module.weight[0].numel()
        nn.init.trunc_normal_(module.weight, std=fan_in**-0.5 if scaled else 0.02)
        if module.bias is not None:
            nn.init.constant_(module.bias, 0.0 if scaled else 0.02)
