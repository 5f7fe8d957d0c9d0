"""The stimulus on a bilinear way to every read-out: which feature, where, and how long ago."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import VideoConfig
from omnimouse_cli.model.initialize import linear

# B batch, L video tokens that are seen, T time steps, P places, A asked samples,
# G target neurons, N neurons of the session, E width of neuron vectors, M width of the model,
# R rank of the state


class StimulusState(nn.Module):
    """Each neuron weighs places and features of the video; its vector decides both weights.

    Through attention a neuron's tuning is learned slowly. A read-out that factorizes into where
    and what, as encoding models of visual cortex have it, finds it in minutes of recording.

    Args:
        d_embedding: Width of neuron vectors.
        d_model: Width of video tokens.
        rank: Features per place and time step.
        video: Of the video encoder.
    """

    def __init__(self, d_embedding: int, d_model: int, rank: int, video: VideoConfig) -> None:
        super().__init__()
        self.num_places = video.tokens_per_time
        self.features = linear(d_model, rank, bias=False)
        self.where = linear(d_embedding, self.num_places, bias=False)
        self.what = linear(d_embedding, rank, bias=False)
        # Vectors start at a norm of 1: this brings what they weigh to a variance of 1.
        self.scale = d_embedding**0.5
        self.filter = nn.Parameter(torch.zeros(rank, NUM_RESPONSE_SAMPLES, video.grid[0]))

    def forward(self, video_BLM: Tensor) -> Tensor:
        """Give the features of every place and time step: `(batch, time steps, places, rank)`."""
        features_BLR: Tensor = self.features(video_BLM)
        return features_BLR.view(len(video_BLM), -1, self.num_places, self.what.out_features)

    def responses(
        self,
        state_BTPR: Tensor,
        steps: tuple[int, int],
        vectors_NE: Tensor,
        neurons_BG: Tensor,
        asked: tuple[int, int],
    ) -> Tensor:
        """Give what the stimulus adds to the drive of asked neurons.

        Args:
            state_BTPR: Of `forward`.
            steps: First and last time step that it is of.
            vectors_NE: Of every neuron of the session.
            neurons_BG: Which ones are asked for.
            asked: First and last sample that is asked for.

        Returns:
            `(batch, asked samples, targets)`.
        """
        filter_RAT = self.filter[:, slice(*asked), slice(*steps)]
        lagged_BAPR = torch.einsum("rat,btpr->bapr", filter_RAT, state_BTPR)
        where_NP = (self.where(vectors_NE) * self.scale).softmax(dim=1)
        what_NR = self.what(vectors_NE) * self.scale
        weights_NK = (where_NP[:, :, None] * what_NR[:, None]).flatten(1)
        weights_BGK = functional.embedding(neurons_BG, weights_NK.to(lagged_BAPR.dtype))
        return lagged_BAPR.flatten(2) @ weights_BGK.transpose(1, 2)
