"""What a projection's parts are, and what becomes of them on their way to attention."""

from collections.abc import Sequence
from typing import NamedTuple


class HeadShape(NamedTuple):
    """How a projection is cut into heads of attention.

    Args:
        parts: Queries, keys and values that lie side by side in it: all three, or some of them.
        normed: How many of them, the first ones, are normed and turned; values are not.
        num_heads: Of each part.
        pooled: Tokens whose queries become one, by their largest numbers; 1 leaves them.
        pools_neighbours: Whether those tokens are neighbours; else the first ones of all queries
            come first, then the second ones.
        epsilon: Added to a mean square.
    """

    parts: int
    normed: int
    num_heads: int
    pooled: int = 1
    pools_neighbours: bool = False
    epsilon: float = 1e-5

    @classmethod
    def of_numbers(cls, numbers: Sequence[int], epsilon: float) -> "HeadShape":
        """Make one of what an operator is given."""
        parts, normed, num_heads, pooled, pools_neighbours = numbers
        return cls(parts, normed, num_heads, pooled, bool(pools_neighbours), epsilon)

    @property
    def numbers(self) -> list[int]:
        """All but epsilon, as an operator is given them."""
        return [self.parts, self.normed, self.num_heads, self.pooled, int(self.pools_neighbours)]

    def head_width(self, columns: int) -> int:
        """Give the width of a head of a projection of so many columns."""
        return columns // (self.parts * self.num_heads)

    def shapes(self, projection: Sequence[int]) -> list[tuple[int, int, int, int]]:
        """Give the shape `(batch, heads, tokens, width)` of each part of a projection."""
        batch, tokens, columns = projection
        counts = [tokens // self.pooled, *[tokens] * (self.parts - 1)]
        return [(batch, self.num_heads, count, self.head_width(columns)) for count in counts]
