"""The layout of a lookup table: a regular grid, and rings of growing distance around it."""

from typing import NamedTuple

# Around the grid, four for each of four doublings of its size.
RINGS, RINGS_PER_OCTAVE = 16, 4
SIDES = 4
# Cells are counted in float32 and have to stay far below 2^24.
MAX_CELLS = 2048
# Of an element on the grid, a product with its sum as two: for its cell two and for its value
# three; backward two, three for its slopes, and four that take them to the arguments' gradients.
FORWARD_FLOPS, BACKWARD_FLOPS = 2 * (2 + 3), 2 * (2 + 3 + 4)


# Bilinear, because bicubic pieces were no better for what they cost: with 256 cells they halve the
# error of relu's kinks, and take 1.9 times as long in a table of twice the size; with 512 cells
# bilinear ones have a third of it, in a table of four times the size, and take 1.2 times as long.
class Grid(NamedTuple):
    """Regular grid points of two arguments, and rows that continue beyond them.

    A table has a row for each of `cells + 1` values of the first argument, and in it an entry for
    each of `cells` intervals of the second: the value at its start, and the difference to the
    value at its end. Between grid points the table is bilinear. Below them there are `RINGS + 1`
    rows for each side of the grid (first argument positive, negative, second positive, negative),
    whose columns lie along that side: values at the side, and at 1 1/4, 1 1/2, 1 3/4, 2, 2 1/2, ...
    of its distance from the origin. On a ray from the origin, values between two rows are a
    straight line, and the line from the last row but one to the last goes on for ever.

    Args:
        cells: Intervals along each argument, an even number.
        limit: The largest argument of the grid, which begins at `-limit`.

    Example:
        >>> Grid(64, 4.0).num_rows
        133
    """

    cells: int = 256
    limit: float = 4.0

    @property
    def num_rows(self) -> int:
        """Rows of a table."""
        return self.cells + 1 + SIDES * (RINGS + 1)

    @property
    def half(self) -> int:
        """Cells from the middle to a side."""
        return self.cells // 2


def ring_distance(ring: int) -> float:
    """Return the distance at which a ring begins, in units of the grid's limit.

    Example:
        >>> [ring_distance(ring) for ring in (0, 1, 3, 4, 5)]
        [1.0, 1.25, 1.75, 2.0, 2.5]
    """
    octave, quarter = divmod(ring, RINGS_PER_OCTAVE)
    return 2.0**octave * (1 + quarter / RINGS_PER_OCTAVE)
