"""Attention and its masks; the backend is chosen here."""

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import BlockMask

from omnimouse_cli.kernels.attention.flex import block_mask, flex
from omnimouse_cli.kernels.attention.grouped import (
    GroupedMask,
    grouped_attention,
    grouped_mask,
)
from omnimouse_cli.kernels.attention.intervals import Intervals, all_visible
from omnimouse_cli.kernels.attention.mask_cache import MaskCache
from omnimouse_cli.kernels.attention.reference import DenseMask, dense_mask, reference_attention

AttentionMask = DenseMask | GroupedMask | BlockMask | None

# Masks on a CPU are dense; those of a published size take 100 MB each.
MASK_CACHE_BYTES = 2**30

# Compute capability of H100 and H200, and the backends of attention without a mask in the order in
# which they are tried there. No GPU has measured this order.
HOPPER = 9
HOPPER_BACKENDS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def _build(key: tuple[Intervals, Intervals, torch.device]) -> AttentionMask:
    queries, keys, device = key
    if all_visible(queries, keys):
        return None
    if device.type == "cuda":
        return block_mask(queries, keys, device)
    grouped = grouped_mask(queries, keys, device)
    return dense_mask(queries, keys, device) if grouped is None else grouped


def _size_bytes(mask: AttentionMask) -> int:
    if isinstance(mask, DenseMask):
        return mask.visible.nbytes
    if isinstance(mask, GroupedMask):
        return mask.nbytes
    # Indices of partial and of full blocks, for the forward and the backward pass.
    return 0 if mask is None else mask.kv_indices.nbytes * 4


_masks = MaskCache(_build, _size_bytes, MASK_CACHE_BYTES)


def interval_mask(queries: Intervals, keys: Intervals, device: torch.device) -> AttentionMask:
    """Return the mask of two token sequences on a device; None where everything is visible.

    Masks are cached by all that they depend on: the intervals of the tokens and the device.
    """
    # A cached mask outlives an evaluation; made in inference mode, it could not be trained with.
    with torch.inference_mode(mode=False):
        return _masks.get((queries, keys, device))


def attention(q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor, mask: AttentionMask) -> Tensor:
    """Compute attention with a mask of `interval_mask`; queries that see nothing get zeros.

    Args:
        q_BHQD: Queries `(batch, heads, queries, width)`.
        k_BHKD: Keys `(batch, heads, keys, width)`.
        v_BHKD: Values, same shape as keys.
        mask: Which pairs are visible; None is all.

    Returns:
        `(batch, heads, queries, width)`.
    """
    if isinstance(mask, BlockMask):
        return flex(q_BHQD, k_BHKD, v_BHKD, mask)
    if isinstance(mask, GroupedMask):
        grouped: Tensor = grouped_attention(q_BHQD, k_BHKD, v_BHKD, mask)
        return grouped
    if mask is None:
        return _dense_attention(q_BHQD, k_BHKD, v_BHKD)
    return reference_attention(q_BHQD, k_BHKD, v_BHKD, mask)


def _dense_attention(q_BHQD: Tensor, k_BHKD: Tensor, v_BHKD: Tensor) -> Tensor:
    if not _tries_cudnn(q_BHQD.device.type):
        return functional.scaled_dot_product_attention(q_BHQD, k_BHKD, v_BHKD)
    with sdpa_kernel(HOPPER_BACKENDS, set_priority=True):
        return functional.scaled_dot_product_attention(q_BHQD, k_BHKD, v_BHKD)


# Asked once for each compilation.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _tries_cudnn(device_type: str) -> bool:
    """Whether the device is a GPU of that capability, and cuDNN is not switched off."""
    if device_type != "cuda" or not torch.backends.cudnn.enabled:
        return False
    is_on: bool = torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]
    return is_on and torch.cuda.get_device_capability()[0] == HOPPER
