"""The one place that chooses how work on rows is computed: by device and precision.

float32 on a CPU is computed in one pass over memory, in training and in evaluation. Everything else
(a GPU, 16-bit numbers, float64) is plain PyTorch, which compilers of GPU code fuse.
"""

from math import prod

import torch
from torch import Tensor

from omnimouse_cli.kernels.rows.heads import HeadShape
from omnimouse_cli.kernels.rows.operators import (
    gate_operator,
    heads_operator,
    norm_operator,
    pool_operator,
)
from omnimouse_cli.kernels.rows.reference import (
    reference_gated,
    reference_heads,
    reference_largest,
    reference_norm,
)

# B batch, L tokens, H heads, D width of a head, P = D / 2 pairs, M parts x heads x D


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


def largest_of(x: Tensor, dim: int) -> Tensor:
    """Give the largest along a dimension, as `amax`: equally large ones share a gradient.

    Args:
        x: Of any shape; it is copied if it has gaps.
        dim: From 0.

    Returns:
        Without that dimension.

    Example:
        >>> largest_of(torch.tensor([[1.0, 5.0], [4.0, 2.0]]), 0)
        tensor([4., 5.])
    """
    if not is_fused(x):
        return reference_largest(x, dim)
    before, after = x.shape[:dim], x.shape[dim + 1 :]
    out_IC: Tensor = pool_operator(x.reshape(prod(before), x.shape[dim], prod(after)))
    return out_IC.view(*before, *after)


def split_heads(
    projection_BLM: Tensor, shape: HeadShape, angles: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, ...]:
    """Cut a projection into heads of attention, queries and keys normed and turned in time.

    Args:
        projection_BLM: `(batch, tokens, parts * heads * width)`.
        shape: What its parts are.
        angles: Cosines and sines `(tokens, width / 2)` by which normed parts are turned; None
            leaves them.

    Returns:
        Each part `(batch, heads, tokens, width)`; pooled queries have fewer tokens.

    Example:
        >>> q, k = split_heads(torch.ones(1, 3, 8), HeadShape(parts=2, normed=1, num_heads=2))
        >>> q.shape, k.shape
        (torch.Size([1, 2, 3, 2]), torch.Size([1, 2, 3, 2]))
    """
    assert angles is None or shape.pooled == 1, "pooled queries have no time of their own"
    if not is_fused(projection_BLM, *(angles or ())):
        return reference_heads(projection_BLM, shape, angles)
    parts: list[Tensor] = heads_operator(
        projection_BLM, list(angles or ()), shape.numbers, shape.epsilon
    )
    return tuple(parts)
