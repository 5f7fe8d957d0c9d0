"""The precision in which a model computes, the same rule in training, validation and evaluation."""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]


def resolve_precision(precision: Precision | None, device_type: str) -> Precision:
    """Return the precision of the forward pass.

    Args:
        precision: `train.precision` of the run; None leaves the choice to the device.
        device_type: `cpu` or `cuda`.

    Example:
        >>> resolve_precision(None, "cuda"), resolve_precision(None, "cpu")
        ('bfloat16', 'float32')
        >>> resolve_precision("float32", "cuda")
        'float32'
    """
    return precision or ("bfloat16" if device_type == "cuda" else "float32")


def autocast(precision: Precision | None, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass: in bfloat16, matrix products are; sums stay float32.

    Args:
        precision: `train.precision` of the run; None is bfloat16 on a GPU and float32 on a CPU.
        device: Where the model is.
    """
    if resolve_precision(precision, device.type) == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def parameter_precision(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which computations have the precision of the parameters, not bfloat16.

    The shortcuts and the read-out are computed in it: their sums over neurons, positions and
    samples are the prediction itself, which no normalization follows.

    Args:
        device: Where the model is.
    """
    return torch.autocast(device.type, enabled=False)
