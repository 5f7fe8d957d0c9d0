"""Scaled-dot-product attention with a dense mask in plain PyTorch, for CPUs and comparison."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.kernels.attention.intervals import Intervals, visible_pairs

# B batch, H heads, Q queries, K keys, D width of a head


class DenseMask(NamedTuple):
    """A mask of all pairs.

    Args:
        visible: bool `(queries, keys)`; all True for a query that sees no key.
        has_keys: bool `(queries, 1)`, False for queries that see no key; None if there are none.
    """

    visible: Tensor
    has_keys: Tensor | None


def dense_mask(queries: Intervals, keys: Intervals, device: torch.device) -> DenseMask:
    """Build the mask of two token sequences."""
    visible = visible_pairs(queries, keys, device)
    has_keys = visible.any(dim=1, keepdim=True)
    if bool(has_keys.all()):
        return DenseMask(visible, None)
    return DenseMask(visible | ~has_keys, has_keys)


def reference_attention(
    q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: DenseMask | None
) -> Tensor:
    """Compute attention, with zeros in output and gradient for queries that see nothing.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, same shape as keys.
        mask: Which pairs are visible; None is all.

    Returns:
        `(batch, heads, queries, width)`.
    """
    if mask is None:
        return functional.scaled_dot_product_attention(q_BHQD, k_BHKD, v_BHKD)
    out_BHQD = functional.scaled_dot_product_attention(
        q_BHQD, k_BHKD, v_BHKD, attn_mask=mask.visible
    )
    # Softmax over nothing is NaN: such queries attended to all keys, and are set to 0 here.
    return out_BHQD if mask.has_keys is None else out_BHQD * mask.has_keys.to(out_BHQD.dtype)
