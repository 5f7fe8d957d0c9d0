"""The one place that chooses how products and what surrounds them are computed."""

import torch
from torch import Tensor

from omnimouse_cli.kernels.products.heads import HeadShape
from omnimouse_cli.kernels.products.operators import entry_operator, update_operator
from omnimouse_cli.kernels.products.reference import (
    reference_project_heads,
    reference_update_tokens,
)
from omnimouse_cli.kernels.products.weights import EntryWeights, UpdateWeights

# B batch, L tokens, H heads, D width of a head, M width of a token


# Wider products outgrow a core's own cache, and a library that cuts them into blocks is faster: an
# update took 1.0 times as long as plain PyTorch at 128 and 1.2 at 256, a way into attention 1.0 at
# 256 and 1.1 at 384.
WIDEST_ENTRY, WIDEST_UPDATE = 256, 128


def is_fused(widest: int, x: Tensor, *others: Tensor) -> bool:
    """Whether products of tokens are computed with what surrounds them, and not by PyTorch."""
    return (
        x.shape[-1] <= widest
        and all(each.device.type == "cpu" and each.dtype == torch.float32 for each in (x, *others))
        and not torch.is_autocast_enabled("cpu")
    )


def _keeps(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(x.requires_grad for x in tensors)


def project_heads(
    x_BLM: Tensor,
    weights: EntryWeights,
    shape: HeadShape,
    angles: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, ...]:
    """Norm tokens, project them, and cut the projection into normed and turned heads.

    Args:
        x_BLM: `(batch, tokens, width)`.
        weights: Of norm and projection.
        shape: What the parts of the projection are.
        angles: Cosines and sines `(tokens, head width / 2)` by which normed parts are turned; None
            leaves them.

    Returns:
        Each part `(batch, heads, tokens, head width)`; pooled queries have fewer tokens.
    """
    tensors = weights.tensors
    if not is_fused(WIDEST_ENTRY, x_BLM, *tensors, *(angles or ())):
        return reference_project_heads(x_BLM, weights, shape, angles)
    keeps = _keeps(x_BLM, *tensors)
    epsilons = [weights.epsilon, shape.epsilon]
    *parts, _ = entry_operator(x_BLM, tensors, list(angles or ()), shape.numbers, epsilons, keeps)
    return tuple(parts)


def update_tokens(x_BLM: Tensor, read_BHLD: Tensor, weights: UpdateWeights) -> Tensor:
    """Add to tokens what they read, and then what a SwiGLU feed-forward makes of them.

    Args:
        x_BLM: `(batch, tokens, width)`.
        read_BHLD: What the heads of attention gave them, `(batch, heads, tokens, head width)`.
        weights: Of projection, norm and feed-forward.

    Returns:
        As `x_BLM`.
    """
    tensors = weights.tensors
    if not is_fused(WIDEST_UPDATE, x_BLM, read_BHLD, *tensors):
        return reference_update_tokens(x_BLM, read_BHLD, weights)
    keeps = _keeps(x_BLM, read_BHLD, *tensors)
    out_BLM: Tensor = update_operator(x_BLM, read_BHLD, tensors, weights.epsilon, keeps)[0]
    return out_BLM
