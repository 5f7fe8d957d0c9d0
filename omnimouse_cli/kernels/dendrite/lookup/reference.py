"""Interpolation in a lookup table in plain PyTorch: for CPUs, every precision, and comparison."""

from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite.lookup.grid import RINGS, RINGS_PER_OCTAVE, Grid

# K cell types, U units of a type, R rows and C cells of a table


class Location(NamedTuple):
    """Where elements lie in a table.

    Args:
        cell: int64 number of the cell in the flattened table; the cell below is `cells` further.
        down: Fraction of the way to the row below; beyond the last ring it is more than 1.
        right: Fraction of the way to the end of the cell.
    """

    cell: Tensor
    down: Tensor
    right: Tensor


def reference_interpolate(a: Tensor, b: Tensor, table_KRC2: Tensor, limit: float) -> Tensor:
    """Interpolate the function's value for every unit.

    Args:
        a: First arguments `(..., units)`; 16-bit numbers are computed in float32.
        b: Second arguments, as `a`.
        table_KRC2: Table of each cell type, which has an equal share of the units, side by side.
        limit: The largest argument of the grid.

    Returns:
        Same shape and type as `a`; its gradients are those of the interpolant.
    """
    precision = torch.float64 if a.dtype == torch.float64 else torch.float32
    types, _, cells, _ = table_KRC2.shape
    shape = (*a.shape[:-1], types, a.shape[-1] // types)
    a_KU, b_KU = a.to(precision).reshape(shape), b.to(precision).reshape(shape)
    cell_KU, down_KU, right_KU = locate(a_KU, b_KU, Grid(cells, limit))
    type_K1 = torch.arange(types, device=a.device)[:, None]
    table = table_KRC2.to(precision).flatten(1, 2)
    top, bottom = table[type_K1, cell_KU], table[type_K1, cell_KU + cells]
    upper_KU = top[..., 0] + right_KU * top[..., 1]
    lower_KU = bottom[..., 0] + right_KU * bottom[..., 1]
    out_KU = upper_KU + down_KU * (lower_KU - upper_KU)
    return out_KU.flatten(-2).to(a.dtype)


def locate(a: Tensor, b: Tensor, grid: Grid) -> Location:
    """Find elements in a table; the fractions have gradients: the slopes of the interpolant.

    Args:
        a: First arguments, float32 or float64; NaN gets some cell, and a fraction of NaN.
        b: Second arguments, as `a`.
        grid: Grid of the table.
    """
    is_first = a.abs() >= b.abs()
    main, other = torch.where(is_first, a, b), torch.where(is_first, b, a)
    is_outside = main.abs() > grid.limit
    size = torch.where(is_outside, main.abs(), grid.limit)
    scale = grid.half / grid.limit
    along = torch.where(is_outside, other * (grid.limit / size), b) * scale
    column = _cell(along, grid)
    row = _cell(a * scale, grid)
    distance = size / grid.limit
    ring = _ring(distance)
    octave, start = ring // RINGS_PER_OCTAVE, RINGS_PER_OCTAVE + ring % RINGS_PER_OCTAVE
    rings = torch.ldexp(distance, 2 - octave)
    down = torch.where(is_outside, rings - start, a * scale - row)
    side = torch.where(is_first, (a < 0).int(), 2 + (b < 0).int())
    row_outside = grid.cells + 1 + side * (RINGS + 1) + ring
    row = torch.where(is_outside, row_outside, row.long() + grid.half)
    return Location(row * grid.cells + column.long() + grid.half, down, along - column)


def _cell(scaled: Tensor, grid: Grid) -> Tensor:
    """Return the cell of an argument in units of cells, counted from the middle of the grid."""
    cell = scaled.detach().floor().nan_to_num(nan=-grid.half)
    return cell.clamp(-grid.half, grid.half - 1)


def _ring(distance: Tensor) -> Tensor:
    """Return the ring of a distance of at least 1, in units of the grid's limit."""
    mantissa, exponent = torch.frexp(distance.detach())
    quarter = (2 * mantissa * RINGS_PER_OCTAVE).long() - RINGS_PER_OCTAVE
    return (RINGS_PER_OCTAVE * (exponent - 1) + quarter).clamp(0, RINGS - 1)
