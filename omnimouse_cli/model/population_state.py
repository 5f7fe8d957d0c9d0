"""The visible population's shared state on a linear way to every read-out."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.model.initialize import linear, parameter
from omnimouse_cli.model.layout import Piece
from omnimouse_cli.model.reading import read_filtered
from omnimouse_cli.model.readout import of_neurons

# B batch, S samples of the window, A asked samples, V visible neurons, G target neurons,
# T behavior samples, C channels, N neurons of the session, E width of neuron vectors,
# R rank of the state


class Reading(nn.Module):
    """How a neuron's vector reads the state: filtered between any two samples of the window.

    Args:
        d_embedding: Width of neuron vectors.
        rank: Of the state.
    """

    def __init__(self, d_embedding: int, rank: int) -> None:
        super().__init__()
        self.read = linear(d_embedding, rank, bias=False)
        self.scale = d_embedding**0.5
        self.filter = nn.Parameter(torch.zeros(rank, NUM_RESPONSE_SAMPLES, NUM_RESPONSE_SAMPLES))

    def forward(
        self, state_BSR: Tensor, vectors_NE: Tensor, neurons_BG: Tensor, asked: tuple[int, int]
    ) -> Tensor:
        """Give what the state adds for asked neurons: `(batch, asked, targets)`."""
        read_NR = self.read(vectors_NE) * self.scale
        return read_filtered(self.filter[:, slice(*asked)], state_BSR, read_NR, neurons_BG)


class PopulationState(nn.Module):
    """A few sums over the visible neurons in each sample, filtered in time and read out.

    What each neuron writes and reads is linear in its vector: a reduced-rank regression between
    any visible and any asked neurons, which attention takes long to find in a short recording.
    Others tell what is seen, which drives, and in which state the animal is, which changes gain.

    Args:
        d_embedding: Width of neuron vectors.
        rank: Sums per sample.
        num_channels: Behavior channels of the data set.
    """

    def __init__(self, d_embedding: int, rank: int, num_channels: int) -> None:
        super().__init__()
        self.write = linear(d_embedding, rank, bias=False)
        self.drive = Reading(d_embedding, rank)
        self.gain = Reading(d_embedding, rank)
        # Vectors start at a norm of 1: this brings what is written and read to a variance of 1.
        self.scale = d_embedding**0.5
        if num_channels:
            self.channels = parameter(num_channels, rank)
            self.behavior_filter = nn.Parameter(
                torch.zeros(rank, NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES)
            )

    def forward(
        self,
        batch: Batch,
        selection: Selection,
        pieces: tuple[Piece, ...],
        vectors_NE: Tensor,
        baseline_N: Tensor,
    ) -> Tensor:
        """Sum over the neurons that are visible in each sample.

        Args:
            batch: What was recorded; hidden responses are not read.
            selection: Which neurons are visible.
            pieces: Stretches of samples in which they, or everyone, are.
            vectors_NE: Of every neuron of the session.
            baseline_N: What each neuron does on average; deviations from it are summed, so that
                it does not matter which neurons happen to be visible.

        Returns:
            `(batch, 60, rank)`, 0 where nobody is visible.
        """
        written_NR = self.write(vectors_NE) * self.scale
        parts = []
        for piece in pieces:
            responses_BSV, index_BV = visible_piece(batch, selection, piece)
            deviations_BSV = responses_BSV - baseline_N[index_BV][:, None]
            written_BVR = functional.embedding(index_BV, written_NR)
            sums_BSR = deviations_BSV @ written_BVR * index_BV.shape[1] ** -0.5
            after = NUM_RESPONSE_SAMPLES - piece.last
            parts.append(functional.pad(sums_BSR, (0, 0, piece.first, after)))
        return torch.stack(parts).sum(0)

    def behavior(self, state_BSR: Tensor, present: Tensor) -> Tensor:
        """Give what the state adds to the session's channels: `(batch, channels, 40)`."""
        filtered_RTB = self.behavior_filter @ state_BSR.permute(2, 1, 0)
        traces_BTC = filtered_RTB.permute(2, 1, 0) @ self.channels[present].T
        return traces_BTC.transpose(1, 2)


def visible_piece(batch: Batch, selection: Selection, piece: Piece) -> tuple[Tensor, Tensor]:
    """Take the responses of a piece, and the numbers of the neurons that they are of.

    Returns:
        `(batch, samples, neurons)` and int64 `(batch, neurons)`.
    """
    responses_BSN = batch.responses[:, piece.first : piece.last]
    if piece.everyone or selection.num_visible == selection.num_neurons:
        return responses_BSN, batch.neuron_index
    visible = selection.visible
    return of_neurons(responses_BSN, visible), batch.neuron_index.gather(1, visible)
