"""Attention by groups of queries, for CPUs: each group reads only the keys that it sees."""

from itertools import compress
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.attention.intervals import Intervals, overlap

# B batch, H heads, Q queries, K keys, D width of a head

# Where a larger share of all pairs is visible, one dense product is faster.
MAX_VISIBLE_SHARE = 0.6


class GroupedMask(NamedTuple):
    """Neighbouring queries that see the same keys.

    Args:
        queries: Number of queries of each group, in order.
        counts: Number of keys that each group sees; None is all of them.
        keys: int64 indices of the keys of groups that do not see all, group after group.
    """

    queries: tuple[int, ...]
    counts: tuple[int | None, ...]
    keys: Tensor

    @property
    def nbytes(self) -> int:
        """Memory of the mask."""
        return self.keys.nbytes


def grouped_mask(queries: Intervals, keys: Intervals, device: torch.device) -> GroupedMask | None:
    """Build the mask of two token sequences; None where groups are not faster."""
    groups = _groups(queries, keys)
    if groups is None:
        return None
    counts = torch.tensor([key.tokens for key in keys])
    parts = [
        None if all(visible) else torch.tensor(visible).repeat_interleave(counts).nonzero()[:, 0]
        for _, visible in groups
    ]
    # At least one group does not see all: otherwise there would be no mask.
    numbers = torch.cat([part for part in parts if part is not None])
    return GroupedMask(
        queries=tuple(size for size, _ in groups),
        counts=tuple(None if part is None else len(part) for part in parts),
        keys=numbers.to(device),
    )


def computed_pairs(queries: Intervals, keys: Intervals) -> int:
    """Count the pairs of query and key that a CPU multiplies."""
    groups = _groups(queries, keys)
    counts = [key.tokens for key in keys]
    if groups is None:
        return sum(query.tokens for query in queries) * sum(counts)
    return sum(size * sum(compress(counts, visible)) for size, visible in groups)


def copied_tokens(queries: Intervals, keys: Intervals) -> int:
    """Count the tokens that a CPU copies: keys, values and results of groups."""
    groups = _groups(queries, keys)
    if groups is None or all(all(visible) for _, visible in groups):
        return 0
    counts = [key.tokens for key in keys]
    selected = sum(sum(compress(counts, visible)) for _, visible in groups if not all(visible))
    return 2 * selected + sum(size for size, _ in groups)


def _groups(queries: Intervals, keys: Intervals) -> list[tuple[int, tuple[bool, ...]]] | None:
    """Return neighbouring queries that see the same keys; None where groups are not faster."""
    groups: list[tuple[int, tuple[bool, ...]]] = []
    for query in queries:
        visible = tuple(overlap(key, query) for key in keys)
        if groups and groups[-1][1] == visible:
            groups[-1] = (groups[-1][0] + query.tokens, visible)
        elif query.tokens:
            groups.append((query.tokens, visible))
    counts = [key.tokens for key in keys]
    pairs = sum(size * sum(compress(counts, visible)) for size, visible in groups)
    total = sum(counts) * sum(size for size, _ in groups)
    return None if pairs > MAX_VISIBLE_SHARE * total else groups


def grouped_attention(q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: GroupedMask) -> Tensor:
    """Compute attention, with zeros in output and gradient for queries that see nothing.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, same shape as keys.
        mask: Which keys each group of queries sees.

    Returns:
        `(batch, heads, queries, width)`.
    """
    counts = [count for count in mask.counts if count is not None]
    selected = [torch.split(_select(x, mask.keys), counts, dim=2) for x in (k_BHKD, v_BHKD)]
    visible = zip(*selected, strict=True)
    parts = []
    groups = torch.split(q_BHQD, list(mask.queries), dim=2)
    for group_BHQD, count in zip(groups, mask.counts, strict=True):
        keys, values = (k_BHKD, v_BHKD) if count is None else next(visible)
        if count == 0:
            parts.append(torch.zeros_like(group_BHQD))
        else:
            parts.append(functional.scaled_dot_product_attention(group_BHQD, keys, values))
    # Laid out as the tokens are, so that the heads of a token are joined without a copy.
    return torch.cat([part.transpose(1, 2) for part in parts], dim=1).transpose(1, 2)


def _select(x_BHKD: Tensor, keys: Tensor) -> Tensor:
    """Select keys or values by number; all heads of a token are copied as one piece."""
    batch, heads, _, width = x_BHKD.shape
    x_BKM = x_BHKD.transpose(1, 2).flatten(2).index_select(1, keys)
    return x_BKM.view(batch, len(keys), heads, width).transpose(1, 2)
