"""Transformer blocks: attention with normed queries and keys, gated feed-forward, pre-norms."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnimouse_cli.kernels.attention import AttentionMask, attention
from omnimouse_cli.kernels.products import EntryWeights, HeadShape, project_heads, update_tokens
from omnimouse_cli.kernels.rows import rms_norm
from omnimouse_cli.model.feed_forward import FeedForward, Make
from omnimouse_cli.model.initialize import linear

# B batch, L tokens, Q query tokens, K key tokens, H heads, D width of a head, M width of the model

EPSILON = 1e-5


class Angles(NamedTuple):
    """Cosines and sines of a sequence, `(tokens, head width / 2)` each."""

    cos: Tensor
    sin: Tensor


def hidden_width(width: int, multiplier: float, multiple: int) -> int:
    """Hidden width of a feed-forward: `multiplier * width`, rounded up to a `multiple`."""
    return math.ceil(width * multiplier / multiple) * multiple


class Norm(nn.RMSNorm):
    """The normalisation that precedes every attention and feed-forward.

    Args:
        width: Of what is normalised.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Divide each token by the root of its mean square, and weigh it."""
        return rms_norm(x, self.weight, EPSILON)

    def and_then(self, projection: nn.Linear) -> EntryWeights:
        """Give the weights of this and of the projection into attention that follows it."""
        return EntryWeights(self.weight, projection.weight, projection.bias, EPSILON)


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


class Block(nn.Module):
    """What blocks have in common: what becomes of tokens once they have read."""

    out: nn.Linear
    feed_forward_norm: Norm
    feed_forward: FeedForward
    drop: UpdateDropout

    def update(self, x_BLM: Tensor, read_BHLD: Tensor) -> Tensor:
        """Add what each token read, and then what it computes of it."""
        weights = self.feed_forward.update_weights(self.out, self.feed_forward_norm)
        if weights is not None and not (self.training and self.drop.rate):
            return update_tokens(x_BLM, read_BHLD, weights)
        read_BLM = read_BHLD.transpose(1, 2).flatten(2)
        x_BLM = x_BLM + self.drop(self.out(read_BLM))
        out: Tensor = x_BLM + self.drop(self.feed_forward(self.feed_forward_norm(x_BLM)))
        return out


class SelfBlock(Block):
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
        self.heads = HeadShape(parts=3, normed=2, num_heads=num_heads, epsilon=EPSILON)
        self.attention_norm = Norm(width)
        self.query_key_value = linear(width, 3 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.feed_forward_norm = Norm(width)
        self.feed_forward = make(width, hidden)
        self.drop = UpdateDropout(dropout)

    def forward(self, x_BLM: Tensor, angles: Angles, mask: AttentionMask) -> Tensor:
        """Add what each token reads and computes."""
        weights = self.attention_norm.and_then(self.query_key_value)
        q_BHLD, k_BHLD, v_BHLD = project_heads(x_BLM, weights, self.heads, angles)
        return self.update(x_BLM, attention(q_BHLD, k_BHLD, v_BHLD, mask))


class CrossBlock(Block):
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
        self.query_heads = HeadShape(parts=1, normed=1, num_heads=num_heads, epsilon=EPSILON)
        self.key_value_heads = HeadShape(parts=2, normed=1, num_heads=num_heads, epsilon=EPSILON)
        self.context_norm = Norm(width)
        self.attention_norm = Norm(width)
        self.query = linear(width, width, bias=False)
        self.key_value = linear(width, 2 * width, bias=False)
        self.out = linear(width, width, bias=False)
        self.feed_forward_norm = Norm(width)
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
        of_query = self.attention_norm.and_then(self.query)
        of_context = self.context_norm.and_then(self.key_value)
        (q_BHQD,) = project_heads(x_BQM, of_query, self.query_heads, query_angles)
        k_BHKD, v_BHKD = project_heads(context_BKM, of_context, self.key_value_heads, key_angles)
        return self.update(x_BQM, attention(q_BHQD, k_BHKD, v_BHKD, mask))
