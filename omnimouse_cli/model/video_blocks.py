"""Blocks of the video encoder: attention within windows of patches, pooled between stages."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.kernels.products import HeadShape, project_heads, update_tokens
from omnimouse_cli.model.blocks import EPSILON, Norm
from omnimouse_cli.model.feed_forward import FeedForward, Make

# B batch, N tokens, W windows of a batch item, S tokens of a window, P pooled together,
# H heads, D width of a head, C width of the tokens

POOLED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoBlockShape:
    """What a block is.

    Args:
        width_in: Of the tokens that come.
        width: Of the tokens that leave; another width pools them 2 x 2.
        num_heads: Of attention.
        hidden: Of the feed-forward.
        window: Tokens that see each other, after pooling.
        drop_path: Share of windows' clips whose update is dropped in training.
        layout: Where attention writes its results.
    """

    width_in: int
    width: int
    num_heads: int
    hidden: int
    window: int
    drop_path: float
    layout: Literal["aligned", "reference"]

    @property
    def pools(self) -> bool:
        """Whether the block merges 2 x 2 neighbours."""
        return self.width != self.width_in


class WindowAttention(nn.Module):
    """Attention within windows of neighbouring tokens.

    `aligned`: tokens come in the order (window, phase of the 2 x 2 block, place); queries of a
    block's four phases are pooled, and the result stands where its queries stood.
    `reference`: windows are cut from an order that the published code pools four consecutive
    tokens in, and writes back place by place instead of window by window; see the reference,
    section 2.4. Imported weights are used to it.
    """

    def __init__(self, shape: VideoBlockShape) -> None:
        super().__init__()
        self.shape = shape
        self.heads = HeadShape(
            parts=3,
            normed=2,
            num_heads=shape.num_heads,
            pooled=POOLED if shape.pools else 1,
            pools_neighbours=shape.layout == "reference",
            epsilon=EPSILON,
        )
        self.query_key_value = nn.Linear(shape.width_in, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x_BNC: Tensor, norm: Norm) -> Tensor:
        """Let the normed tokens of each window read each other.

        Returns:
            Of items, which are windows or clips, `(items, heads, tokens, head width)`.
        """
        shape, batch = self.shape, x_BNC.shape[0]
        # Windows are items of a batch of their own.
        windows = x_BNC.reshape(-1, self.heads.pooled * shape.window, shape.width_in)
        q, k, v = project_heads(windows, norm.and_then(self.query_key_value), self.heads)
        read_BWHSD = functional.scaled_dot_product_attention(q, k, v)
        if shape.layout == "aligned":
            return read_BWHSD
        read_BWSC = read_BWHSD.transpose(1, 2).reshape(batch, -1, shape.window, shape.width)
        read_BNC = read_BWSC.transpose(1, 2).reshape(batch, -1, shape.width)
        by_head = read_BNC.view(batch, -1, shape.num_heads, shape.width // shape.num_heads)
        return by_head.transpose(1, 2)


class VideoBlock(nn.Module):
    """Window attention and feed-forward; a block whose width grows pools 2 x 2 neighbours."""

    def __init__(self, shape: VideoBlockShape, make: Make = FeedForward) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = Norm(shape.width_in)
        self.attention = WindowAttention(shape)
        self.feed_forward_norm = Norm(shape.width)
        self.feed_forward = make(shape.width, shape.hidden)
        self.project = nn.Linear(shape.width_in, shape.width) if shape.pools else None

    def forward(self, x_BNC: Tensor) -> Tensor:
        """Transform the tokens; a pooling block returns a quarter as many."""
        residual_BNC = x_BNC
        if self.project is not None:
            # The residual stream stays in float32 also where products are in bfloat16.
            residual_BNC = self._pooled(x_BNC, self.project).to(x_BNC.dtype)
        read = self.attention(x_BNC, self.attention_norm)
        out, drops = self.attention.out, self.training and self.shape.drop_path > 0
        weights = self.feed_forward.update_weights(out, self.feed_forward_norm)
        if weights is not None and not drops:
            items, _, tokens, _ = read.shape
            windows = residual_BNC.reshape(items, tokens, self.shape.width)
            return update_tokens(windows, read, weights).view_as(residual_BNC)
        read_BNC = read.transpose(1, 2).reshape(residual_BNC.shape)
        x_BNC = residual_BNC + self._drop(out(read_BNC))
        updated_BNC: Tensor = x_BNC + self._drop(self.feed_forward(self.feed_forward_norm(x_BNC)))
        return updated_BNC

    def _pooled(self, x_BNC: Tensor, project: nn.Linear) -> Tensor:
        """Project normed tokens, and pool 2 x 2 of them: the largest of each number."""
        shape, batch = self.shape, x_BNC.shape[0]
        together = x_BNC.shape[1] if shape.layout == "reference" else POOLED * shape.window
        windows = x_BNC.reshape(-1, together, shape.width_in)
        one_head = HeadShape(parts=1, normed=0, num_heads=1, pooled=POOLED)
        (pooled,) = project_heads(windows, self.attention_norm.and_then(project), one_head)
        return pooled.reshape(batch, -1, shape.width)

    def _drop(self, update_BNC: Tensor) -> Tensor:
        rate = self.shape.drop_path
        if not self.training or rate == 0:
            return update_BNC
        kept = torch.rand(update_BNC.shape[0], 1, 1, device=update_BNC.device) >= rate
        return update_BNC * (kept / (1 - rate))
