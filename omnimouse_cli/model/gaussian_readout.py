"""The Gaussian read-out of a digital twin: where a neuron looks, and which features it weighs."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.shortcuts.stimulus import shift_by_gaze

# B batch, F features, T samples, Y rows and X columns of positions, P = Y x X positions,
# C behavior channels, G target neurons, N neurons of the session, E width of neuron embeddings

# Receptive fields start scattered about the middle, by this share of the rows and columns.
START_SPREAD = 0.15
# Their standard deviation, in positions, and the scatter of its logarithm.
START_WIDTH, WIDTH_SPREAD = 2.5, 0.5
# Row, column and width of a receptive field; right and down.
FIELD_NUMBERS, GAZE_AXES = 3, 2


class GaussianReadout(nn.Module):
    """Weights feature maps in a Gaussian receptive field of each neuron.

    The read-out of Lurz et al. (ICLR 2021, arXiv 2006.14298) reads one position, drawn from a
    Gaussian in training. Here features are averaged with the Gaussian as weights, which is the
    expectation over that position and needs no random numbers. Position, width and feature weights
    are linear in the neuron's embedding.

    Args:
        d_embedding: Width of neuron embeddings.
        num_features: Feature maps.
        grid: Rows and columns of positions.
        num_channels: Behavior channels of the data set, from which the gaze is computed.
    """

    def __init__(
        self, d_embedding: int, num_features: int, grid: tuple[int, int], num_channels: int
    ) -> None:
        super().__init__()
        self.grid = grid
        self.gaze = nn.Parameter(torch.zeros(num_channels, GAZE_AXES)) if num_channels else None
        self.field = linear(d_embedding, FIELD_NUMBERS, bias=False)
        self.what = linear(d_embedding, num_features, bias=False)
        # Random tuning would be noise that has to be unlearned.
        nn.init.zeros_(self.what.weight)
        # Embeddings start with a norm of 1: this scales weights to a variance of 1.
        self.scale = d_embedding**0.5
        self.feature_scale = num_features**-0.5

    def forward(
        self,
        features_BFTYX: Tensor,
        behavior_BTC: Tensor | None,
        vectors_NE: Tensor,
        neurons_BG: Tensor,
    ) -> Tensor:
        """Return the drive of target neurons without their biases: `(batch, samples, targets)`.

        Args:
            features_BFTYX: Feature maps.
            behavior_BTC: Behavior at their samples; None if it is hidden.
            vectors_NE: Neuron embeddings of the session.
            neurons_BG: int64: target neurons, as rows of the embeddings.
        """
        features_BTFYX = features_BFTYX.transpose(1, 2)
        if behavior_BTC is not None and self.gaze is not None:
            features_BTFYX = shift_by_gaze(features_BTFYX, behavior_BTC @ self.gaze)
        where_BGP = functional.embedding(neurons_BG, self.receptive_fields(vectors_NE))
        batch, samples, num_features = features_BTFYX.shape[:3]
        features_BKP = features_BTFYX.reshape(batch, samples * num_features, -1)
        local_BGK = where_BGP @ features_BKP.transpose(1, 2)
        local_BGTF = local_BGK.view(batch, -1, samples, num_features)
        what_NF = self.what(vectors_NE) * (self.scale * self.feature_scale)
        what_BGF = functional.embedding(neurons_BG, what_NF)
        drive_BGT = (local_BGTF @ what_BGF[..., None])[..., 0]
        return drive_BGT.transpose(1, 2)

    def receptive_fields(self, vectors_NE: Tensor) -> Tensor:
        """Return a Gaussian over positions of sum 1 for every neuron: `(neurons, positions)`."""
        field_N3: Tensor = self.field(vectors_NE) * self.scale
        width_N1: Tensor = START_WIDTH * torch.exp(WIDTH_SPREAD * field_N3[:, 2:])
        sides = []
        for axis, size in enumerate(self.grid):
            position = torch.arange(size, device=vectors_NE.device) - (size - 1) / 2
            distance = position - START_SPREAD * size * field_N3[:, axis, None]
            sides.append((-0.5 * (distance / width_N1).square()).softmax(dim=1))
        return (sides[0][:, :, None] * sides[1][:, None]).flatten(1)
