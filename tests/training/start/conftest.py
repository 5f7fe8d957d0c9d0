"""A session whose motion energies are held instead of computed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from omnimouse_cli.config.model import FITTED_WIDTH
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.shortcuts.stimulus import GAZE_AXES, StimulusShortcut
from omnimouse_cli.training.start.session_data import SessionData


class HeldEnergies:
    """Stands for motion energies: a batch's video holds them."""

    def __init__(self, num_features, grid):
        self.num_features, self.grid = num_features, grid

    def __call__(self, video_BTFYX, _frames):
        return video_BTFYX


class HeldFilter(nn.Module):
    """Each sample has the energies of its time step."""

    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features

    def forward(self, samples):
        steps = torch.arange(*samples) // TIMES.step
        return torch.eye(len(TIMES))[steps].expand(self.num_features, -1, -1)


class HeldStimulus:
    """Stands for a stimulus shortcut with a gaze of 0."""

    __call__ = StimulusShortcut.forward

    def __init__(self, num_features, grid, num_channels):
        self.energy, self.filter = HeldEnergies(num_features, grid), HeldFilter(num_features)
        self.gaze = torch.zeros(num_channels, GAZE_AXES)
        self.fitted_width = FITTED_WIDTH


@pytest.fixture
def held_session():
    """Return reader, core, key and data of energies `(windows, 30, features, rows, columns)`.

    Behavior is `(windows, channels, 40)`.
    """

    def build(energies, responses, position_um=None, behavior=None):
        num_features, *grid = energies.shape[2:]
        num_channels = 0 if behavior is None else behavior.shape[1]
        stimulus = HeldStimulus(num_features, tuple(grid), num_channels)
        core = SimpleNamespace(linear_paths=SimpleNamespace(stimulus=stimulus))
        shard = SimpleNamespace(position_um=position_um)
        windows = [slice(first, first + 16) for first in range(0, len(energies), 16)]
        reader = SimpleNamespace(
            dataset=SimpleNamespace(session=lambda _key: SimpleNamespace(shard=shard)),
            config=SimpleNamespace(data=SimpleNamespace(tiers=("train",))),
            batches=lambda _session, _tiers: [
                SimpleNamespace(
                    video=energies[some],
                    responses=responses[some],
                    behavior=None if behavior is None else behavior[some],
                    behavior_present=np.ones(num_channels, np.bool_),
                )
                for some in windows
            ],
        )
        data = SessionData(responses, contrasts=energies, behavior=None, traces=behavior)
        return reader, core, "1-1-1", data

    return build
