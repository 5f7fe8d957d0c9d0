"""Rotary position embedding (RoPE) in continuous time."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

# B batch, L tokens, H heads, D width of a head, P = D / 2 pairs of a head

LONGEST_SECONDS = 2.0


class Angles(NamedTuple):
    """Cosines and sines of the rotation angles of a sequence.

    Args:
        cos: float32 `(tokens, head width / 2)`.
        sin: As `cos`.
    """

    cos: Tensor
    sin: Tensor


def rotary_angles(times_seconds_L: Tensor, *, head_width: int, shortest_seconds: float) -> Angles:
    """Compute the rotation angles of every time.

    Angles are computed in float64: at the fastest period of 1 ms, float32 seconds would already
    be wrong by a radian.

    Args:
        times_seconds_L: float64 `(tokens,)`, relative to the window.
        head_width: Even width of a head.
        shortest_seconds: Period of the first pair.
    """
    frequencies_P = rotary_frequencies(head_width // 2, shortest_seconds)
    angles_LP = times_seconds_L.double()[:, None] * frequencies_P
    return Angles(angles_LP.cos().float(), angles_LP.sin().float())


def rotary_frequencies(pairs: int, shortest_seconds: float) -> Tensor:
    """Return the angle per second of each pair, float64 `(pairs,)`.

    The periods of the pairs grow geometrically from `shortest_seconds` towards 2 s. Source:
    OmniMouse (ICLR 2026, arXiv 2604.18827).
    """
    exponents_P = torch.arange(pairs, dtype=torch.float64) / pairs
    ratio = LONGEST_SECONDS / shortest_seconds
    return 2 * math.pi / shortest_seconds * ratio**-exponents_P


def rotate(x_BLHD: Tensor, angles: Angles) -> Tensor:
    """Rotate neighbouring pairs (2i, 2i + 1) of every head by the angles of its token.

    Args:
        x_BLHD: `(batch, tokens, heads, head width)`.
        angles: Of the tokens.

    Returns:
        Same shape as `x_BLHD`.

    Example:
        >>> quarter_turn = Angles(torch.tensor([[0.0]]), torch.tensor([[1.0]]))
        >>> rotate(torch.tensor([1.0, 2.0]).view(1, 1, 1, 2), quarter_turn).flatten()
        tensor([-2.,  1.])
    """
    cos_L1P, sin_L1P = angles.cos[:, None], angles.sin[:, None]
    if x_BLHD.dtype == torch.float32 and not torch.compiler.is_compiling():
        # One pass over memory, with the same arithmetic: on a CPU 7 times faster.
        pairs_BLHP = torch.view_as_complex(x_BLHD.reshape(*x_BLHD.shape[:-1], -1, 2))
        return torch.view_as_real(pairs_BLHP * torch.complex(cos_L1P, sin_L1P)).flatten(-2)
    first_BLHP, second_BLHP = x_BLHD[..., 0::2], x_BLHD[..., 1::2]
    rotated = (
        first_BLHP * cos_L1P - second_BLHP * sin_L1P,
        second_BLHP * cos_L1P + first_BLHP * sin_L1P,
    )
    return torch.stack(rotated, dim=-1).flatten(-2)
