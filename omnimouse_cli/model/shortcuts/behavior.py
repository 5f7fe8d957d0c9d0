"""The behavior shortcut: from behavior to the gain of every neuron."""

import torch
from torch import Tensor, nn

from omnimouse_cli.config.data import BEHAVIOR_RATE_HZ, NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.model.initialize import linear, parameter
from omnimouse_cli.model.inputs import TargetNeurons
from omnimouse_cli.model.shortcuts.filters import LagFilter, filtered_readout

# B batch, S response samples, T behavior samples, C channels, A target samples,
# N neurons of the session, E width of neuron embeddings, R rank of the state

# Half a second back, and a little ahead: movement follows activity, too.
LONGEST_LAG, SHORTEST_LAG = 15, -5
BEHAVIOR_LAGS = LONGEST_LAG - SHORTEST_LAG + 1


class BehaviorShortcut(nn.Module):
    """Mixtures of the behavior channels, filtered in time and weighted by neuron embeddings.

    Running and pupil size change whole populations; a linear term explains most of it.

    Args:
        d_embedding: Width of neuron embeddings.
        rank: Mixtures.
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, d_embedding: int, rank: int, num_channels: int) -> None:
        super().__init__()
        self.channels = parameter(num_channels, rank)
        self.read = linear(d_embedding, rank, bias=False)
        # Embeddings start with a norm of 1: this scales weights to a variance of 1.
        self.scale = d_embedding**0.5
        self.filter = LagFilter(rank, earliest=LONGEST_LAG, latest=SHORTEST_LAG)

    def forward(self, behavior_BCT: Tensor, channels: Tensor) -> Tensor:
        """Mix the channels of the session: `(batch, 60, rank)`."""
        return sample_and_hold(behavior_BCT[:, channels]) @ self.channels[channels]

    def gain(self, state_BSR: Tensor, vectors_NE: Tensor, targets: TargetNeurons) -> Tensor:
        """Return the term of the logarithmic gain: `(batch, target samples, targets)`."""
        assert targets.strategy.targets is not None
        weights_NR = self.read(vectors_NE) * self.scale
        filter_RAS = self.filter(targets.strategy.targets)
        return filtered_readout(filter_RAS, state_BSR, weights_NR, targets.neurons)


def sample_and_hold(behavior_BCT: Tensor) -> Tensor:
    """Return the latest behavior sample at each response sample: `(batch, 60, channels)`."""
    sample = torch.arange(NUM_RESPONSE_SAMPLES, device=behavior_BCT.device)
    index = (sample * BEHAVIOR_RATE_HZ / RESPONSE_RATE_HZ + 1e-4).long()
    return behavior_BCT[:, :, index].transpose(1, 2)
