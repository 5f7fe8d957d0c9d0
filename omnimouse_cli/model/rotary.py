"""Rotary position embedding in continuous time."""

import math

import torch
from torch import Tensor

# L tokens, P pairs of a head

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
