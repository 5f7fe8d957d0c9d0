"""The population shortcut: a reduced-rank regression from the visible population."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.initialize import linear, parameter
from omnimouse_cli.model.inputs import ModelInputs, TargetNeurons
from omnimouse_cli.model.shortcuts.filters import filtered_readout

# B batch, S samples of the window, A target samples, V visible neurons, G target neurons,
# T behavior samples, C channels, N neurons of the session, E width of neuron embeddings,
# R rank of the state


class StateReadout(nn.Module):
    """Filters a state between any two samples of the window and weights it by neuron embeddings.

    Args:
        d_embedding: Width of neuron embeddings.
        rank: Rank of the state.
    """

    def __init__(self, d_embedding: int, rank: int) -> None:
        super().__init__()
        self.read = linear(d_embedding, rank, bias=False)
        self.scale = d_embedding**0.5
        self.filter = nn.Parameter(torch.zeros(rank, NUM_RESPONSE_SAMPLES, NUM_RESPONSE_SAMPLES))

    def forward(self, state_BSR: Tensor, vectors_NE: Tensor, targets: TargetNeurons) -> Tensor:
        """Return the term of target neurons: `(batch, target samples, targets)`."""
        assert targets.strategy.targets is not None
        weights_NR = self.read(vectors_NE) * self.scale
        filter_RAS = self.filter[:, slice(*targets.strategy.targets)]
        return filtered_readout(filter_RAS, state_BSR, weights_NR, targets.neurons)


class PopulationShortcut(nn.Module):
    """A few weighted sums over the visible neurons in each sample, filtered in time and read out.

    The weights that a neuron is summed and read out with are linear in its embedding: a
    reduced-rank regression between any visible and any target neurons, which attention takes long
    to find in a short recording. The sums add to the drive, as other neurons indicate the stimulus,
    and to the gain, as they indicate the state of the animal.

    Args:
        d_embedding: Width of neuron embeddings.
        rank: Sums per sample.
        num_channels: Behavior channels of the data set, if it reads them out; else 0.
    """

    def __init__(self, d_embedding: int, rank: int, num_channels: int) -> None:
        super().__init__()
        self.write = linear(d_embedding, rank, bias=False)
        self.drive = StateReadout(d_embedding, rank)
        self.gain = StateReadout(d_embedding, rank)
        # Embeddings start with a norm of 1: this scales weights to a variance of 1.
        self.scale = d_embedding**0.5
        if num_channels:
            self.channels = parameter(num_channels, rank)
            self.behavior_filter = nn.Parameter(
                torch.zeros(rank, NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES)
            )

    def forward(self, inputs: ModelInputs, vectors_NE: Tensor, resting_rate_N: Tensor) -> Tensor:
        """Sum over the neurons that are visible in each sample.

        Args:
            inputs: Prepared forward pass; hidden responses are not read.
            vectors_NE: Embeddings of the session's neurons.
            resting_rate_N: Response of each neuron without any input. Deviations from it are
                summed, so that it does not matter which neurons happen to be visible.

        Returns:
            `(batch, 60, rank)`, 0 where no neuron is visible.
        """
        weights_NR = self.write(vectors_NE) * self.scale
        parts = []
        for segment in inputs.sequences.segments:
            responses_BSV, index_BV = inputs.visible_responses(segment)
            deviations_BSV = responses_BSV - resting_rate_N[index_BV][:, None]
            weights_BVR = functional.embedding(index_BV, weights_NR)
            sums_BSR = deviations_BSV @ weights_BVR * index_BV.shape[1] ** -0.5
            num_after = NUM_RESPONSE_SAMPLES - segment.last
            parts.append(functional.pad(sums_BSR, (0, 0, segment.first, num_after)))
        return torch.stack(parts).sum(0)

    def behavior(self, state_BSR: Tensor, channels: Tensor) -> Tensor:
        """Return the term of the session's behavior channels: `(batch, channels, 40)`."""
        filtered_RTB = self.behavior_filter @ state_BSR.permute(2, 1, 0)
        traces_BTC = filtered_RTB.permute(2, 1, 0) @ self.channels[channels].T
        return traces_BTC.transpose(1, 2)
