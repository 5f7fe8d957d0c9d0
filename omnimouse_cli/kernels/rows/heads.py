"""What a projection's parts are, and what becomes of them on their way to attention."""

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

    def tokens_of(self, part: int, tokens: int) -> int:
        """Count the tokens of a part where the projection has `tokens`."""
        return tokens // self.pooled if part == 0 else tokens
