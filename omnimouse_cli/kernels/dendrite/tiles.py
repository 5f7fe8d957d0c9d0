"""How matrices are cut into tiles, which the programs of a Triton kernel share."""

from typing import Any, NamedTuple

import triton
import triton.language as tl
from torch import Tensor

# A thread reads 16 bytes at once, 8 or 4 elements of a tile: sums over them need no other thread.
WARPS, THREADS = 4, 128
LOAD_BYTES = 16
# Options of every launch. Triton 3.10 contracts products and sums only where it is told to.
OPTIONS = {"num_warps": WARPS, "enable_fp_fusion": True}


# Functions of Triton's own library cannot be interpreted beside a Triton that compiles.
@triton.jit
def num_parts(count, size):
    """Return how many parts of a size cover a count."""
    return (count + size - 1) // size


@triton.jit
def tile_elements(
    tile, kind, rows, share, COLUMNS: tl.constexpr, TILE: tl.constexpr, IS_FLAT: tl.constexpr
):
    """Return row and column of every element of a cell type's tile, and which of them exist."""
    element = tl.arange(0, TILE)
    if IS_FLAT:
        row, column = tl.full((TILE,), 0, tl.int32), tile * TILE + element
        exists = column < share
    else:
        across = num_parts(share, COLUMNS)
        row = (tile // across) * (TILE // COLUMNS) + element // COLUMNS
        column = (tile % across) * COLUMNS + element % COLUMNS
        exists = (row < rows) & (column < share)
        column += kind * share
    return row.to(tl.int64), column, exists


class TiledSize(NamedTuple):
    """Size of the matrices of a kernel, as it is cut into tiles.

    Args:
        rows: Rows.
        share: Units of a cell type.
        is_flat: Whether everything is one row of one type without gaps.
        each: Elements of a tile that a thread computes.
    """

    rows: int
    share: int
    is_flat: bool
    each: int

    @property
    def constants(self) -> dict[str, Any]:
        """Constants for which a kernel is compiled."""
        tile = self.each * THREADS
        columns = min(tile, 1 << (max(1, self.share) - 1).bit_length())
        return {"COLUMNS": columns, "TILE": tile, "IS_FLAT": self.is_flat}

    def grid(self, types: int, programs: int) -> tuple[int, int]:
        """Return how many programs share the tiles of each cell type, and the number of types."""
        columns, tile = self.constants["COLUMNS"], self.constants["TILE"]
        tiles = -(-self.rows // (tile // columns)) * -(-self.share // columns)
        return min(tiles, max(1, programs // types)), types


def tiled_size(matrices: list[Tensor], types: int) -> TiledSize:
    """Return how matrices `(rows, units)` of equal size are cut into tiles.

    A thread reads 16 bytes of a matrix at once where Triton knows that they are aligned: where 16
    divides each number that is part of an address. Otherwise a thread has one element of a tile:
    the several elements that it gets then are no neighbours, and their sum would need other
    threads, which spills registers and crashes the compiler of Triton 3.8 and 3.9.
    """
    rows, units = matrices[0].shape
    is_contiguous = all(matrix.is_contiguous() for matrix in matrices)
    # Columns are counted in 32 bits.
    is_flat = types == 1 and is_contiguous and rows * units < 2**31 - 2**20
    if is_flat:
        rows, units = 1, rows * units
    share = units // types
    offsets = [matrix.data_ptr() for matrix in matrices]
    if not is_flat:
        offsets += [share, *(matrix.stride(0) for matrix in matrices)]
    is_aligned = all(offset % 16 == 0 for offset in offsets)
    return TiledSize(rows, share, is_flat, LOAD_BYTES // matrices[0].itemsize if is_aligned else 1)
