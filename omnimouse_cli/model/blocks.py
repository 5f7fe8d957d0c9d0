"""Transformer blocks: attention with normalized queries and keys, gated feed-forward, pre-norms."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.kernels.attention import AttentionMask, attention
from omnimouse_cli.model.feed_forward import FeedForward, FeedForwardFactory
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.rotary import Angles, rotate

# B batch, L tokens, Q query tokens, K key tokens, H heads, D width of a head, M width of the model

EPSILON = 1e-5


def hidden_width(width: int, multiplier: float, multiple: int) -> int:
    """Hidden width of a feed-forward: `multiplier * width`, rounded up to a `multiple`."""
    return math.ceil(width * multiplier / multiple) * multiple


def norm(width: int) -> nn.RMSNorm:
    """Return the normalization that precedes every attention and feed-forward."""
    return nn.RMSNorm(width, eps=EPSILON)


def normalize_heads(x_BLHD: Tensor) -> Tensor:
    """Normalize each head of queries or keys by its root mean square, at least in float32."""
    x_BLHD = x_BLHD if x_BLHD.dtype == torch.float64 else x_BLHD.float()
    return functional.rms_norm(x_BLHD, x_BLHD.shape[-1:], eps=EPSILON)


class ResidualDropout(nn.Module):
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
        # In this order, compiled code without dropout is the same in training and in evaluation.
        if self.rate == 0 or not self.training:
            return update_BLM
        kept_LM = torch.rand(update_BLM.shape[1:], device=update_BLM.device) >= self.rate
        return update_BLM * (kept_LM / (1 - self.rate)).to(update_BLM.dtype)


class SelfBlock(nn.Module):
    """A fusion layer: self-attention, then a feed-forward.

    Args:
        width: Width of the residual stream.
        num_heads: Attention heads.
        hidden: Hidden width of the feed-forward.
        dropout: Share of residual updates dropped in training.
        make_feed_forward: Creates the feed-forward.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        dropout: float,
        make_feed_forward: FeedForwardFactory = FeedForward,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm = norm(width)
        self.query_key_value = linear(width, 3 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.feed_forward_norm = norm(width)
        self.feed_forward = make_feed_forward(width, hidden)
        self.drop = ResidualDropout(dropout)

    def forward(self, x_BLM: Tensor, angles: Angles, mask: AttentionMask) -> Tensor:
        """Transform tokens.

        Args:
            x_BLM: `(batch, tokens, width)`.
            angles: Angles of the rotary position embedding (RoPE) of the tokens.
            mask: Which tokens see which.

        Returns:
            Same shape as `x_BLM`.
        """
        x_BLM = x_BLM + self.drop(self._attention(self.attention_norm(x_BLM), angles, mask))
        out_BLM: Tensor = x_BLM + self.drop(self.feed_forward(self.feed_forward_norm(x_BLM)))
        return out_BLM

    def transform_some(self, x_BLM: Tensor, angles: Angles, chosen_Q: Tensor) -> Tensor:
        """Transform some of the tokens; all tokens are keys, and every one is visible.

        Args:
            x_BLM: `(batch, tokens, width)`.
            angles: Angles of the rotary position embedding (RoPE) of all tokens.
            chosen_Q: int64 positions of the tokens that are returned.

        Returns:
            `(batch, chosen tokens, width)`: what `forward` without a mask returns of them.
        """
        normed_BLM: Tensor = self.attention_norm(x_BLM)
        width, heads = x_BLM.shape[2], self.num_heads
        weight = self.query_key_value.weight
        q_BQM = functional.linear(normed_BLM.index_select(1, chosen_Q), weight[:width])
        key_value_BLM = functional.linear(normed_BLM, weight[width:])
        q_BQHD = q_BQM.view(*q_BQM.shape[:2], heads, -1)
        k_BLHD, v_BLHD = key_value_BLM.view(*x_BLM.shape[:2], 2, heads, -1).unbind(2)
        of_chosen = Angles(angles.cos[chosen_Q], angles.sin[chosen_Q])
        read_BQM = attend((q_BQHD, k_BLHD, v_BLHD), (of_chosen, angles), None)
        x_BQM = x_BLM.index_select(1, chosen_Q) + self.drop(self.out(read_BQM))
        out_BQM: Tensor = x_BQM + self.drop(self.feed_forward(self.feed_forward_norm(x_BQM)))
        return out_BQM

    def _attention(self, x_BLM: Tensor, angles: Angles, mask: AttentionMask) -> Tensor:
        heads_BL3HD = self.query_key_value(x_BLM).unflatten(-1, (3, self.num_heads, -1))
        q_BLHD, k_BLHD, v_BLHD = heads_BL3HD.unbind(2)
        out_BLM: Tensor = self.out(attend((q_BLHD, k_BLHD, v_BLHD), (angles, angles), mask))
        return out_BLM


class CrossBlock(nn.Module):
    """Cross-attention from queries to a context, then a feed-forward.

    Args:
        width: Width of the residual stream.
        num_heads: Attention heads.
        hidden: Hidden width of the feed-forward.
        dropout: Share of residual updates dropped in training.
        make_feed_forward: Creates the feed-forward.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden: int,
        dropout: float,
        make_feed_forward: FeedForwardFactory = FeedForward,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.context_norm = norm(width)
        self.attention_norm = norm(width)
        self.query = linear(width, width, bias=False)
        self.key_value = linear(width, 2 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.feed_forward_norm = norm(width)
        self.feed_forward = make_feed_forward(width, hidden)
        self.drop = ResidualDropout(dropout)

    def forward(
        self,
        x_BQM: Tensor,
        context_BKM: Tensor,
        query_angles: Angles,
        key_angles: Angles,
        mask: AttentionMask,
    ) -> Tensor:
        """Transform queries.

        Args:
            x_BQM: `(batch, queries, width)`.
            context_BKM: `(batch, keys, width)`.
            query_angles: Angles of the rotary position embedding (RoPE) of the queries.
            key_angles: The same of the context.
            mask: Which queries see which tokens of the context.

        Returns:
            Same shape as `x_BQM`.
        """
        normed_BQM, normed_BKM = self.attention_norm(x_BQM), self.context_norm(context_BKM)
        angles = (query_angles, key_angles)
        x_BQM = x_BQM + self.drop(self._attention(normed_BQM, normed_BKM, angles, mask))
        out_BQM: Tensor = x_BQM + self.drop(self.feed_forward(self.feed_forward_norm(x_BQM)))
        return out_BQM

    def _attention(
        self, x_BQM: Tensor, context_BKM: Tensor, angles: tuple[Angles, Angles], mask: AttentionMask
    ) -> Tensor:
        q_BQHD = self.query(x_BQM).unflatten(-1, (self.num_heads, -1))
        k_BKHD, v_BKHD = (
            self.key_value(context_BKM).unflatten(-1, (2, self.num_heads, -1)).unbind(2)
        )
        out_BQM: Tensor = self.out(attend((q_BQHD, k_BKHD, v_BKHD), angles, mask))
        return out_BQM


def attend(
    heads: tuple[Tensor, Tensor, Tensor], angles: tuple[Angles, Angles], mask: AttentionMask
) -> Tensor:
    """Compute attention with normalized and rotated queries and keys.

    Args:
        heads: Queries, keys and values, each `(batch, tokens, heads, head width)`.
        angles: Angles of the rotary position embedding (RoPE) of queries and of keys.
        mask: Which queries see which keys.

    Returns:
        `(batch, queries, heads x head width)`.
    """
    q_BQHD, k_BKHD, v_BKHD = heads
    # Norms and rotations are computed in float32 also where products are in bfloat16.
    q_BHQD, k_BHKD = (
        rotate(normalize_heads(x), turn).to(x.dtype).transpose(1, 2)
        for x, turn in zip((q_BQHD, k_BKHD), angles, strict=True)
    )
    return attention(q_BHQD, k_BHKD, v_BKHD.transpose(1, 2), mask).transpose(1, 2).flatten(2)
