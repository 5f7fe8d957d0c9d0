"""FlexAttention with block masks, for CUDA: hidden blocks are not computed."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from omnimouse_cli.kernels.attention.intervals import Intervals, bounds

# B batch, H heads, Q queries, K keys, D width of a head


def block_mask(queries: Intervals, keys: Intervals, device: torch.device) -> BlockMask:
    """Build the mask of two token sequences."""
    starts_Q, ends_Q = bounds(queries, device)
    starts_K, ends_K = bounds(keys, device)

    def overlap(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return ~((ends_K[key] <= starts_Q[query]) | (starts_K[key] >= ends_Q[query]))

    return create_block_mask(
        overlap, B=None, H=None, Q_LEN=len(starts_Q), KV_LEN=len(starts_K), device=str(device)
    )


@cache
def _compiled() -> Callable[..., Any]:
    # Without compilation FlexAttention stores every score. Lengths differ between strategies, so
    # the kernel is compiled for any length.
    return torch.compile(flex_attention, dynamic=True)


def flex(q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: BlockMask | None) -> Tensor:
    """Compute attention, with zeros in output and gradient for queries that see nothing.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, same shape as keys.
        mask: Which pairs are visible; None is all.

    Returns:
        `(batch, heads, queries, width)`.
    """
    traced = torch.compiler.is_compiling()
    run = cast(Callable[..., Any], flex_attention) if traced else _compiled()
    return cast(Tensor, run(q_BHQD, k_BHKD, v_BHKD, block_mask=mask))
