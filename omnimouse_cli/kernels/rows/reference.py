"""Work on rows in plain PyTorch: for GPUs, whose compilers fuse it, and as the yardstick."""

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.rows.heads import HeadShape

# B batch, L tokens, H heads, D width of a head, P = D / 2 pairs, M parts x heads x D


def reference_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """Divide rows by the root of their mean square, and weigh them."""
    return functional.rms_norm(x, x.shape[-1:], weight, eps=epsilon)


def reference_gated(a: Tensor, b: Tensor) -> Tensor:
    """Give silu(a) b."""
    return functional.silu(a) * b


def reference_largest(x: Tensor, dim: int) -> Tensor:
    """Give the largest along a dimension; equally large ones share a gradient."""
    return x.amax(dim)


def unit_norm(x: Tensor, epsilon: float) -> Tensor:
    """Normalise the last dimension without weights, 16-bit numbers in float32."""
    x = x if x.dtype == torch.float64 else x.float()
    return functional.rms_norm(x, x.shape[-1:], eps=epsilon)


def reference_heads(
    projection_BLM: Tensor, shape: HeadShape, angles: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, ...]:
    """Cut a projection into heads `(batch, heads, tokens, width)`, queries and keys normed."""
    batch, tokens, width = projection_BLM.shape
    split = (shape.parts, shape.num_heads, width // (shape.parts * shape.num_heads))
    parts = list(projection_BLM.view(batch, tokens, *split).unbind(2))
    if shape.pooled > 1:
        parts[0] = _pooled(parts[0], shape)
    for part in range(shape.normed):
        normed_BLHD = unit_norm(parts[part], shape.epsilon)
        if angles is not None:
            normed_BLHD = rotate(normed_BLHD, *angles)
        parts[part] = normed_BLHD.to(projection_BLM.dtype)
    return tuple(part_BLHD.transpose(1, 2) for part_BLHD in parts)


def _pooled(q_BLHD: Tensor, shape: HeadShape) -> Tensor:
    batch, tokens, heads, width = q_BLHD.shape
    count = tokens // shape.pooled
    if shape.pools_neighbours:
        return q_BLHD.reshape(batch, count, shape.pooled, heads, width).amax(2)
    return q_BLHD.reshape(batch, shape.pooled, count, heads, width).amax(1)


def rotate(x_BLHD: Tensor, cos_LP: Tensor, sin_LP: Tensor) -> Tensor:
    """Rotate neighbouring pairs (2i, 2i + 1) of every head by its token's angles.

    Args:
        x_BLHD: float32 `(batch, tokens, heads, width)`.
        cos_LP: `(tokens, width / 2)`.
        sin_LP: `(tokens, width / 2)`.

    Returns:
        As `x_BLHD`.
    """
    pairs_BLHP2 = x_BLHD.view(*x_BLHD.shape[:-1], -1, 2)
    cos_L1P, sin_L1P = cos_LP[:, None], sin_LP[:, None]
    if x_BLHD.device.type == "cpu":
        # One complex product reads and writes memory once; compilers of GPU code fuse real ones.
        angles_L1P = torch.complex(cos_L1P, sin_L1P)
        rotated_BLHP = torch.view_as_complex(pairs_BLHP2) * angles_L1P
        return torch.view_as_real(rotated_BLHP).flatten(-2)
    first_BLHP, second_BLHP = pairs_BLHP2.unbind(-1)
    return torch.stack(
        (
            first_BLHP * cos_L1P - second_BLHP * sin_L1P,
            second_BLHP * cos_L1P + first_BLHP * sin_L1P,
        ),
        dim=-1,
    ).flatten(-2)
