"""What the animal does on a linear way to every read-out."""

import torch
from torch import Tensor, nn

from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.model.initialize import linear, parameter
from omnimouse_cli.model.lags import LagFilter
from omnimouse_cli.model.reading import read_filtered

# B batch, T response samples, S behavior samples, C channels that are seen, A asked samples,
# G target neurons, N neurons of the session, E width of neuron vectors, R rank of the state

# Half a second back, and a little ahead: movement follows activity, too.
LONGEST_LAG, SHORTEST_LAG = 15, -5
BEHAVIOR_LAGS = LONGEST_LAG - SHORTEST_LAG + 1


class BehaviorState(nn.Module):
    """Mixtures of the behavior channels, filtered in time; a neuron's vector decides what it reads.

    Running and pupil change whole populations, and a line per neuron says most of it.

    Args:
        d_embedding: Width of neuron vectors.
        rank: Mixtures.
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, d_embedding: int, rank: int, num_channels: int) -> None:
        super().__init__()
        self.channels = parameter(num_channels, rank)
        self.read = linear(d_embedding, rank, bias=False)
        # Vectors start at a norm of 1: this brings what is read to a variance of 1.
        self.scale = d_embedding**0.5
        self.filter = LagFilter(rank, earliest=LONGEST_LAG, latest=SHORTEST_LAG)

    def forward(self, behavior_BCS: Tensor, present: Tensor) -> Tensor:
        """Mix the channels that the session has: `(batch, 60, rank)`."""
        return held(behavior_BCS[:, present]) @ self.channels[present]

    def responses(
        self, state_BTR: Tensor, vectors_NE: Tensor, neurons_BG: Tensor, asked: tuple[int, int]
    ) -> Tensor:
        """Give what behavior adds to the gain of asked neurons: `(batch, asked, targets)`."""
        read_NR = self.read(vectors_NE) * self.scale
        return read_filtered(self.filter(asked), state_BTR, read_NR, neurons_BG)


def held(behavior_BCS: Tensor) -> Tensor:
    """Hold behavior on the responses' clock: `(batch, 60, channels)`."""
    sample = torch.arange(NUM_RESPONSE_SAMPLES, device=behavior_BCS.device)
    row = (sample * BEHAVIOR_RATE_HZ / RESPONSE_RATE_HZ + 1e-4).long()
    return behavior_BCS[:, :, row].transpose(1, 2)
