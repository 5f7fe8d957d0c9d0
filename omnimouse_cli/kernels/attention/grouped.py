"""Attention group by group, for CPUs: queries of one time read only the few keys they see."""

from itertools import compress
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.attention.intervals import Intervals

# B batch, H heads, Q queries, K keys, D width of a head

# Beyond so many groups, or if they leave so little out, one dense product is faster.
MOST_GROUPS = 8
MOST_VISIBLE = 0.7


class GroupedMask(NamedTuple):
    """Neighbouring queries that see the same keys.

    Args:
        queries: Queries of each group, in order.
        keys: int64 numbers of the keys that each group sees; None is all of them.
    """

    queries: tuple[int, ...]
    keys: tuple[Tensor | None, ...]

    @property
    def nbytes(self) -> int:
        """Memory that the mask takes."""
        return sum(keys.nbytes for keys in self.keys if keys is not None)


def grouped_mask(queries: Intervals, keys: Intervals, device: torch.device) -> GroupedMask | None:
    """Build the mask of two token sequences; None where groups would not be worth it."""
    groups = _groups(queries, keys)
    if groups is None:
        return None
    counts = torch.tensor([key.tokens for key in keys])
    return GroupedMask(
        queries=tuple(size for size, _ in groups),
        keys=tuple(
            None
            if all(seen)
            else torch.tensor(seen).repeat_interleave(counts).nonzero()[:, 0].to(device)
            for _, seen in groups
        ),
    )


def computed_pairs(queries: Intervals, keys: Intervals) -> int:
    """Count the pairs of query and key that a CPU multiplies."""
    groups = _groups(queries, keys)
    counts = [key.tokens for key in keys]
    if groups is None:
        return sum(query.tokens for query in queries) * sum(counts)
    return sum(size * sum(compress(counts, seen)) for size, seen in groups)


def _groups(queries: Intervals, keys: Intervals) -> list[tuple[int, tuple[bool, ...]]] | None:
    """Find neighbouring queries that see the same keys; None where that would not be worth it."""
    groups: list[tuple[int, tuple[bool, ...]]] = []
    for query in queries:
        seen = tuple(key.end > query.start and key.start < query.end for key in keys)
        if groups and groups[-1][1] == seen:
            groups[-1] = (groups[-1][0] + query.tokens, seen)
        elif query.tokens:
            groups.append((query.tokens, seen))
    counts = [key.tokens for key in keys]
    pairs = sum(size * sum(compress(counts, seen)) for size, seen in groups)
    total = sum(counts) * sum(size for size, _ in groups)
    return None if len(groups) > MOST_GROUPS or pairs > MOST_VISIBLE * total else groups


# Groups differ between strategies; a compiler would start anew for each of them.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def grouped_attention(q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: GroupedMask) -> Tensor:
    """Attend, with zeros in output and gradient for queries that see nothing.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, as keys.
        mask: Which keys each group of queries sees.

    Returns:
        `(batch, heads, queries, width)`.
    """
    parts = []
    for group_BHQD, index_K in zip(
        torch.split(q_BHQD, list(mask.queries), dim=2), mask.keys, strict=True
    ):
        if index_K is None:
            part = functional.scaled_dot_product_attention(group_BHQD, k_BHKD, v_BHKD)
        elif len(index_K) == 0:
            part = torch.zeros_like(group_BHQD)
        else:
            part = functional.scaled_dot_product_attention(
                group_BHQD, k_BHKD.index_select(2, index_K), v_BHKD.index_select(2, index_K)
            )
        parts.append(part)
    return torch.cat(parts, dim=2)
