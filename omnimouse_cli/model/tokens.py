"""Tokens of responses and behavior, latents, and embeddings of neurons, sessions and animals."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import TOKEN_SAMPLES, TOKEN_STRIDE_SAMPLES
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.model.initialize import linear, parameter, scaled_
from omnimouse_cli.model.session_embeddings import SessionEmbeddings

# B batch, S samples, T token times, N neurons, V visible neurons, C channels, L latents,
# M width of the model, E width of embeddings

# Row of behavior in the vectors of missing modalities.
BEHAVIOR = 2


class IdentityEmbeddings(nn.Module):
    """Projects embeddings of neurons, sessions and animals to the model's width.

    Args:
        d_embedding: Width of the embeddings.
        d_model: Width of the model.
        num_animals: Animals of the data set.
        neuron_dropout: Share of a neuron embedding's entries dropped in training.
    """

    def __init__(
        self, *, d_embedding: int, d_model: int, num_animals: int, neuron_dropout: float
    ) -> None:
        super().__init__()
        self.animals = parameter(num_animals, d_embedding)
        self.of_neuron = linear(d_embedding, d_model, bias=True)
        self.of_session = linear(d_embedding, d_model, bias=True)
        self.of_animal = linear(d_embedding, d_model, bias=True)
        self.neuron_dropout = neuron_dropout

    def forward(self, embeddings: SessionEmbeddings, animal: int) -> tuple[Tensor, Tensor]:
        """Return the identity of every neuron, and the sum of session and animal embedding.

        Returns:
            `(neurons, model width)` and `(model width,)`; the first includes the second.
        """
        session_M = self.of_session(embeddings.session_embedding)
        session_animal_M = session_M + self.of_animal(self.animals[animal])
        neurons_NE = functional.dropout(
            embeddings.neuron_embeddings, self.neuron_dropout, self.training
        )
        # Sums of identities stay in float32 also where products are in bfloat16.
        session_animal_M = session_animal_M.float()
        return self.of_neuron(neurons_NE).float() + session_animal_M, session_animal_M


class ResponseTokens(nn.Module):
    """Ten samples of one neuron are a token; the next one starts five samples later."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        # The shape is that of a convolution over one trace; it is computed as one matrix product.
        self.weight = nn.Parameter(torch.empty(d_model, 1, TOKEN_SAMPLES))
        self.bias = nn.Parameter(torch.zeros(d_model))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, responses_BSV: Tensor, identity_BVM: Tensor) -> Tensor:
        """Return the tokens of traces.

        Args:
            responses_BSV: Visible samples `(batch, samples, neurons)`.
            identity_BVM: Identities of the neurons.

        Returns:
            `(batch, times * neurons, model width)`, tokens that share one time stamp together.
        """
        windows_BTVK = responses_BSV.unfold(1, TOKEN_SAMPLES, TOKEN_STRIDE_SAMPLES)
        x_BTVM = functional.linear(windows_BTVK, self.weight[:, 0], self.bias)
        return (x_BTVM + identity_BVM[:, None]).flatten(1, 2)


class BehaviorTokens(nn.Module):
    """A channel's two seconds as one input token, or as one query with its own read-out.

    Args:
        num_channels: Channels of the data set.
        d_model: Width of the model.
        starts_at_zero: Whether the read-out starts at 0: what a linear model leaves is learned.
    """

    def __init__(self, num_channels: int, d_model: int, *, starts_at_zero: bool = False) -> None:
        super().__init__()
        self.channels = parameter(num_channels, d_model)
        self.project = linear(NUM_BEHAVIOR_SAMPLES, d_model, bias=True)
        self.readout = parameter(num_channels, NUM_BEHAVIOR_SAMPLES, d_model)
        if starts_at_zero:
            nn.init.zeros_(self.readout)

    def forward(self, behavior_BCS: Tensor, channels: Tensor, session_animal_M: Tensor) -> Tensor:
        """Return the tokens of the session's channels.

        Args:
            behavior_BCS: `(batch, channels of the data set, 40)`.
            channels: int64 numbers of the session's channels.
            session_animal_M: Sum of session and animal embedding.

        Returns:
            `(batch, channels of the session, model width)`.
        """
        x_BCM: Tensor = self.project(behavior_BCS[:, channels])
        return x_BCM + self.channels[channels] + session_animal_M

    def queries(self, channels: Tensor, session_animal_M: Tensor) -> Tensor:
        """Return the queries of the session's channels, `(channels, model width)`."""
        return self.channels[channels] + session_animal_M

    def read_out(self, x_BCM: Tensor, channels: Tensor) -> Tensor:
        """Predict traces of the session's channels from decoded queries.

        Returns:
            float32 `(batch, channels of the session, 40)`.
        """
        return torch.einsum("bcm,csm->bcs", x_BCM, self.readout[channels])

    def scatter_channels(self, traces_BCS: Tensor, channels: Tensor) -> Tensor:
        """Return traces of all channels of the data set, 0 where the session has none."""
        batch, _, samples = traces_BCS.shape
        out_BCS = traces_BCS.new_zeros(batch, len(self.channels), samples)
        return out_BCS.index_copy(1, channels, traces_BCS)


class Latents(nn.Module):
    """Initial latents of a window: the same for each of its groups, and global ones.

    Args:
        per_group: Latents of a group of 10 samples.
        num_global: Latents of the whole window.
        d_model: Width of the model.
    """

    def __init__(self, per_group: int, num_global: int, d_model: int) -> None:
        super().__init__()
        self.per_group = per_group
        self.vectors = parameter(per_group + num_global, d_model)
        # Of responses, video and behavior, in this order: added where one is hidden or missing.
        self.missing = nn.Parameter(scaled_(torch.empty(3, d_model)))

    def forward(
        self, num_groups: int, session_animal_M: Tensor, available: tuple[bool, bool, bool]
    ) -> Tensor:
        """Return the latents of a window.

        Args:
            num_groups: Groups that exist.
            session_animal_M: Sum of session and animal embedding.
            available: Whether responses, video and behavior are inputs.

        Returns:
            `(latents, model width)`.
        """
        grouped_LM = self.vectors[: self.per_group].repeat(num_groups, 1)
        latents_LM = torch.cat([grouped_LM, self.vectors[self.per_group :]])
        for vector_M, is_available in zip(self.missing.unbind(0), available, strict=True):
            if not is_available:
                session_animal_M = session_animal_M + vector_M
        return latents_LM + session_animal_M

    def lost_behavior(self, share_B: Tensor) -> Tensor:
        """Return the term of windows that lost behavior samples: `(batch, 1, model width)`.

        It is the vector of missing behavior in proportion to what is lost, so that a window that
        lost all of it has the latents of one whose behavior is hidden.

        Args:
            share_B: Share of each window's behavior samples that are lost.
        """
        return share_B[:, None, None] * self.missing[BEHAVIOR]
