"""A session whose motion energies are held instead of computed."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from omnimouse_cli.model.motion_energy import TIMES
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


@pytest.fixture
def held_session():
    """Return reader, core, key and data of energies `(windows, 30, features, rows, columns)`."""

    def build(energies, responses, position_um=None):
        num_features, *grid = energies.shape[2:]
        stimulus = SimpleNamespace(
            energy=HeldEnergies(num_features, tuple(grid)), filter=HeldFilter(num_features)
        )
        core = SimpleNamespace(linear_paths=SimpleNamespace(stimulus=stimulus))
        shard = SimpleNamespace(position_um=position_um)
        parts = list(zip(torch.split(energies, 16), torch.split(responses, 16), strict=True))
        reader = SimpleNamespace(
            dataset=SimpleNamespace(session=lambda _key: SimpleNamespace(shard=shard)),
            config=SimpleNamespace(data=SimpleNamespace(tiers=("train",))),
            batches=lambda _session, _tiers: [
                SimpleNamespace(video=video, responses=part) for video, part in parts
            ],
        )
        data = SessionData(responses, contrasts=energies, behavior=None)
        return reader, core, "1-1-1", data

    return build
