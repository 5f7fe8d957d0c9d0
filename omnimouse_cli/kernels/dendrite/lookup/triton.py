"""Frozen dendritic units on a GPU: one kernel forward, one backward, the table in the cache."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnimouse_cli.kernels.dendrite.lookup.grid import RINGS, Grid
from omnimouse_cli.kernels.dendrite.tiles import (
    OPTIONS,
    num_parts,
    tile_elements,
    tiled_size,
)

# R rows, U units; tables are (cell types, rows, cells, 2)

PROGRAMS = 2048
LAST_RING = tl.constexpr(RINGS - 1)


@triton.jit
def _cell(scaled, HALF: tl.constexpr):
    """Return the cell of a scaled argument, counted from the middle; NaN gets the first."""
    return tl.minimum(tl.maximum(tl.floor(scaled), -HALF), HALF - 1.0)


@triton.jit
def _locate(a, b, CELLS: tl.constexpr, LIMIT: tl.constexpr):
    """Find elements in a table, as `locate` of the reference does.

    Returns:
        Cell, fraction of the way down and fraction of the way right; and for the gradients of
        elements outside the grid: which they are, which of them have the larger second argument,
        the factor that projects an element to the side of the grid, its position along that side,
        the rings per limit, and the larger argument.
    """
    HALF: tl.constexpr = 0.5 * CELLS
    SCALE: tl.constexpr = HALF / LIMIT
    MIDDLE: tl.constexpr = HALF * (CELLS + 1)
    is_second = tl.abs(b) > tl.abs(a)
    main = tl.where(is_second, b, a)
    size = tl.abs(main)
    is_outside = size > LIMIT
    is_turned = is_outside & is_second
    distance = tl.maximum(size * (1.0 / LIMIT), 1.0)
    # 1 / distance, without the instructions that a quotient needs for subnormal numbers.
    shrink = tl.where(is_outside, tl.rsqrt(distance * distance), 1.0)
    along = tl.where(is_turned, a, b) * shrink
    column, row = _cell(along * SCALE, HALF), _cell(a * SCALE, HALF)
    # The exponent and two bits of the mantissa, relative to those of 1.
    ring = tl.minimum((distance.to(tl.int32, bitcast=True) >> 21) - 508, LAST_RING)
    rings = ((129 - (ring >> 2)) << 23).to(tl.float32, bitcast=True)
    start = (4 + (ring & 3)).to(tl.float32)
    down = tl.where(is_outside, distance * rings - start, a * SCALE - row)
    side = tl.where(is_second, 2 * LAST_RING + 4, 0) + tl.where(main < 0, LAST_RING + 2, 0)
    row_outside = (CELLS + 1 - CELLS // 2 + side + ring).to(tl.float32)
    cell = (tl.where(is_outside, row_outside, row) * CELLS + (column + MIDDLE)).to(tl.int32)
    return cell, down, along * SCALE - column, (is_outside, is_turned, shrink, along, rings, main)


@triton.jit
def _load_pair(address):
    """Load a value and the difference to the next one, two float32 in one read."""
    bits = tl.load(address)
    value = bits.to(tl.int32).to(tl.float32, bitcast=True)
    return value, (bits >> 32).to(tl.int32).to(tl.float32, bitcast=True)


@triton.jit
def _bilinear(table, cell, down, right, CELLS: tl.constexpr):
    """Return values, and their slopes from row to row and from column to column."""
    address = table + cell
    top, top_right = _load_pair(address)
    bottom, bottom_right = _load_pair(address + CELLS)
    upper = right * top_right + top
    by_row = (right * bottom_right + bottom) - upper
    return down * by_row + upper, by_row, down * (bottom_right - top_right) + top_right


@triton.jit
def forward_kernel(
    a_pointer,
    b_pointer,
    table,
    out_pointer,
    rows,
    share,
    a_stride,
    b_stride,
    out_stride,
    CELLS: tl.constexpr,
    TABLE_SIZE: tl.constexpr,
    LIMIT: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILE: tl.constexpr,
    IS_FLAT: tl.constexpr,
):
    """Read both arguments once and write once; a program loops over tiles of one cell type."""
    kind = tl.program_id(1)
    table += kind * TABLE_SIZE
    tiles = num_parts(rows, TILE // COLUMNS) * num_parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = tile_elements(tile, kind, rows, share, COLUMNS, TILE, IS_FLAT)
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        cell, down, right, _ = _locate(a, b, CELLS, LIMIT)
        out, _, _ = _bilinear(table, cell, down, right, CELLS)
        result = out.to(out_pointer.dtype.element_ty)
        tl.store(out_pointer + row * out_stride + column, result, mask=exists)


@triton.jit
def backward_kernel(
    g_pointer,
    a_pointer,
    b_pointer,
    table,
    da_pointer,
    db_pointer,
    rows,
    share,
    g_stride,
    a_stride,
    b_stride,
    d_stride,
    CELLS: tl.constexpr,
    TABLE_SIZE: tl.constexpr,
    LIMIT: tl.constexpr,
    COLUMNS: tl.constexpr,
    TILE: tl.constexpr,
    IS_FLAT: tl.constexpr,
):
    """Read the table again and write both gradients: the slopes of the interpolant."""
    SCALE: tl.constexpr = 0.5 * CELLS / LIMIT
    kind = tl.program_id(1)
    table += kind * TABLE_SIZE
    tiles = num_parts(rows, TILE // COLUMNS) * num_parts(share, COLUMNS)
    for tile in range(tl.program_id(0), tiles, tl.num_programs(0)):
        row, column, exists = tile_elements(tile, kind, rows, share, COLUMNS, TILE, IS_FLAT)
        g = tl.load(g_pointer + row * g_stride + column, mask=exists, other=0.0).to(tl.float32)
        a = tl.load(a_pointer + row * a_stride + column, mask=exists, other=0.0).to(tl.float32)
        b = tl.load(b_pointer + row * b_stride + column, mask=exists, other=0.0).to(tl.float32)
        cell, down, right, outside = _locate(a, b, CELLS, LIMIT)
        is_outside, is_turned, shrink, along, rings, main = outside
        _, by_row, by_column = _bilinear(table, cell, down, right, CELLS)
        # Outside the grid, the position along a side depends on the smaller argument and, by the
        # projection to the side, on the larger one.
        across = by_column * (shrink * SCALE)
        outward = by_row * (rings * (1.0 / LIMIT)) - across * (along * (1.0 / LIMIT))
        outward = tl.where(main < 0, -outward, outward)
        outward = tl.where(is_outside, outward, by_row * SCALE)
        da = g * tl.where(is_turned, across, outward)
        db = g * tl.where(is_turned, outward, across)
        offset = row * d_stride + column
        tl.store(da_pointer + offset, da.to(da_pointer.dtype.element_ty), mask=exists)
        tl.store(db_pointer + offset, db.to(db_pointer.dtype.element_ty), mask=exists)


def compile_constants(grid: Grid) -> dict[str, Any]:
    """Return the constants for which the kernels are compiled, beside those of the tiles."""
    return {"CELLS": grid.cells, "TABLE_SIZE": grid.num_rows * grid.cells, "LIMIT": grid.limit}


def triton_forward(a_RU: Tensor, b_RU: Tensor, table: Tensor, limit: float) -> Tensor:
    """Interpolate values.

    Args:
        a_RU: First arguments; rows may have gaps between them.
        b_RU: Second arguments.
        table: Table of each cell type.
        limit: The largest argument of the grid.

    Returns:
        Contiguous `(rows, units)`.
    """
    types = table.shape[0]
    out_RU = torch.empty(a_RU.shape, dtype=a_RU.dtype, device=a_RU.device)
    if out_RU.numel() == 0:
        return out_RU
    size = tiled_size([a_RU, b_RU], types)
    constants = compile_constants(Grid(table.shape[2], limit)) | size.constants | OPTIONS
    inputs = (a_RU, b_RU, table.view(torch.int64))
    strides = (a_RU.stride(0), b_RU.stride(0), out_RU.stride(0))
    grid = size.grid(types, PROGRAMS)
    forward_kernel[grid](*inputs, out_RU, size.rows, size.share, *strides, **constants)
    return out_RU


def triton_backward(
    g_RU: Tensor, a_RU: Tensor, b_RU: Tensor, table: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of both arguments.

    Args:
        g_RU: Gradient of the output.
        a_RU: First arguments of the forward pass.
        b_RU: Second arguments.
        table: Table of each cell type.
        limit: The largest argument of the grid.
    """
    types = table.shape[0]
    da_RU, db_RU = (torch.empty(a_RU.shape, dtype=a_RU.dtype, device=a_RU.device) for _ in range(2))
    if a_RU.numel() == 0:
        return da_RU, db_RU
    size = tiled_size([g_RU, a_RU, b_RU], types)
    constants = compile_constants(Grid(table.shape[2], limit)) | size.constants | OPTIONS
    grid = size.grid(types, PROGRAMS)
    inputs = (g_RU, a_RU, b_RU, table.view(torch.int64))
    strides = (g_RU.stride(0), a_RU.stride(0), b_RU.stride(0), da_RU.stride(0))
    outputs = (da_RU, db_RU, size.rows, size.share)
    backward_kernel[grid](*inputs, *outputs, *strides, **constants)
    return da_RU, db_RU
