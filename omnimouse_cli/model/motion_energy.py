"""A fixed pyramid of motion energies, by position, scale, orientation and direction."""

import math
from functools import reduce

import torch
from torch import Tensor, nn

from omnimouse_cli.config.data import NUM_FRAMES, RESPONSE_RATE_HZ
from omnimouse_cli.config.model import MOTION_ENVELOPE, ORIENTATIONS, VideoConfig, num_energies
from omnimouse_cli.model.gabors import RESPONSES, SEPARABLE, Gabors, num_positions

# B batch, T frames, Y rows and X columns of pixels, R rows and Q columns of positions, F features,
# S time steps, K prompt and late, G filters in time x scales, O orientations, D directions (before
# G: filters in time), V rows of pixels x K x time steps x windows, J time steps x windows x columns
# of positions

# Frames are averaged over POOL x POOL pixels.
POOL = 2
# Energies change slowly: every second frame is a time step.
TIMES = range(1, NUM_FRAMES, 2)
# Adelson & Bergen (1985): a prompt and a late filter of gamma shape, a quarter of a cycle apart,
# each less a share of one whose order is higher by REBOUND_ORDER: a phase of opposite sign follows.
TIME_CONSTANT_SECONDS = 0.045
PROMPT_ORDER, LATE_ORDER, REBOUND_ORDER = 1, 3, 2
# Below this contrast, as a mean energy, responses are not normalized: noise is not amplified.
HALF_SATURATION = 0.5


