"""Rotary position embedding in continuous time."""

import math

import torch
from torch import Tensor

# B batch, L tokens, H heads, D width of a head, P = D / 2 pairs

LONGEST_SECONDS = 2.0


def rotary_table(
    times_seconds_L: Tensor, *, head_width: int, shortest_seconds: float
) -> tuple[Tensor, Tensor]:
    """Give cosines and sines of every time.

    Angles are computed in float64: at the fastest period of 1 ms, float32 seconds would already
    be wrong by a radian.

    Args:
        times_seconds_L: float64 `(tokens,)`, relative to the window.
        head_width: Even width of a head.
        shortest_seconds: Period of the first pair.

    Returns:
        float32 `(tokens, head_width / 2)` twice.
    """
    frequencies_P = rotary_frequencies(head_width // 2, shortest_seconds)
    angles_LP = times_seconds_L.double()[:, None] * frequencies_P
    return angles_LP.cos().float(), angles_LP.sin().float()


def rotary_frequencies(pairs: int, shortest_seconds: float) -> Tensor:
    """Give each pair's angle per second.

    The periods of the pairs grow geometrically from `shortest_seconds` towards 2 s. Source:
    omnimouse reference, section 2.3.

    Returns:
        float64 `(pairs,)`.
    """
    exponents_P = torch.arange(pairs, dtype=torch.float64) / pairs
    ratio = LONGEST_SECONDS / shortest_seconds
    return 2 * math.pi / shortest_seconds * ratio**-exponents_P


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
