"""How a GPU's program walks over the tiles of a matrix; what every kernel here begins with."""

import triton
import triton.language as tl


# What Triton's own library has as kernels cannot be interpreted beside a Triton that compiles.
@triton.jit
def parts(count, size):
    """Give how many parts of a size something has."""
    return (count + size - 1) // size


@triton.jit
def tile_at(tile, rows, share, COLUMNS: tl.constexpr, TILE: tl.constexpr, IS_FLAT: tl.constexpr):
    """Give row and column of every element of a tile, and which of them exist."""
    element = tl.arange(0, TILE)
    if IS_FLAT:
        row, column = tl.full((TILE,), 0, tl.int32), tile * TILE + element
    else:
        # A division that walks over one long row do without.
        across = parts(share, COLUMNS)
        row = (tile // across) * (TILE // COLUMNS) + element // COLUMNS
        column = (tile % across) * COLUMNS + element % COLUMNS
    return row.to(tl.int64), column, (row < rows) & (column < share)
