"""Blocks of the video encoder: attention within windows of patches, pooled between stages."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.model.blocks import norm, normalize_heads
from omnimouse_cli.model.feed_forward import FeedForward, FeedForwardFactory

# B batch, N tokens, W windows, S tokens of a window, H heads, D width of a head, C width of a token

POOLED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoBlockShape:
    """Widths, window and layout of a block.

    Args:
        width_in: Width of the input tokens.
        width: Width of the output tokens; where it differs, tokens are pooled 2 x 2.
        num_heads: Attention heads.
        hidden: Hidden width of the feed-forward.
        window: Tokens of an attention window, after pooling.
        drop_path: Share of clips whose update is dropped in training.
        layout: Order in which attention writes its results.
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

    def windows(self, x_BNC: Tensor) -> Tensor:
        """Return input tokens as `(batch, windows, tokens of a window, width_in)`."""
        tokens = self.window * (POOLED if self.pools else 1)
        return x_BNC.reshape(x_BNC.shape[0], -1, tokens, self.width_in)


class WindowAttention(nn.Module):
    """Attention within windows of neighbouring tokens.

    `aligned`: tokens come in the order (window, phase of the 2 x 2 block, position); queries
    of a block's four phases are pooled, and a result has the position of its queries.
    `reference`: windows are cut from an order that the published code pools four consecutive
    tokens in, and writes back position by position instead of window by window. The published
    weights of OmniMouse (ICLR 2026, arXiv 2604.18827) were trained with it.
    """

    def __init__(self, shape: VideoBlockShape) -> None:
        super().__init__()
        self.shape = shape
        self.query_key_value = nn.Linear(shape.width_in, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)

    def forward(self, x_BWSC: Tensor) -> Tensor:
        """Let the tokens of each window attend to each other.

        Args:
            x_BWSC: Normalized tokens `(batch, windows, tokens of a window, width_in)`.

        Returns:
            `(batch, tokens, width)`; a pooling block returns a quarter as many.
        """
        shape, (batch, num_windows) = self.shape, x_BWSC.shape[:2]
        pooled = POOLED if shape.pools else 1
        # Windows are items of a batch of their own.
        heads_WS3HD = self.query_key_value(x_BWSC.flatten(0, 1)).unflatten(
            -1, (3, shape.num_heads, -1)
        )
        q_WSHD, k_WSHD, v_WSHD = heads_WS3HD.unbind(2)
        if shape.layout == "reference":
            q_WSHD = q_WSHD.unflatten(1, (shape.window, pooled)).amax(2)
        else:
            q_WSHD = q_WSHD.unflatten(1, (pooled, shape.window)).amax(1)
        q_WHSD, k_WHSD = (normalize_heads(x).to(x.dtype).transpose(1, 2) for x in (q_WSHD, k_WSHD))
        read_WHSD = functional.scaled_dot_product_attention(q_WHSD, k_WHSD, v_WSHD.transpose(1, 2))
        read_BWSC = read_WHSD.transpose(1, 2).reshape(batch, num_windows, shape.window, shape.width)
        if shape.layout == "reference":
            read_BWSC = read_BWSC.transpose(1, 2)
        out_BNC: Tensor = self.out(read_BWSC.flatten(1, 2))
        return out_BNC


class VideoBlock(nn.Module):
    """Window attention and feed-forward; a block whose width grows pools 2 x 2 neighbours.

    Args:
        shape: Widths, window and layout.
        make_feed_forward: Creates the feed-forward.
    """

    def __init__(
        self, shape: VideoBlockShape, make_feed_forward: FeedForwardFactory = FeedForward
    ) -> None:
        super().__init__()
        self.shape = shape
        self.attention_norm = norm(shape.width_in)
        self.attention = WindowAttention(shape)
        self.feed_forward_norm = norm(shape.width)
        self.feed_forward = make_feed_forward(shape.width, shape.hidden)
        self.project = nn.Linear(shape.width_in, shape.width) if shape.pools else None

    def forward(self, x_BNC: Tensor, factors_2B11: Tensor | None = None) -> Tensor:
        """Transform tokens.

        Args:
            x_BNC: `(batch, tokens, width_in)`.
            factors_2B11: float32 `(2, batch, 1, 1)`, of `drop_path_factors`: what the updates of
                attention and of the feed-forward are multiplied by; None is 1.

        Returns:
            `(batch, tokens, width)`; a pooling block returns a quarter as many.
        """
        return self.transform_windows(self.shape.windows(x_BNC), factors_2B11)

    def transform_windows(self, x_BWSC: Tensor, factors_2B11: Tensor | None) -> Tensor:
        """Transform tokens `(batch, windows, tokens of a window, width_in)`; see `forward`."""
        normed_BWSC = self.attention_norm(x_BWSC)
        if self.project is None:
            x_BNC = x_BWSC.flatten(1, 2)
        else:
            # The residual stream stays in float32 also where products are in bfloat16.
            x_BNC = self._pool(self.project(normed_BWSC)).to(x_BWSC.dtype)
        x_BNC = x_BNC + _scaled(self.attention(normed_BWSC), factors_2B11, 0)
        update_BNC = self.feed_forward(self.feed_forward_norm(x_BNC))
        return x_BNC + _scaled(update_BNC, factors_2B11, 1)

    def _pool(self, x_BWSC: Tensor) -> Tensor:
        """Return the largest of each 2 x 2 neighbours, number by number."""
        shape, (batch, num_windows) = self.shape, x_BWSC.shape[:2]
        if shape.layout == "reference":
            x_BWSC = x_BWSC.reshape(batch, POOLED, num_windows * shape.window, shape.width)
            return x_BWSC.amax(1)
        phases = x_BWSC.reshape(batch, num_windows, POOLED, shape.window, shape.width)
        return phases.amax(2).flatten(1, 2)


def _scaled(update_BNC: Tensor, factors_2B11: Tensor | None, position: int) -> Tensor:
    return update_BNC if factors_2B11 is None else update_BNC * factors_2B11[position]


def drop_path_factors(rates_U: Tensor, num_clips: int) -> tuple[Tensor, ...]:
    """Draw which clips the updates of blocks are dropped for, and scale the others up.

    They are drawn for all blocks at once and outside of them: blocks of different rates then run
    the same code, and share what a compiler makes of it.

    Args:
        rates_U: float32 `(2 blocks,)`, share that is dropped of each update, two for each block.
        num_clips: Size of the batch.

    Returns:
        Of each block float32 `(2, batch, 1, 1)`: 0, or 1 / (1 - rate).
    """
    draws = torch.rand(len(rates_U), num_clips, 1, 1, device=rates_U.device)
    rates = rates_U.view(-1, 1, 1, 1)
    # Views would be compiled for: code depends on where in its storage a tensor begins.
    return tuple(factors.clone() for factors in torch.split((draws >= rates) / (1 - rates), 2))
