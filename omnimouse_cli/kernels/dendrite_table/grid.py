"""Where the numbers of a table lie, and which of them an argument is between."""

from typing import NamedTuple

import torch
from torch import Tensor

# Around the grid, four for each of four doublings of its size; the extension has as many.
RINGS, RINGS_PER_OCTAVE = 16, 4
SIDES = 4
# Counted in float32, places have to stay far below 2^24.
MOST_CELLS = 2048
# Of an element on the grid, a product with its sum as two: for its place two and for its value
# three; backward two, three for its slopes, and four that take them to the arguments' gradients.
FORWARD_FLOPS, BACKWARD_FLOPS = 2 * (2 + 3), 2 * (2 + 3 + 4)

# ... any shape; of every element


# Bilinear, because bicubic pieces were no better for what they cost: with 256 cells they halve the
# error of relu's kinks, and take 1.9 times as long in a table of twice the size; with 512 cells
# bilinear ones have a third of it, in a table of four times the size, and take 1.2 times as long.
class Grid(NamedTuple):
    """Regular grid points of two arguments, and rows that continue beyond.

    A table has a row for each of `cells + 1` values of the first argument, and in it a place for
    each of `cells` intervals of the second: the value at its start, and what is to be added for
    that at its end. Between grid points it is bilinear. Behind them there are `RINGS + 1` rows for
    each side of the grid (first argument positive, negative, second positive, negative), whose
    columns lie along that side: values at the side, and at 1 1/4, 1 1/2, 1 3/4, 2, 2 1/2, ... of
    its distance from the origin. On a ray from the origin, values between two rows are a straight
    line, and the line from the last row but one to the last goes on for ever.

    Args:
        cells: Intervals along each argument, an even number.
        reach: The largest argument of the grid, which begins at `-reach`.

    Example:
        >>> Grid(64, 4.0).num_rows
        133
    """

    cells: int = 256
    reach: float = 4.0

    @property
    def num_rows(self) -> int:
        """Rows of a table."""
        return self.cells + 1 + SIDES * (RINGS + 1)

    @property
    def half(self) -> int:
        """Cells from the middle to a side."""
        return self.cells // 2


class Places(NamedTuple):
    """Where elements lie in a table.

    Args:
        first: Number of the first of four places: the next in its row follows from it, the two
            below are `cells` further.
        down: Part of the way to the row below; beyond the last ring it is more than the whole.
        right: Part of the way to the next place in the row.
    """

    first: Tensor
    down: Tensor
    right: Tensor


def places_of(a: Tensor, b: Tensor, grid: Grid) -> Places:
    """Find elements in a table; parts have gradients, and those are slopes of the interpolant.

    Args:
        a: First arguments, float32 or float64; NaN is found somewhere, and its part is NaN.
        b: Second arguments, as `a`.
        grid: Of the table.
    """
    is_first = a.abs() >= b.abs()
    main, other = torch.where(is_first, a, b), torch.where(is_first, b, a)
    is_beyond = main.abs() > grid.reach
    size = torch.where(is_beyond, main.abs(), grid.reach)
    scale = grid.half / grid.reach
    along = torch.where(is_beyond, other * (grid.reach / size), b) * scale
    column = _below(along, grid)
    row = _below(a * scale, grid)
    distance = size / grid.reach
    ring = _ring(distance)
    octave, start = ring // RINGS_PER_OCTAVE, RINGS_PER_OCTAVE + ring % RINGS_PER_OCTAVE
    rings = torch.ldexp(distance, 2 - octave)
    down = torch.where(is_beyond, rings - start, a * scale - row)
    side = torch.where(is_first, (a < 0).int(), 2 + (b < 0).int())
    row_beyond = grid.cells + 1 + side * (RINGS + 1) + ring
    row = torch.where(is_beyond, row_beyond, row.long() + grid.half)
    return Places(row * grid.cells + column.long() + grid.half, down, along - column)


def _below(scaled: Tensor, grid: Grid) -> Tensor:
    cell = scaled.detach().floor().nan_to_num(nan=-grid.half)
    return cell.clamp(-grid.half, grid.half - 1)


def _ring(distance: Tensor) -> Tensor:
    """Give the ring of a distance of at least 1."""
    mantissa, exponent = torch.frexp(distance.detach())
    quarter = (2 * mantissa * RINGS_PER_OCTAVE).long() - RINGS_PER_OCTAVE
    return (RINGS_PER_OCTAVE * (exponent - 1) + quarter).clamp(0, RINGS - 1)


def distance_of(ring: int) -> float:
    """Give the distance at which a ring begins, in reaches.

    Example:
        >>> [distance_of(ring) for ring in (0, 1, 3, 4, 5)]
        [1.0, 1.25, 1.75, 2.0, 2.5]
    """
    octave, quarter = divmod(ring, RINGS_PER_OCTAVE)
    return 2.0**octave * (1 + quarter / RINGS_PER_OCTAVE)
