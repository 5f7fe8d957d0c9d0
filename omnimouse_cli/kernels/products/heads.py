"""What a projection's parts are, and what becomes of them on their way to attention."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

# B batch, L tokens, H heads, D width of a head, P = D / 2 pairs, M parts x heads x D


class HeadShape(NamedTuple):
    """How a projection is cut into heads of attention.

    Args:
        parts: Queries, keys and values that lie side by side in it: all three, or some of them.
        normed: How many of them, the first ones, are normed and turned; values are not.
        num_heads: Of each part.
        pooled: Tokens whose queries become one, by their largest numbers; 1 leaves them.
        pools_neighbours: Whether those tokens are neighbours; else the first ones of all queries
            come first, then the second ones.
        epsilon: Added to a mean square.
    """

    parts: int
    normed: int
    num_heads: int
    pooled: int = 1
    pools_neighbours: bool = False
    epsilon: float = 1e-5

    @classmethod
    def of_numbers(cls, numbers: Sequence[int], epsilon: float) -> "HeadShape":
        """Make one of what an operator is given."""
        parts, normed, num_heads, pooled, pools_neighbours = numbers
        return cls(parts, normed, num_heads, pooled, bool(pools_neighbours), epsilon)

    @property
    def numbers(self) -> list[int]:
        """All but epsilon, as an operator is given them."""
        return [self.parts, self.normed, self.num_heads, self.pooled, int(self.pools_neighbours)]

    def head_width(self, columns: int) -> int:
        """Give the width of a head of a projection of so many columns."""
        return columns // (self.parts * self.num_heads)

    def shapes(self, projection: Sequence[int]) -> list[tuple[int, int, int, int]]:
        """Give the shape `(batch, heads, tokens, width)` of each part of a projection."""
        batch, tokens, columns = projection
        counts = [tokens // self.pooled, *[tokens] * (self.parts - 1)]
        return [(batch, self.num_heads, count, self.head_width(columns)) for count in counts]


def unit_norm(x: Tensor, epsilon: float) -> Tensor:
    """Normalise the last dimension without weights, 16-bit numbers in float32."""
    x = x if x.dtype == torch.float64 else x.float()
    return functional.rms_norm(x, x.shape[-1:], eps=epsilon)


def split_heads(
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
