"""How matrices are cut into tiles for a GPU's threads."""

from typing import Any

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import DendriticFunction

# A thread reads 16 bytes at once, 8 or 4 elements of a tile: sums over them need no other thread.
WARPS, THREADS = 4, 128
LOAD_BYTES = 16


def constants_of(
    function: DendriticFunction, dtype: torch.dtype, share: int, *, is_flat: bool
) -> dict[str, Any]:
    """Give what the kernels are compiled for.

    Args:
        function: Of the inner network.
        dtype: Of the arguments.
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
        **walk_constants(dtype, share, is_flat=is_flat),
    }


def walk_constants(dtype: torch.dtype, share: int, *, is_flat: bool) -> dict[str, Any]:
    """Give what the walk over tiles is compiled for; the arguments are those of `constants_of`."""
    tile = LOAD_BYTES // dtype.itemsize * THREADS
    return {
        "COLUMNS": min(tile, 1 << (max(1, share) - 1).bit_length()),
        "TILE": tile,
        "IS_FLAT": is_flat,
    }


def sizes_of(matrices: list[Tensor], types: int) -> tuple[int, int, bool]:
    """Give rows and units of a type; matrices without gaps are one long row of one type."""
    rows, units = matrices[0].shape
    whole = all(matrix.is_contiguous() for matrix in matrices)
    # Places in a row are 32-bit numbers.
    if types == 1 and whole and rows * units < 2**31 - 2**20:
        return 1, rows * units, True
    return rows, units // types, False


def grid_of(
    rows: int, share: int, types: int, programs: int, constants: dict[str, Any]
) -> tuple[int, int]:
    """Give how many programs share the tiles of each type, and the types."""
    columns, tile = constants["COLUMNS"], constants["TILE"]
    tiles = -(-rows // (tile // columns)) * -(-share // columns)
    return min(tiles, max(1, programs // types)), types
