"""How weights start. Source: omnimouse reference, section 2.5."""

import torch
from torch import Tensor, nn

# Beside patches of a variance of 1, places have to be told apart from the first step on.
POSITION_STD = 0.5


def scaled_(tensor: Tensor, *, fan_in: int | None = None) -> Tensor:
    """Fill with a normal of standard deviation fan-in^(-1/2), truncated at 2.

    Args:
        tensor: Filled in place.
        fan_in: Inputs of an output; None is the last dimension's size.
    """
    with torch.no_grad():
        return nn.init.trunc_normal_(tensor, std=(fan_in or tensor.shape[-1]) ** -0.5)


def parameter(*shape: int) -> nn.Parameter:
    """Give a parameter that starts as an embedding does."""
    return nn.Parameter(scaled_(torch.empty(*shape)))


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """Give a linear layer that starts scaled by its inputs, with a bias of 0."""
    layer = nn.Linear(inputs, outputs, bias=bias)
    scaled_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def video_(module: nn.Module, *, scaled: bool) -> None:
    """Start a layer of the video encoder.

    Args:
        module: Changed in place, if it is a linear layer or a convolution.
        scaled: Whether weights start by their number of inputs and biases at 0; else, as
            published, with a standard deviation of 0.02 and at 0.02.
    """
    if isinstance(module, nn.Linear | nn.Conv3d):
        fan_in = module.weight[0].numel()
        nn.init.trunc_normal_(module.weight, std=fan_in**-0.5 if scaled else 0.02)
        if module.bias is not None:
            nn.init.constant_(module.bias, 0.0 if scaled else 0.02)
