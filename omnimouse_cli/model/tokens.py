"""Tokens of responses and behavior, and what says which neuron, session and animal they are of."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from omnimouse_cli.batch.strategy import TOKEN_SAMPLES, TOKEN_STRIDE_SAMPLES
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.model.initialize import linear, parameter, scaled_
from omnimouse_cli.model.session_embeddings import SessionEmbeddings

# B batch, S samples, T token times, N neurons, V visible neurons, C channels, L latents,
# M width of the model, E width of an identity vector


class Identities(nn.Module):
    """Vectors of neurons, sessions and animals, brought to the model's width.

    Args:
        d_embedding: Width of the vectors.
        d_model: Width of the model.
        num_animals: Animals of the data set.
        neuron_dropout: Share of a neuron vector's entries dropped in training.
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

    def forward(self, table: SessionEmbeddings, animal: int) -> tuple[Tensor, Tensor]:
        """Give what tokens of a session carry.

        Returns:
            Of every neuron `(neurons, model width)`, and of the recording `(model width,)`; the
            first has the second in it.
        """
        meta_M = self.of_session(table.session_embedding) + self.of_animal(self.animals[animal])
        neurons_NE = functional.dropout(table.neuron_embeddings, self.neuron_dropout, self.training)
        # Sums of identities stay in float32 also where products are in bfloat16.
        meta_M = meta_M.float()
        return self.of_neuron(neurons_NE).float() + meta_M, meta_M


class ResponseTokens(nn.Module):
    """Ten samples of one neuron are a token; the next one starts five samples later."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        # The shape is that of a convolution over one trace; it is computed as one matrix product.
        self.weight = nn.Parameter(torch.empty(d_model, 1, TOKEN_SAMPLES))
        self.bias = nn.Parameter(torch.zeros(d_model))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(self, responses_BSV: Tensor, identity_BVM: Tensor) -> Tensor:
        """Cut traces into tokens.

        Args:
            responses_BSV: Visible samples `(batch, samples, neurons)`.
            identity_BVM: Which neurons they are.

        Returns:
            `(batch, times * neurons, model width)`, the neurons of one time together.
        """
        windows_BTVK = responses_BSV.unfold(1, TOKEN_SAMPLES, TOKEN_STRIDE_SAMPLES)
        x_BTVM = functional.linear(windows_BTVK, self.weight[:, 0], self.bias)
        return (x_BTVM + identity_BVM[:, None]).flatten(1, 2)


class BehaviorTokens(nn.Module):
    """A channel's two seconds as one token, and as one query with a read-out of its own.

    Args:
        num_channels: Channels of the data set.
        d_model: Width of the model.
    """

    def __init__(self, num_channels: int, d_model: int) -> None:
        super().__init__()
        self.channels = parameter(num_channels, d_model)
        self.project = linear(NUM_BEHAVIOR_SAMPLES, d_model, bias=True)
        self.readout = parameter(num_channels, NUM_BEHAVIOR_SAMPLES, d_model)

    def forward(self, behavior_BCS: Tensor, present: Tensor, meta_M: Tensor) -> Tensor:
        """Make tokens of the channels that the session has.

        Args:
            behavior_BCS: `(batch, channels, 40)`.
            present: int64 numbers of the session's channels.
            meta_M: Which recording it is.

        Returns:
            `(batch, channels of the session, model width)`.
        """
        x_BCM: Tensor = self.project(behavior_BCS[:, present])
        return x_BCM + self.channels[present] + meta_M

    def queries(self, present: Tensor, meta_M: Tensor) -> Tensor:
        """Give `(channels of the session, model width)`: what asks for each channel."""
        return self.channels[present] + meta_M

    def read(self, x_BCM: Tensor, present: Tensor) -> Tensor:
        """Turn decoded queries into traces of the session's channels.

        Returns:
            float32 `(batch, channels of the session, 40)`.
        """
        readout_CSM = self.readout[present].to(x_BCM.dtype)
        return torch.einsum("bcm,csm->bcs", x_BCM, readout_CSM).float()

    def of_all_channels(self, traces_BCS: Tensor, present: Tensor) -> Tensor:
        """Give traces of all channels of the data set, 0 where the session has none."""
        batch, _, samples = traces_BCS.shape
        out_BCS = traces_BCS.new_zeros(batch, len(self.channels), samples)
        return out_BCS.index_copy(1, present, traces_BCS)


class Latents(nn.Module):
    """What a window is written into: the same latents for each of its groups, and global ones.

    Args:
        per_group: Latents of a group of 10 samples.
        num_global: Latents of the whole window.
        d_model: Width of the model.
    """

    def __init__(self, per_group: int, num_global: int, d_model: int) -> None:
        super().__init__()
        self.per_group = per_group
        self.vectors = parameter(per_group + num_global, d_model)
        # Of responses, video and behavior, in this order: added where one is not seen.
        self.missing = nn.Parameter(scaled_(torch.empty(3, d_model)))

    def forward(self, num_groups: int, meta_M: Tensor, seen: tuple[bool, bool, bool]) -> Tensor:
        """Give the latents of a window.

        Args:
            num_groups: Groups that exist.
            meta_M: Which recording it is.
            seen: Whether responses, video and behavior are seen.

        Returns:
            `(latents, model width)`.
        """
        grouped_LM = self.vectors[: self.per_group].repeat(num_groups, 1)
        latents_LM = torch.cat([grouped_LM, self.vectors[self.per_group :]])
        for vector_M, is_seen in zip(self.missing.unbind(0), seen, strict=True):
            if not is_seen:
                meta_M = meta_M + vector_M
        return latents_LM + meta_M
