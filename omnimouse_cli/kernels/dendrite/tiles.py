"""How matrices are cut into tiles, which the programs of a Triton kernel share."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import DendriticFunction

# A thread reads 16 bytes at once, 8 or 4 elements of a tile: sums over them need no other thread.
WARPS, THREADS = 4, 128
LOAD_BYTES = 16


# Functions of Triton's own library cannot be interpreted beside a Triton that compiles.
@triton.jit
def num_parts(count, size):
    """Return how many parts of a size cover a count."""
    return (count + size - 1) // size


@triton.jit
def tile_elements(
    tile, rows, share, COLUMNS: tl.constexpr, TILE: tl.constexpr, IS_FLAT: tl.constexpr
):
    """Return row and column of every element of a tile, and which of them exist."""
    element = tl.arange(0, TILE)
    if IS_FLAT:
        row, column = tl.full((TILE,), 0, tl.int32), tile * TILE + element
    else:
        across = num_parts(share, COLUMNS)
        row = (tile // across) * (TILE // COLUMNS) + element // COLUMNS
        column = (tile % across) * COLUMNS + element % COLUMNS
    return row.to(tl.int64), column, (row < rows) & (column < share)


def compile_constants(
    function: DendriticFunction, dtype: torch.dtype, share: int, *, is_flat: bool
) -> dict[str, Any]:
    """Return the constants for which the kernels of a dendritic function are compiled.

    Args:
        function: Shape of the inner network.
        dtype: Type of the arguments.
        share: Units of a cell type.
        is_flat: Whether everything is one row without gaps.
    """
    is_relu = function.inner == "relu"
    return {
        "HIDDEN": function.hidden,
        "IS_RELU": is_relu,
        # Where all units are off, the two halves cancel: below the rounding of 16-bit numbers.
        "IS_ABSOLUTE": is_relu and dtype != torch.float32,
        "EACH": LOAD_BYTES // dtype.itemsize,
        **tile_constants(dtype, share, is_flat=is_flat),
    }


def tile_constants(dtype: torch.dtype, share: int, *, is_flat: bool) -> dict[str, Any]:
    """Return the constants of the tiles alone; see `compile_constants` for the arguments."""
    tile = LOAD_BYTES // dtype.itemsize * THREADS
    return {
        "COLUMNS": min(tile, 1 << (max(1, share) - 1).bit_length()),
        "TILE": tile,
        "IS_FLAT": is_flat,
    }


def matrix_size(matrices: list[Tensor], types: int) -> tuple[int, int, bool]:
    """Return rows, units of a cell type, and whether all is one row of one type without gaps."""
    rows, units = matrices[0].shape
    is_contiguous = all(matrix.is_contiguous() for matrix in matrices)
    # Columns are counted in 32 bits.
    if types == 1 and is_contiguous and rows * units < 2**31 - 2**20:
        return 1, rows * units, True
    return rows, units // types, False


def launch_grid(
    rows: int, share: int, types: int, programs: int, constants: dict[str, Any]
) -> tuple[int, int]:
    """Return how many programs share the tiles of each cell type, and the number of types."""
    columns, tile = constants["COLUMNS"], constants["TILE"]
    tiles = -(-rows // (tile // columns)) * -(-share // columns)
    return min(tiles, max(1, programs // types)), types
