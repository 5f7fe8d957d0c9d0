"""A fixed pyramid of motion energies: how much moves where, at which scale, in which direction."""

import math
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.data import NUM_FRAMES, RESPONSE_RATE_HZ
from omnimouse_cli.config.model import VideoConfig

# B batch, T frames, Y rows, X columns, P places, F features, S time steps,
# K filters in time, O orientations

ORIENTATIONS = 8
# Frames are averaged over POOL x POOL pixels, and every PLACE_STRIDE-th pixel is a place.
POOL = 2
PLACE_STRIDE = 2
# Energies change slowly: every second frame is a time step.
TIMES = range(1, NUM_FRAMES, 2)
# Standard deviation of a Gabor's envelope over its wavelength: about 1.4 octaves, as in V1.
ENVELOPE = 0.4
REACH_STD = 2.25
# Adelson & Bergen (1985): a prompt and a late filter of gamma shape, a quarter of a cycle apart.
TIME_CONSTANT_SECONDS = 0.045
PROMPT_ORDER, LATE_ORDER = 1, 3
# Below this contrast, as a mean energy, responses are not normalised: noise is not amplified.
HALF_SATURATION = 0.5


class MotionEnergy(nn.Module):
    """Gabor quadrature pairs in space and time, squared and summed; nothing in it is learned.

    Source: Adelson & Bergen, J. Opt. Soc. Am. A 2 (1985), for the energy; Nishimoto et al., Current
    Biology 21 (2011), for the pyramid as a basis of encoding models.

    Args:
        wavelengths: Of the Gabors, in pixels of a frame.
        video: Gives the frame's size.
    """

    def __init__(self, wavelengths: tuple[float, ...], video: VideoConfig) -> None:
        super().__init__()
        self.num_scales = len(wavelengths)
        self.num_features = num_features(wavelengths)
        self.grid = grid_of(video)
        for scale, wavelength in enumerate(wavelengths):
            self.register_buffer(f"gabors_{scale}", _gabors(wavelength), persistent=False)
        self.register_buffer("prompt_and_late", _temporal_filters(), persistent=False)

    def forward(self, video_BTYX: Tensor, frames: tuple[int, int]) -> Tensor:
        """Give the energies of a clip; each scale's mean over a screen of high contrast is 1.

        Args:
            video_BTYX: float32 `(batch, 60, height, width)`, normalised grey.
            frames: First and last frame that is seen; others are mean grey.

        Returns:
            float32 `(batch, 30, features, rows, columns)`, at TIMES.
        """
        seen_BTYX = averaged(hide(video_BTYX, frames))
        filters_KST = self.get_buffer("prompt_and_late")
        filtered_KBSYX = torch.einsum("kst,btyx->kbsyx", filters_KST, seen_BTYX)
        parts = [
            energy_BTOP.view(*energy_BTOP.shape[:3], *self.grid).transpose(2, 3)
            for scale in range(self.num_scales)
            for energy_BTOP in self._scale(filtered_KBSYX, scale)
        ]
        # Features of a row lie together in memory: a gaze moves whole rows, and then along them.
        return torch.cat(parts, dim=3).transpose(2, 3)

    def _scale(self, filtered_KBSYX: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        """Give the energies of one scale, forth and back: `(batch, 30, orientations, places)`."""
        gabors = self.get_buffer(f"gabors_{scale}")
        _, batch, steps, rows, columns = filtered_KBSYX.shape
        moved = functional.conv2d(
            filtered_KBSYX.reshape(-1, 1, rows, columns),
            gabors,
            stride=PLACE_STRIDE,
            padding=gabors.shape[-1] // 2,
        )
        prompt, late = moved.view(2, batch, steps, ORIENTATIONS, 2, -1).unbind(0)
        (prompt_even, prompt_odd), (late_even, late_odd) = prompt.unbind(3), late.unbind(3)
        forth = _squares(prompt_even - late_odd, prompt_odd + late_even)
        back = _squares(prompt_even + late_odd, prompt_odd - late_even)
        mean_BT11 = (forth + back).mean(dim=(2, 3), keepdim=True) / 2
        contrast_BT11 = HALF_SATURATION + mean_BT11
        return forth / contrast_BT11, back / contrast_BT11


def _squares(even: Tensor, odd: Tensor) -> Tensor:
    return torch.addcmul(even.square(), odd, odd)


def averaged(video_BTYX: Tensor) -> Tensor:
    """Average over POOL x POOL pixels; torch's own pooling takes a CPU nine times as long."""
    rows, columns = (size - size % POOL for size in video_BTYX.shape[2:])
    whole_BTYX = video_BTYX[..., :rows, :columns]
    down_BTYX = reduce(torch.add, (whole_BTYX[:, :, first::POOL] for first in range(POOL)))
    across_BTYX = reduce(torch.add, (down_BTYX[..., first::POOL] for first in range(POOL)))
    return across_BTYX / POOL**2


def hide(video_BTYX: Tensor, frames: tuple[int, int]) -> Tensor:
    """Replace hidden frames by mean grey."""
    if frames == (0, NUM_FRAMES):
        return video_BTYX
    number_T = torch.arange(video_BTYX.shape[1], device=video_BTYX.device)
    seen_T = (number_T >= frames[0]) & (number_T < frames[1])
    return torch.where(seen_T[None, :, None, None], video_BTYX, 0.0)


def num_features(wavelengths: tuple[float, ...]) -> int:
    """Count the energies of a place: two directions of each orientation at each scale."""
    return 2 * ORIENTATIONS * len(wavelengths)


def grid_of(video: VideoConfig) -> tuple[int, int]:
    """Give the rows and columns of places."""
    rows, columns = (size // POOL for size in (video.frame_height, video.frame_width))
    return -(-rows // PLACE_STRIDE), -(-columns // PLACE_STRIDE)


def gabor_size(wavelength: float) -> int:
    """Give the side of a Gabor, in pooled pixels."""
    return 2 * math.ceil(REACH_STD * ENVELOPE * wavelength / POOL) + 1


def forward_flops(wavelengths: tuple[float, ...], video: VideoConfig) -> int:
    """Count the operations of a window; a multiplication with its addition is two."""
    pixels = (video.frame_height // POOL) * (video.frame_width // POOL)
    steps = 2 * len(TIMES)
    kernels = 2 * ORIENTATIONS * sum(gabor_size(each) ** 2 for each in wavelengths)
    return 2 * steps * (NUM_FRAMES * pixels + math.prod(grid_of(video)) * kernels)


def _gabors(wavelength: float) -> Tensor:
    """Give even and odd Gabors of unit norm and mean 0: `(2 * orientations, 1, size, size)`."""
    reach = gabor_size(wavelength) // 2
    wavelength /= POOL
    width = ENVELOPE * wavelength
    axis = torch.arange(-reach, reach + 1, dtype=torch.float64)
    row, column = torch.meshgrid(axis, axis, indexing="ij")
    envelope = torch.exp(-(row**2 + column**2) / (2 * width**2))
    both = []
    for number in range(ORIENTATIONS):
        angle = math.pi * number / ORIENTATIONS
        phase = 2 * math.pi * (row * math.sin(angle) + column * math.cos(angle)) / wavelength
        even = envelope * (torch.cos(phase) - (envelope * torch.cos(phase)).sum() / envelope.sum())
        odd = envelope * torch.sin(phase)
        both += [even / even.norm(), odd / odd.norm()]
    return torch.stack(both)[:, None].float()


def _temporal_filters() -> Tensor:
    """Give both filters as matrices from frames to time steps, of unit area: `(2, 30, 60)`."""
    step = torch.tensor(TIMES, dtype=torch.float64)
    lag = (step[:, None] - torch.arange(NUM_FRAMES) + 0.5) / RESPONSE_RATE_HZ
    seconds = lag.clamp(min=0.0) / TIME_CONSTANT_SECONDS
    filters = []
    for order in (PROMPT_ORDER, LATE_ORDER):
        of_lag = seconds**order * torch.exp(-seconds)
        filters.append(of_lag / (math.factorial(order) * TIME_CONSTANT_SECONDS * RESPONSE_RATE_HZ))
    return torch.stack(filters).float()
