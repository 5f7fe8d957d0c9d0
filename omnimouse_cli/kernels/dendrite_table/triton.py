"""Frozen dendritic units on a GPU: one kernel forward, one backward, the table in the cache."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnimouse_cli.kernels.dendrite.tiles import WARPS, grid_of, sizes_of, walk_constants
from omnimouse_cli.kernels.dendrite.walk import parts, tile_at
from omnimouse_cli.kernels.dendrite_table.grid import RINGS, Grid

# R rows, U units; tables are (cell types, rows of a table, cells, 2)

PROGRAMS = 2048
LAST_RING = tl.constexpr(RINGS - 1)


@triton.jit
def _below(scaled, HALF: tl.constexpr):
    """Give the cell below an argument of the grid, counted from the middle; NaN has the first."""
    return tl.minimum(tl.maximum(tl.floor(scaled), -HALF), HALF - 1.0)


@triton.jit
def _places(a, b, CELLS: tl.constexpr, REACH: tl.constexpr):
    """Find elements in a table, and give what gradients need of those beyond the grid.

    Returns:
        The first of four places and the ways down and right from it; which elements lie beyond,
        and whose first argument is the larger one; by how much an element beyond is drawn to the
        side; the place along the side, in reaches; how many rings are in a reach.
    """
    HALF: tl.constexpr = 0.5 * CELLS
    SCALE: tl.constexpr = HALF / REACH
    MIDDLE: tl.constexpr = HALF * (CELLS + 1)
    is_second = tl.abs(b) > tl.abs(a)
    main = tl.where(is_second, b, a)
    size = tl.abs(main)
    is_beyond = size > REACH
    is_turned = is_beyond & is_second
    distance = tl.maximum(size * (1.0 / REACH), 1.0)
    # As a quotient, without the instructions that care for those that hardly fit a float32.
    shrink = tl.where(is_beyond, tl.rsqrt(distance * distance), 1.0)
    along = tl.where(is_turned, a, b) * shrink
    column, row = _below(along * SCALE, HALF), _below(a * SCALE, HALF)
    # Of the exponent and two bits of the mantissa, counted from those of 1.
    ring = tl.minimum((distance.to(tl.int32, bitcast=True) >> 21) - 508, LAST_RING)
    rings = ((129 - (ring >> 2)) << 23).to(tl.float32, bitcast=True)
    start = (4 + (ring & 3)).to(tl.float32)
    down = tl.where(is_beyond, distance * rings - start, a * SCALE - row)
    side = tl.where(is_second, 2 * LAST_RING + 4, 0) + tl.where(main < 0, LAST_RING + 2, 0)
    line = (CELLS + 1 - CELLS // 2 + side + ring).to(tl.float32)
    first = (tl.where(is_beyond, line, row) * CELLS + (column + MIDDLE)).to(tl.int32)
    return first, down, along * SCALE - column, (is_beyond, is_turned, shrink, along, rings, main)


@triton.jit
def _pair(place):
    """Read two float32 in one."""
    bits = tl.load(place)
    value = bits.to(tl.int32).to(tl.float32, bitcast=True)
    return value, (bits >> 32).to(tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def _surface(pairs, first, down, right, CELLS: tl.constexpr):
    """Give values, and how they change from row to row and from column to column."""
    place = pairs + first
    top, top_right = _pair(place)
    low, low_right = _pair(place + CELLS)
    upper = right * top_right + top
    by_row = (right * low_right + low) - upper
    return down * by_row + upper, by_row, down * (low_right - top_right) + top_right


@triton.jit
def forward_kernel(
    a_pointer,
    b_pointer,
    pairs,
    out_pointer,
    rows,
    share,
    a_stride,
    b_stride,
    out_stride,
    CELLS: tl.constexpr,
    TABLE: tl.constexpr,
    REACH: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILE: tl.constexpr,
    IS_FLAT: tl.constexpr,
):
    """Read both arguments once, write once; a program walks over tiles of one cell type."""
    kind = tl.program_id(1)
    pairs += kind * TABLE
    tiles = parts(rows, TILE // COLUMNS) * parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = tile_at(tile, rows, share, COLUMNS, TILE, IS_FLAT)
        column += kind * share
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        first, down, right, _ = _places(a, b, CELLS, REACH)
        out, _, _ = _surface(pairs, first, down, right, CELLS)
        result = out.to(out_pointer.dtype.element_ty)
        tl.store(out_pointer + row * out_stride + column, result, mask=exists)


@triton.jit
def backward_kernel(
    g_pointer,
    a_pointer,
    b_pointer,
    pairs,
    da_pointer,
    db_pointer,
    rows,
    share,
    g_stride,
    a_stride,
    b_stride,
    d_stride,
    CELLS: tl.constexpr,
    TABLE: tl.constexpr,
    REACH: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILE: tl.constexpr,
    IS_FLAT: tl.constexpr,
):
    """Read the table again, and write both gradients: the slopes of what is between its points."""
    SCALE: tl.constexpr = 0.5 * CELLS / REACH
    kind = tl.program_id(1)
    pairs += kind * TABLE
    tiles = parts(rows, TILE // COLUMNS) * parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = tile_at(tile, rows, share, COLUMNS, TILE, IS_FLAT)
        column += kind * share
        g = tl.load(g_pointer + row * g_stride + column, mask=exists, other=0.0).to(tl.float32)
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        first, down, right, ways = _places(a, b, CELLS, REACH)
        is_beyond, is_turned, shrink, along, rings, main = ways
        _, by_row, by_column = _surface(pairs, first, down, right, CELLS)
        # An element beyond moves along its side with the smaller argument, and, drawn to the side
        # by the larger one, with that, too.
        across = by_column * (shrink * SCALE)
        outward = by_row * (rings * (1.0 / REACH)) - across * (along * (1.0 / REACH))
        outward = tl.where(main < 0, -outward, outward)
        outward = tl.where(is_beyond, outward, by_row * SCALE)
        da = g * tl.where(is_turned, across, outward)
        db = g * tl.where(is_turned, outward, across)
        place = row * d_stride + column
        tl.store(da_pointer + place, da.to(da_pointer.dtype.element_ty), mask=exists)
        tl.store(db_pointer + place, db.to(db_pointer.dtype.element_ty), mask=exists)


def constants_of(grid: Grid) -> dict[str, int | float]:
    """Give what the kernels are compiled for, beside their walk."""
    return {"CELLS": grid.cells, "TABLE": grid.num_rows * grid.cells, "REACH": grid.reach}


def triton_forward(a_RU: Tensor, b_RU: Tensor, pairs: Tensor, reach: float) -> Tensor:
    """Read values; see `native_forward`, whose signature this is."""
    rows, units = a_RU.shape
    types = pairs.shape[0]
    out_RU = torch.empty((rows, units), dtype=a_RU.dtype, device=a_RU.device)
    if out_RU.numel() == 0:
        return out_RU
    rows, share, is_flat = sizes_of([a_RU, b_RU], types)
    walk = walk_constants(a_RU.dtype, share, is_flat=is_flat)
    constants = {**constants_of(Grid(pairs.shape[2], reach)), **walk}
    strides = (a_RU.stride(0), b_RU.stride(0), units)
    inputs = (a_RU, b_RU, pairs.view(torch.int64))
    grid = grid_of(rows, share, types, PROGRAMS, walk)
    forward_kernel[grid](*inputs, out_RU, rows, share, *strides, **constants, num_warps=WARPS)
    return out_RU


def triton_backward(
    g_RU: Tensor, a_RU: Tensor, b_RU: Tensor, pairs: Tensor, reach: float, *, is_packed: bool
) -> tuple[Tensor, ...]:
    """Give the gradients; see `native_backward`, whose signature this is."""
    rows, units = a_RU.shape
    types = pairs.shape[0]
    width = 2 * units if is_packed else units
    first = torch.empty((rows, width), dtype=a_RU.dtype, device=a_RU.device)
    second = first[:, units:] if is_packed else torch.empty_like(first)
    of_arguments = (first,) if is_packed else (first, second)
    if a_RU.numel() == 0:
        return of_arguments
    gaps = [first[:, :units]] if is_packed else []
    rows, share, is_flat = sizes_of([g_RU, a_RU, b_RU, *gaps], types)
    walk = walk_constants(a_RU.dtype, share, is_flat=is_flat)
    constants = {**constants_of(Grid(pairs.shape[2], reach)), **walk}
    grid = grid_of(rows, share, types, PROGRAMS, walk)
    inputs = (g_RU, a_RU, b_RU, pairs.view(torch.int64))
    strides = (g_RU.stride(0), a_RU.stride(0), b_RU.stride(0), width)
    backward_kernel[grid](
        *inputs, first, second, rows, share, *strides, **constants, num_warps=WARPS
    )
    return of_arguments
