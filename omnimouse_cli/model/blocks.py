"""Transformer blocks: attention with normed queries and keys, gated feed-forward, pre-norms."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.kernels.attention import AttentionMask, attention
from omnimouse_cli.model.feed_forward import FeedForward, Make
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.rotary import rotate

# B batch, L tokens, Q query tokens, K key tokens, H heads, D width of a head, M width of the model

EPSILON = 1e-5


class Angles(NamedTuple):
    """Cosines and sines of a sequence, `(tokens, head width / 2)` each."""

    cos: Tensor
    sin: Tensor


def hidden_width(width: int, multiplier: float, multiple: int) -> int:
    """Hidden width of a feed-forward: `multiplier * width`, rounded up to a `multiple`."""
    return math.ceil(width * multiplier / multiple) * multiple


def norm(width: int) -> nn.RMSNorm:
    """Give the normalisation that precedes every attention and feed-forward."""
    return nn.RMSNorm(width, eps=EPSILON)


def unit_norm(x: Tensor) -> Tensor:
    """Normalise the last dimension without weights, in float32."""
    return functional.rms_norm(x.float(), x.shape[-1:], eps=EPSILON)


def split_heads(x_BLM: Tensor, parts: int, num_heads: int) -> tuple[Tensor, ...]:
    """Split a projection into its parts (queries, keys, values), and each into heads.

    Returns:
        `parts` tensors `(batch, tokens, heads, width)`.
    """
    batch, tokens, width = x_BLM.shape
    return x_BLM.view(batch, tokens, parts, num_heads, width // (parts * num_heads)).unbind(2)


def attend(
    q_BQHD: Tensor,
    k_BKHD: Tensor,
    v_BKHD: Tensor,
    *,
    query_angles: Angles,
    key_angles: Angles,
    mask: AttentionMask,
) -> Tensor:
    """Attend over time-rotated, normed queries and keys.

    Returns:
        `(batch, query tokens, heads * width)`.
    """
    dtype = v_BKHD.dtype
    q_BQHD = rotate(unit_norm(q_BQHD), *query_angles).to(dtype)
    k_BKHD = rotate(unit_norm(k_BKHD), *key_angles).to(dtype)
    out_BHQD = attention(
        q_BQHD.transpose(1, 2), k_BKHD.transpose(1, 2), v_BKHD.transpose(1, 2), mask
    )
    return out_BHQD.transpose(1, 2).flatten(2)


class UpdateDropout(nn.Module):
    """Drops entries of residual updates in training, the same ones in every window of a batch.

    Sharing them between windows makes a tenth of the random numbers, which on a CPU take as long
    as a matrix product.

    Args:
        rate: Share that is dropped.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, update_BLM: Tensor) -> Tensor:
        """Drop entries and scale the others up."""
        if not self.training or self.rate == 0:
            return update_BLM
        kept_LM = torch.rand(update_BLM.shape[1:], device=update_BLM.device) >= self.rate
        return update_BLM * (kept_LM / (1 - self.rate)).to(update_BLM.dtype)


class SelfBlock(nn.Module):
    """A fusion layer: tokens read each other, then each is transformed.

    Args:
        width: Of the residual stream.
        num_heads: Of attention.
        hidden: Of the feed-forward.
        dropout: Share of residual updates dropped in training.
        make: Makes the feed-forward.
    """

    def __init__(
        self, width: int, num_heads: int, hidden: int, dropout: float, make: Make = FeedForward
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = norm(width)
        self.query_key_value = linear(width, 3 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.feed_forward_norm = norm(width)
        self.feed_forward = make(width, hidden)
        self.drop = UpdateDropout(dropout)

    def forward(self, x_BLM: Tensor, angles: Angles, mask: AttentionMask) -> Tensor:
        """Add what each token reads and computes."""
        qkv_BLM = self.query_key_value(self.attention_norm(x_BLM))
        q_BLHD, k_BLHD, v_BLHD = split_heads(qkv_BLM, 3, self.num_heads)
        read_BLM = attend(q_BLHD, k_BLHD, v_BLHD, query_angles=angles, key_angles=angles, mask=mask)
        x_BLM = x_BLM + self.drop(self.out(read_BLM))
        out: Tensor = x_BLM + self.drop(self.feed_forward(self.feed_forward_norm(x_BLM)))
        return out


class CrossBlock(nn.Module):
    """A reader: queries read a context, then each is transformed.

    Args:
        width: Of the residual stream.
        num_heads: Of attention.
        hidden: Of the feed-forward.
        dropout: Share of residual updates dropped in training.
        make: Makes the feed-forward.
    """

    def __init__(
        self, width: int, num_heads: int, hidden: int, dropout: float, make: Make = FeedForward
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.context_norm = norm(width)
        self.attention_norm = norm(width)
        self.query = linear(width, width, bias=False)
        self.key_value = linear(width, 2 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.feed_forward_norm = norm(width)
        self.feed_forward = make(width, hidden)
        self.drop = UpdateDropout(dropout)

    def forward(
        self,
        x_BQM: Tensor,
        context_BKM: Tensor,
        query_angles: Angles,
        key_angles: Angles,
        mask: AttentionMask,
    ) -> Tensor:
        """Add what each query reads and computes."""
        (q_BQHD,) = split_heads(self.query(self.attention_norm(x_BQM)), 1, self.num_heads)
        kv_BKM = self.key_value(self.context_norm(context_BKM))
        k_BKHD, v_BKHD = split_heads(kv_BKM, 2, self.num_heads)
        read_BQM = attend(
            q_BQHD, k_BKHD, v_BKHD, query_angles=query_angles, key_angles=key_angles, mask=mask
        )
        x_BQM = x_BQM + self.drop(self.out(read_BQM))
        out: Tensor = x_BQM + self.drop(self.feed_forward(self.feed_forward_norm(x_BQM)))
        return out
