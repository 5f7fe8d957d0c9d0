"""A model whose neurons are exact Gabor energy units, in place of a trained one."""

from types import SimpleNamespace

import numpy as np
import torch

from omnimouse_cli.probing.behavior_state import BehaviorState
from omnimouse_cli.probing.session_model import ResponseUnit, SessionModel

LAGS = 30


class GaborUnits(SessionModel):
    """Motion energies of Gabors of known center, direction, frequencies and width.

    The response to energy E is E / (E + half^2) times a constant, or E itself without `half`; the
    energy of a full-screen grating of contrast 1 at the preferred values is 1. Of the opposite
    direction, `opposite` is added. Energy of a Gabor three times as wide, times `surround`, is
    subtracted.
    """

    def __init__(
        self,
        center,
        direction_deg,
        cycles_per_pixel,
        hz,
        *,
        width_px,
        opposite=0.0,
        half=None,
        surround=0.0,
        runs=1,
    ):
        count = len(center)
        self.session, self.device, self.frame_shape = "1-1-1", torch.device("cpu"), (36, 64)
        config = SimpleNamespace(data=SimpleNamespace(video_mean=113.0, video_std=59.0))
        self.runs = tuple(
            SimpleNamespace(folder=f"run{number}", config=config) for number in range(runs)
        )
        self.num_neurons, self.opposite, self.half = count, np.broadcast_to(opposite, count), half
        self.surround = surround
        self.unit = ResponseUnit(
            name="rate",
            shift=np.full(count, 0.5, np.float32),
            scale=np.full(count, 2.0, np.float32),
        )
        self.state = BehaviorState(name="mean", values=np.zeros(0, np.float32))
        row, column = (np.arange(size, dtype=float) for size in self.frame_shape)
        center, width = np.asarray(center, float), np.broadcast_to(width_px, count)
        down = row[:, None] - center[:, 0, None, None]
        right = column - center[:, 1, None, None]
        angle = np.deg2rad(direction_deg)[:, None, None]
        along = right * np.cos(angle) - down * np.sin(angle)
        carrier = np.exp(2j * np.pi * np.asarray(cycles_per_pixel)[:, None, None] * along)
        self.filters = torch.stack(
            [self._normalized(down, right, carrier, width * wider) for wider in (1, 3)]
        )
        lag = np.arange(LAGS)
        window = np.exp(-(((lag - 12) / 5) ** 2) / 2)
        window = window / window.sum()
        turn = np.exp(2j * np.pi * np.asarray(hz)[:, None] * lag / 30)
        self.in_time = torch.from_numpy(window * turn).to(torch.complex64)

    @staticmethod
    def _normalized(down, right, carrier, width):
        envelope = np.exp(-(down**2 + right**2) / (2 * width[:, None, None] ** 2))
        # A grating of contrast 1 has an amplitude of 113 / 59 in the model's units.
        scale = 113 / 59 / 2 * envelope.sum(axis=(1, 2), keepdims=True)
        return torch.from_numpy(envelope * carrier / scale).to(torch.complex64)

    def predict_windows(self, video_BTYX, behavior_BCS=None, neurons_BN=None):  # noqa: ARG002
        energy = self._energy(video_BTYX, self.filters[0])
        if self.half is not None:
            energy = energy / (energy + self.half**2)
        if self.surround:
            energy = energy - self.surround * self._energy(video_BTYX, self.filters[1])
        if neurons_BN is not None:
            energy = torch.gather(energy, 2, neurons_BN[:, None].expand(-1, 30, -1))
        return torch.stack([energy * (1 + number) for number in range(len(self.runs))])

    def _energy(self, video_BTYX, filters_NYX):
        video = video_BTYX.flatten(2).to(torch.complex64)
        local_BTN = video @ filters_NYX.flatten(1).T
        past_BSNL = local_BTN.unfold(1, LAGS, 1).flip(3)[:, -30:]
        forth = (past_BSNL * self.in_time).sum(dim=3)
        back = (past_BSNL * self.in_time.conj()).sum(dim=3)
        opposite = torch.from_numpy(np.array(self.opposite)).float()
        return forth.abs().square() + opposite * back.abs().square()
