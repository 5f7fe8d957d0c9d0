"""Scaled-dot-product attention with a dense mask: plain PyTorch, for CPUs and as the yardstick."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.attention.intervals import Intervals, visible_pairs

# B batch, H heads, Q queries, K keys, D width of a head


class DenseMask(NamedTuple):
    """A mask as a table.

    Args:
        visible: bool `(queries, keys)`; a query without any visible key has all of them here.
        answered: bool `(queries, 1)`, False for queries without any visible key; None if every
            query has one.
    """

    visible: Tensor
    answered: Tensor | None


def dense_mask(queries: Intervals, keys: Intervals, device: torch.device) -> DenseMask:
    """Build the mask of two token sequences."""
    visible = visible_pairs(queries, keys, device)
    answered = visible.any(dim=1, keepdim=True)
    if bool(answered.all()):
        return DenseMask(visible, None)
    return DenseMask(visible | ~answered, answered)


def reference_attention(
    q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: DenseMask | None
) -> Tensor:
    """Attend, with zeros in output and gradient for queries that see nothing.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, as keys.
        mask: Which pairs are visible; None is all.

    Returns:
        `(batch, heads, queries, width)`.
    """
    if mask is None:
        return functional.scaled_dot_product_attention(q_BHQD, k_BHKD, v_BHKD)
    out_BHQD = functional.scaled_dot_product_attention(
        q_BHQD, k_BHKD, v_BHKD, attn_mask=mask.visible
    )
    # Softmax over nothing is NaN: such rows looked at everything, and are dropped here.
    return out_BHQD if mask.answered is None else out_BHQD * mask.answered.to(out_BHQD.dtype)
