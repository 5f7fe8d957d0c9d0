"""The exact expected response of simulated neurons in PyTorch, so that gradients flow to frames."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from omnimouse_cli.config.data import NUM_FRAMES
from omnimouse_cli.probing.session_model import SAMPLES
from omnimouse_cli.recording.simulated.expected import ExpectedResponse
from omnimouse_cli.recording.simulated.settings import DECAY, GREY, GREY_STD
from omnimouse_cli.recording.simulated.stimulus import (
    EXPONENT,
    FILTER_ROWS,
    HALF_SATURATION,
    MARGIN,
    gabor_pairs,
    temporal_filters,
)

# B windows, T frames, Y rows, X columns, K neurons of a window


class ExactModel:
    """The simulated neurons in one state of behavior, with the methods of a `SessionModel`.

    Args:
        exact: Expected responses of the session.
        behavior: The state, in standard deviations from the session's mean, `(channels,)`.

    Attributes:
        device: The CPU.
    """

    def __init__(self, exact: ExpectedResponse, behavior: NDArray[np.floating]) -> None:
        self.device = torch.device("cpu")
        population = exact.truth.population
        gabors = torch.from_numpy(gabor_pairs(population))
        self._gabors_2NP = gabors.T.reshape(2, population.num_neurons, -1)
        shift = exact.gaze_shift(behavior)
        self._whole = [int(each) for each in np.floor(shift)]
        self._part = [float(each) for each in shift - np.floor(shift)]
        rate = exact.scale * np.exp(population.coupling @ behavior)
        self._direction_N, self._strength_N, self._energy_N, self._rate_N = (
            torch.tensor(each, dtype=torch.float32)
            for each in (population.direction, population.strength, exact.mean_energy, rate)
        )
        # A convolution in PyTorch is a correlation: the oldest frame comes first.
        self._filters = torch.from_numpy(temporal_filters()[:, None, ::-1].copy())
        lag = torch.arange(NUM_FRAMES)[:, None] - torch.arange(NUM_FRAMES)
        self._smoothing = torch.where(lag >= 0, (1 - DECAY) * DECAY ** lag.clamp(min=0), 0.0)

    def scale_frames(self, grey_BTYX: Tensor) -> Tensor:
        """Return grey levels in the simulation's standard deviations from grey."""
        return (grey_BTYX - GREY) / GREY_STD

    def predict_windows(self, video_BTYX: Tensor, *, neurons_BN: Tensor) -> Tensor:
        """Return expected responses `(1, windows, 30, neurons)`, in units of the recording.

        Args:
            video_BTYX: `(windows, 60, 36, 64)` from `scale_frames`; the screen was grey before.
            neurons_BN: int64 `(windows, neurons)`.
        """
        retina_BTP = self._move(video_BTYX).flatten(2)
        contrast_BT = retina_BTP.square().mean(dim=2)
        even_BTK, odd_BTK = (
            torch.einsum("btp,bkp->btk", retina_BTP, gabors_NP[neurons_BN])
            for gabors_NP in self._gabors_2NP
        )
        bias_B1K = self._direction_N[neurons_BN][:, None]
        early_even, late_even = self._in_time(even_BTK)
        early_odd, late_odd = self._in_time(odd_BTK)
        early_contrast, _ = self._in_time(contrast_BT[..., None])
        forward, sideways = early_even + bias_B1K * late_odd, early_odd - bias_B1K * late_even
        energy_BTK = (forward.square() + sideways.square()) / (HALF_SATURATION + early_contrast)
        energy_BTK = energy_BTK**EXPONENT / self._energy_N[neurons_BN][:, None]
        strength_B1K = self._strength_N[neurons_BN][:, None]
        gain_BTK = (1 + strength_B1K * energy_BTK) / (1 + strength_B1K)
        # The response before the window is the stationary one to grey.
        above_BTK = gain_BTK - 1 / (1 + strength_B1K)
        smooth_BTK = self._smoothing @ above_BTK + 1 / (1 + strength_B1K)
        return (smooth_BTK * self._rate_N[neurons_BN][:, None])[None, :, slice(*SAMPLES)]

    def _move(self, video_BTYX: Tensor) -> Tensor:
        """Shift frames against the gaze by bilinear interpolation; grey beyond the edges."""
        height, width = video_BTYX.shape[2:]
        padded = functional.pad(video_BTYX, (MARGIN,) * 4)
        down, right = (each + MARGIN for each in self._whole)
        moved = padded[:, :, down : down + height + 1, right : right + width + 1]
        moved = (1 - self._part[0]) * moved[:, :, :-1] + self._part[0] * moved[:, :, 1:]
        return (1 - self._part[1]) * moved[..., :-1] + self._part[1] * moved[..., 1:]

    def _in_time(self, values_BTK: Tensor) -> tuple[Tensor, Tensor]:
        """Return values after the early and after the late filter, `(windows, frames, neurons)`."""
        windows, frames, neurons = values_BTK.shape
        series = values_BTK.transpose(1, 2).reshape(-1, 1, frames)
        filtered = functional.conv1d(functional.pad(series, (FILTER_ROWS - 1, 0)), self._filters)
        early, late = filtered.view(windows, neurons, 2, frames).permute(2, 0, 3, 1)
        return early, late