class MotionEnergy(nn.Module):
    """Gabor quadrature pairs in space and time, squared and summed; nothing in it is learned.

    Source: Adelson & Bergen, J. Opt. Soc. Am. A 2 (1985), for the energy; Nishimoto et al., Current
    Biology 21 (2011), for the pyramid as a basis of encoding models.

    Args:
        wavelengths: Wavelengths of the Gabors, in pixels of a frame.
        video: Configuration of the video encoder, with the size of frames.
        time_constants: Time constants of the filters in time, in seconds. With several, energies
            of a grating tell its temporal frequency, as in the pyramid of Nishimoto et al.
        envelope: Standard deviation of a Gabor's envelope over its wavelength.
        transience: Share of the area of a filter in time that its later phase takes back.
    """

    def __init__(
        self,
        wavelengths: tuple[float, ...],
        video: VideoConfig,
        time_constants: tuple[float, ...] = (TIME_CONSTANT_SECONDS,),
        envelope: float = MOTION_ENVELOPE,
        transience: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_features = num_energies(wavelengths, time_constants)
        self.grid = energy_grid(video)
        self.scales = nn.ModuleList(
            Gabors(each / POOL, downsampled_size(video), envelope) for each in wavelengths
        )
        filters_DKST = torch.stack([_temporal_filters(each, transience) for each in time_constants])
        self.register_buffer("prompt_and_late", filters_DKST, persistent=False)

    def forward(
        self, video_BTYX: Tensor, frames: tuple[int, int], num_steps: int = len(TIMES)
    ) -> Tensor:
        """Return the energies of a clip; the mean of a scale over a screen of high contrast is 1.

        Args:
            video_BTYX: float32 `(batch, 60, height, width)`, normalized grey.
            frames: First visible frame, and the frame after the last one; others are mean grey.
            num_steps: Time steps that are computed, from the first on; later frames do not matter.

        Returns:
            float32 `(batch, num_steps, features, rows, columns)`, at TIMES.
        """
        video_BTYX = mask_frames(video_BTYX, frames)
        num_frames = TIMES[num_steps - 1] + 1
        pixels_BTYX = downsample(video_BTYX[:, :num_frames])
        parts = [
            energy_ODRJ
            for filters_KST in self.get_buffer("prompt_and_late")
            for pixels_VX in (_in_time(filters_KST[:, :num_steps, :num_frames], pixels_BTYX),)
            for gabors in self.scales
            for energy_ODRJ in gabors(pixels_VX)
        ]
        (rows, columns), batch = self.grid, video_BTYX.shape[0]
        shape = (-1, ORIENTATIONS, 2, rows, num_steps, batch, columns)
        energy_GODRSBQ = torch.cat(parts).reshape(shape)
        # A scale is normalized over all its filters in time.
        each_GSB = energy_GODRSBQ.flatten(1, 3).mean(dim=1).mean(dim=-1)
        mean_DGSB = each_GSB.view(-1, len(self.scales), num_steps, batch)
        mean_GSB = mean_DGSB.mean(0, keepdim=True).expand_as(mean_DGSB).flatten(0, 1)
        contrast_BS1G = HALF_SATURATION + mean_GSB.permute(2, 1, 0)[:, :, None]
        # Features of a row are contiguous: a gaze shifts whole rows, and then along them.
        energy_BSRGDOQ = energy_GODRSBQ.permute(5, 4, 3, 0, 2, 1, 6).contiguous()
        energy_BSRGDOQ = energy_BSRGDOQ / contrast_BS1G[..., None, None, None]
        result_BSFRQ: Tensor = energy_BSRGDOQ.flatten(3, 5).transpose(2, 3)
        return result_BSFRQ


def _in_time(filters_KST: Tensor, video_BTYX: Tensor) -> Tensor:
    """Filter in time: `(rows x prompt and late x steps x windows, columns)`."""
    windows, frames, rows, columns = video_BTYX.shape
    pixels_YTX = video_BTYX.permute(2, 1, 0, 3).reshape(rows, frames, windows * columns)
    # Rows and filters, which are summed next, have to be outermost.
    filtered_YSX = torch.bmm(filters_KST.flatten(0, 1).expand(rows, -1, -1), pixels_YTX)
    return filtered_YSX.view(-1, columns)


def downsample(video_BTYX: Tensor) -> Tensor:
    """Average over POOL x POOL pixels; torch's pooling takes a CPU nine times as long."""
    rows, columns = (size - size % POOL for size in video_BTYX.shape[2:])
    whole_BTYX = video_BTYX[..., :rows, :columns]
    down_BTYX = reduce(torch.add, (whole_BTYX[:, :, first::POOL] for first in range(POOL)))
    across_BTYX = reduce(torch.add, (down_BTYX[..., first::POOL] for first in range(POOL)))
    return across_BTYX / POOL**2


def mask_frames(video_BTYX: Tensor, frames: tuple[int, int]) -> Tensor:
    """Replace hidden frames by mean grey."""
    if frames == (0, NUM_FRAMES):
        return video_BTYX
    number_T = torch.arange(video_BTYX.shape[1], device=video_BTYX.device)
    visible_T = (number_T >= frames[0]) & (number_T < frames[1])
    return torch.where(visible_T[None, :, None, None], video_BTYX, 0.0)


def downsampled_size(video: VideoConfig) -> tuple[int, int]:
    """Return the rows and columns of averaged pixels."""
    return video.frame_height // POOL, video.frame_width // POOL


def energy_grid(video: VideoConfig) -> tuple[int, int]:
    """Return the rows and columns of positions."""
    rows, columns = downsampled_size(video)
    return num_positions(rows), num_positions(columns)


def energy_flops(
    wavelengths: tuple[float, ...],
    video: VideoConfig,
    time_constants: tuple[float, ...] = (TIME_CONSTANT_SECONDS,),
) -> int:
    """Count the operations of a window; a multiplication with its addition is two."""
    (pixel_rows, pixel_columns), (rows, columns) = downsampled_size(video), energy_grid(video)
    filtered = 2 * len(TIMES) * pixel_rows
    in_time = filtered * NUM_FRAMES * pixel_columns
    across = SEPARABLE * filtered * pixel_columns * columns
    down = SEPARABLE * filtered * RESPONSES * rows * columns
    return 2 * len(time_constants) * (in_time + len(wavelengths) * (across + down))


def _temporal_filters(time_constant: float, transience: float) -> Tensor:
    """Return both filters as matrices from frames to time steps: `(2, 30, 60)`.

    Their area is 1 without the later phase.
    """
    step = torch.tensor(TIMES, dtype=torch.float64)
    lag = (step[:, None] - torch.arange(NUM_FRAMES) + 0.5) / RESPONSE_RATE_HZ
    seconds = lag.clamp(min=0.0) / time_constant

    def gamma(order: int) -> Tensor:
        of_lag = seconds**order * torch.exp(-seconds)
        return of_lag / (math.factorial(order) * time_constant * RESPONSE_RATE_HZ)

    filters = [
        gamma(order) - transience * gamma(order + REBOUND_ORDER)
        for order in (PROMPT_ORDER, LATE_ORDER)
    ]
    return torch.stack(filters).float()
