"""A function read from a table, in plain PyTorch: for every precision, and the yardstick."""

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite_table.grid import Grid, places_of

# K cell types, U units of a type, R rows and C cells of a table


def reference_served(a: Tensor, b: Tensor, pairs_KRC2: Tensor, reach: float) -> Tensor:
    """Read the function's value for every unit.

    Args:
        a: First arguments `(..., units)`; 16-bit numbers are computed in float32.
        b: Second arguments, as `a`.
        pairs_KRC2: Table of each cell type, which has an equal share of the units, side by side.
        reach: The largest argument of the grid.

    Returns:
        As `a`; its gradients are those of the interpolant.
    """
    precision = torch.float64 if a.dtype == torch.float64 else torch.float32
    types, _, cells, _ = pairs_KRC2.shape
    shape = (*a.shape[:-1], types, a.shape[-1] // types)
    a_KU, b_KU = a.to(precision).reshape(shape), b.to(precision).reshape(shape)
    first_KU, down_KU, right_KU = places_of(a_KU, b_KU, Grid(cells, reach))
    kind_K1 = torch.arange(types, device=a.device)[:, None]
    pairs = pairs_KRC2.to(precision).flatten(1, 2)
    top, low = pairs[kind_K1, first_KU], pairs[kind_K1, first_KU + cells]
    upper_KU = top[..., 0] + right_KU * top[..., 1]
    lower_KU = low[..., 0] + right_KU * low[..., 1]
    out_KU = upper_KU + down_KU * (lower_KU - upper_KU)
    return out_KU.flatten(-2).to(a.dtype)
