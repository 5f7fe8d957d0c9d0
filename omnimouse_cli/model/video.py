"""The video encoder, Hiera: patches in space and time, attention in windows, pooling, features."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from omnimouse_cli.config.model import ModelConfig, VideoConfig
from omnimouse_cli.model import initialize
from omnimouse_cli.model.activation_checkpointing import run_block
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.feed_forward import FeedForward, FeedForwardFactory
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.motion_energy import mask_frames
from omnimouse_cli.model.video_blocks import VideoBlock, VideoBlockShape, drop_path_factors

# B batch, T time steps, Y rows, X columns, N tokens, C channels, M width of the model


def block_shapes(config: ModelConfig) -> tuple[VideoBlockShape, ...]:
    """Return the shape of every block; drop path grows linearly over the blocks."""
    video = config.video
    total = sum(video.stages)
    window = video.mask_unit[0] * video.mask_unit[1]
    shapes: list[VideoBlockShape] = []
    for stage, blocks in enumerate(video.stages):
        for block in range(blocks):
            width = video.d_embed << stage
            pools = stage > 0 and block == 0
            shapes.append(
                VideoBlockShape(
                    width_in=width // 2 if pools else width,
                    width=width,
                    num_heads=video.num_heads << stage,
                    hidden=hidden_width(
                        width, config.feed_forward_multiplier, config.feed_forward_multiple
                    ),
                    window=window >> (2 * stage),
                    drop_path=video.drop_path * len(shapes) / max(1, total - 1),
                    layout=video.layout,
                )
            )
    return tuple(shapes)


class VideoEncoder(nn.Module):
    """60 frames to tokens `(time step, row, column)` of the model's width.

    Args:
        config: Configuration of the model.
        make_feed_forward: Creates the feed-forwards of its blocks.
    """

    def __init__(
        self, config: ModelConfig, make_feed_forward: FeedForwardFactory = FeedForward
    ) -> None:
        super().__init__()
        self.config = config.video
        time, rows, columns = config.video.grid
        self.patch = nn.Conv3d(
            1,
            config.video.d_embed,
            config.video.kernel,
            stride=config.video.stride,
            padding=config.video.padding,
        )
        self.position_in_space = nn.Parameter(torch.zeros(1, rows * columns, config.video.d_embed))
        self.position_in_time = nn.Parameter(torch.zeros(1, time, config.video.d_embed))
        shapes = block_shapes(config)
        self.blocks = nn.ModuleList(VideoBlock(shape, make_feed_forward) for shape in shapes)
        # Blocks whose rate is 0 draw no random numbers.
        self._is_dropped = [shape.drop_path > 0 for shape in shapes]
        rates = torch.tensor([shape.drop_path for shape in shapes if shape.drop_path > 0])
        self.register_buffer("drop_path_rates", rates.repeat_interleave(2), persistent=False)
        scaled = config.video.start == "scaled"
        for module in self.modules():
            initialize.video_(module, scaled=scaled)
        for position in (self.position_in_space, self.position_in_time):
            nn.init.trunc_normal_(position, std=initialize.POSITION_STD if scaled else 0.02)
        self.project = linear(config.video.d_output, config.d_model, bias=True)

    def forward(
        self,
        video_BTYX: Tensor,
        frames: tuple[int, int],
        steps: tuple[int, int],
        *,
        recomputes: bool = False,
    ) -> Tensor:
        """Encode the visible part of a clip.

        Args:
            video_BTYX: float32 `(batch, 60, height, width)`, normalized grey.
            frames: First visible frame, and the frame after the last one; later frames are never
                read, earlier ones only by the `reference` layout, as published.
            steps: First time step that is returned, and the step after the last one.
            recomputes: Whether blocks are computed again in the backward pass.

        Returns:
            `(batch, tokens, model width)`, in the order (time step, row, column).
        """
        if self.config.layout == "reference":
            x_BTYXC = self._patches(mask_frames(video_BTYX, (0, frames[1])))
            num_steps = x_BTYXC.shape[1]
            x_BNC = _order_reference(x_BTYXC, self.config.pooling)
            x_BNC = self._run(x_BNC, recomputes=recomputes)
            per_step = x_BNC.shape[1] // num_steps
            x_BNC = x_BNC[:, steps[0] * per_step : steps[1] * per_step]
        else:
            x_BTYXC = self._patches(mask_frames(video_BTYX, frames))[:, steps[0] : steps[1]]
            x_BNC = self._run(order_aligned(x_BTYXC, self.config), recomputes=recomputes)
            x_BNC = restore_aligned(x_BNC, self.config)
        out: Tensor = self.project(x_BNC)
        return out

    def _patches(self, video_BTYX: Tensor) -> Tensor:
        x_BCTYX: Tensor = self.patch(video_BTYX[:, None])
        time, rows, columns = x_BCTYX.shape[2:]
        in_space = self.position_in_space.view(1, 1, rows, columns, -1)
        position = in_space + self.position_in_time.view(1, time, 1, 1, -1)
        return x_BCTYX.movedim(1, -1) + position

    def _run(self, x_BNC: Tensor, *, recomputes: bool) -> Tensor:
        factors: Iterator[Tensor] = iter(())
        if self.training and any(self._is_dropped):
            rates = self.get_buffer("drop_path_rates")
            factors = iter(drop_path_factors(rates, x_BNC.shape[0]))
        for block, is_dropped in zip(self.blocks, self._is_dropped, strict=True):
            factor = next(factors, None) if is_dropped else None
            x_BNC = run_block(block, x_BNC, factor, recomputes=recomputes)
        return x_BNC


def order_aligned(x_BTYXC: Tensor, video: VideoConfig) -> Tensor:
    """Order tokens window by window, and in a window pooling block's phase by phase.

    Returns:
        `(batch, tokens, width)`, in the order (time, window row, window column, phases of the
        first pooling, of the second, ..., row, column).
    """
    batch, steps, rows, columns, width = x_BTYXC.shape
    unit_rows, unit_columns = video.mask_unit
    split = [2] * (len(video.stages) - 1)
    x = x_BTYXC.reshape(
        batch * steps,
        rows // unit_rows,
        unit_rows // video.pooling,
        *split,
        columns // unit_columns,
        unit_columns // video.pooling,
        *split,
        width,
    )
    return x.permute(_aligned_axes(len(split))).reshape(batch, -1, width)


def restore_aligned(x_BNC: Tensor, video: VideoConfig) -> Tensor:
    """Bring pooled tokens from window order to raster order `(time step, row, column)`."""
    batch, _, width = x_BNC.shape
    _, rows, columns = video.grid
    unit_rows, unit_columns = (size // video.pooling for size in video.mask_unit)
    x = x_BNC.view(
        -1,
        rows // video.mask_unit[0],
        columns // video.mask_unit[1],
        unit_rows,
        unit_columns,
        width,
    )
    return x.permute(0, 1, 3, 2, 4, 5).reshape(batch, -1, width)


def _aligned_axes(poolings: int) -> list[int]:
    """Axes (clip, window row, row, row phases, window column, column, column phases, width).

    A row is split as (position, phase of the last pooling, ..., phase of the first): neighbours are
    pooled first, so the first pooling's phase varies fastest, and is the slowest in the order.
    """
    row, column = 2, 4 + poolings
    phases = [
        axis
        for pooling in range(poolings)
        for axis in (row + poolings - pooling, column + poolings - pooling)
    ]
    return [0, 1, 3 + poolings, *phases, row, column, 5 + 2 * poolings]


def _order_reference(x_BTYXC: Tensor, pooling: int) -> Tensor:
    """Order tokens as published: (row phase, column phase, time, row, column)."""
    batch, steps, rows, columns, width = x_BTYXC.shape
    x = x_BTYXC.reshape(batch, steps, rows // pooling, pooling, columns // pooling, pooling, width)
    return x.permute(0, 3, 5, 1, 2, 4, 6).reshape(batch, -1, width)
