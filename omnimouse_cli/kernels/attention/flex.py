"""FlexAttention with block masks, for CUDA: hidden blocks are not computed."""

from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any, cast

import torch
from torch import Tensor
from torch.fx.experimental import _config as symbolic_shapes
from torch.nn import functional
from torch.nn.attention.flex_attention import (
    BlockMask,
    create_block_mask,
    flex_attention,
)

from omnimouse_cli.kernels.attention.intervals import Interval, Intervals, bounds

# B batch, H heads, Q queries, K keys, D width of a head

# Compiled for any length, the forward kernel of 64-wide heads spills 352 bytes of registers with
# the usual 4 warps, and none with 8. Another kernel, for few queries, would be compiled beside it.
KERNEL_OPTIONS = {"fwd_num_warps": 8, "FORCE_USE_FLEX_ATTENTION": True}
# FlexAttention is compiled once more for fewer queries than this, and again for a single one.
MIN_TOKENS = 128


def block_mask(queries: Intervals, keys: Intervals, device: torch.device) -> BlockMask:
    """Build the mask of two token sequences, each extended to `MIN_TOKENS` by hidden tokens."""
    starts_Q, ends_Q = _padded_bounds(queries, device)
    starts_K, ends_K = _padded_bounds(keys, device)

    def overlap(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return ~((ends_K[key] <= starts_Q[query]) | (starts_K[key] >= ends_Q[query]))

    mask = create_block_mask(
        overlap, B=None, H=None, Q_LEN=len(starts_Q), KV_LEN=len(starts_K), device=str(device)
    )
    for kind in ("kv", "full_kv", "q", "full_q"):
        _pad_blocks(mask, kind)
    return mask


def pad_tokens(x: Tensor, dim: int) -> Tensor:
    """Extend a dimension of tokens by zeros to `MIN_TOKENS`, as a block mask is extended."""
    missing = max(0, MIN_TOKENS - x.shape[dim])
    return functional.pad(x, (0, 0) * (x.dim() - 1 - dim % x.dim()) + (0, missing))


def _padded_bounds(intervals: Intervals, device: torch.device) -> tuple[Tensor, Tensor]:
    starts, ends = bounds(intervals, device)
    missing = max(0, MIN_TOKENS - len(starts))
    # An interval that starts after and ends before all others overlaps with none.
    limits = torch.iinfo(starts.dtype)
    return (
        functional.pad(starts, (0, missing), value=limits.max),
        functional.pad(ends, (0, missing), value=limits.min),
    )


def _pad_blocks(mask: BlockMask, kind: str) -> None:
    """Extend lists of blocks to two rows and two columns, of which the added ones are not used.

    torch.compile compiles anew for dimensions of size 1.
    """
    counts, indices = getattr(mask, f"{kind}_num_blocks"), getattr(mask, f"{kind}_indices")
    if counts is None:
        return
    rows, columns = (max(0, 2 - size) for size in indices.shape[-2:])
    setattr(mask, f"{kind}_num_blocks", functional.pad(counts, (0, rows)))
    setattr(mask, f"{kind}_indices", functional.pad(indices, (0, columns, 0, rows)))


@lru_cache(maxsize=256)
def full_mask(num_queries: int, num_keys: int, device: torch.device) -> BlockMask:
    """Return a mask that hides nothing."""
    queries, keys = ((Interval(0, 1, tokens),) for tokens in (num_queries, num_keys))
    # A cached mask outlives an evaluation; made in inference mode, it could not be trained with.
    with torch.inference_mode(mode=False):
        return block_mask(queries, keys, device)


@cache
def _compiled() -> Callable[..., Any]:
    # Without compilation FlexAttention stores every score. Lengths differ between strategies, so
    # the kernel is compiled for any length, also where two lengths are the same at first.
    symbolic_shapes.use_duck_shape = False
    return torch.compile(flex_attention, dynamic=True)


def flex(q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: BlockMask) -> Tensor:
    """Compute attention, with zeros in output and gradient for queries that see nothing.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, same shape as keys.
        mask: Which pairs are visible. Within compiled code, queries and keys already have its
            length (`pad_tokens`); elsewhere they are padded here.

    Returns:
        `(batch, heads, queries, width)`.
    """
    if torch.compiler.is_compiling():
        return _run(cast(Callable[..., Any], flex_attention), (q_BHQD, k_BHKD, v_BHKD), mask)
    heads = tuple(pad_tokens(x, -2) for x in (q_BHQD, k_BHKD, v_BHKD))
    return _run(_compiled(), heads, mask)[..., : q_BHQD.shape[-2], :]


def _run(run: Callable[..., Any], heads: tuple[Tensor, ...], mask: BlockMask) -> Tensor:
    return cast(Tensor, run(*heads, block_mask=mask, kernel_options=KERNEL_OPTIONS))
