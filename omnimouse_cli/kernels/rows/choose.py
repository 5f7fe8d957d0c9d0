"""The one place that chooses how work on rows is computed: by device and precision.

float32 on a CPU is computed in one pass over memory, in training and in evaluation. Everything else
(a GPU, 16-bit numbers, float64) is plain PyTorch, which compilers of GPU code fuse.
"""

import torch
from torch import Tensor

from omnimouse_cli.kernels.rows.operators import gate_operator, norm_operator
from omnimouse_cli.kernels.rows.reference import reference_gated, reference_norm


def is_fused(*tensors: Tensor) -> bool:
    """Whether one pass over memory works on the rows of these, and not plain PyTorch."""
    return all(x.device.type == "cpu" and x.dtype == torch.float32 for x in tensors)


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide rows by the root of their mean square, and weigh them.

    Args:
        x: `(..., width)`.
        weight: `(width,)`.
        epsilon: Added to the mean square.

    Returns:
        As `x`.

    Example:
        >>> rms_norm(torch.tensor([[3.0, 4.0]]), torch.tensor([1.0, 2.0]), 0.0)
        tensor([[0.8485, 2.2627]])
    """
    if not is_fused(x, weight):
        return reference_norm(x, weight, epsilon)
    out: Tensor = norm_operator(x, weight, epsilon)
    return out


def gated(a: Tensor, b: Tensor) -> Tensor:
    """Give silu(a) b, where silu(a) = a / (1 + exp(-a)).

    Args:
        a: `(..., units)`.
        b: As `a`.

    Returns:
        As `a`.

    Example:
        >>> gated(torch.tensor([-100.0, 0.0, 100.0]), torch.tensor([1.0, 1.0, 2.0]))
        tensor([-0., 0., 200.])
    """
    if not is_fused(a, b):
        return reference_gated(a, b)
    out: Tensor = gate_operator(a, b)
    return out
