"""The model: one forward pass for every masking strategy and every subset of modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.model.activation_checkpointing import run_block
from omnimouse_cli.model.blocks import CrossBlock, SelfBlock, hidden_width
from omnimouse_cli.model.feed_forward import feed_forward_factory, shared_dendrite
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.inputs import ModelInputs, SequenceAngles, TargetNeurons, prepare_inputs
from omnimouse_cli.model.precision import parameter_precision
from omnimouse_cli.model.readout import ResponseReadout
from omnimouse_cli.model.rotary import rotary_angles
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.model.shortcuts import Shortcuts
from omnimouse_cli.model.tokens import BehaviorTokens, IdentityEmbeddings, Latents, ResponseTokens
from omnimouse_cli.model.video import VideoEncoder

# B batch, S samples, V visible neurons, G target neurons, C channels, L tokens,
# N neurons of the session, M width of the model


class Prediction(NamedTuple):
    """Predicted targets.

    Args:
        responses: float32 `(batch, target samples, targets)`, in the units of the batch's
            responses; None if they are no target.
        behavior: float32 `(batch, channels of the data set, 40)`, z-scored, 0 for channels that
            the session lacks; None if it is no target or the session has none.
    """

    responses: Tensor | None
    behavior: Tensor | None


class OmniMouse(nn.Module):
    """The core: all parameters shared by animals, that is everything but the session embeddings.

    Args:
        config: Configuration of the model; `response_loss` is set.
        behavior_channels: Channels of the data set, in the order of a batch's.
        animals: Animals of the data set.

    Attributes:
        shortcuts_only: Leaves the transformer out of `forward`: predictions then come from the
            shortcuts and the neurons' biases alone, at a small part of the cost. The training loop
            sets it while only the shortcuts are trained. It is not saved.
        recomputes: Computes encoder, fusion layers and video blocks again in the backward pass
            instead of storing what it needs. It is not saved.

    Example:
        >>> from dataclasses import replace
        >>> from omnimouse_cli.config.sizes import SIZES
        >>> nano = replace(SIZES["nano"], response_loss="gaussian")
        >>> model = OmniMouse(nano, behavior_channels=("running",), animals=("mouse",))
        >>> len(model.fusion), model.fusion[0].num_heads
        (2, 2)
    """

    def __init__(
        self, config: ModelConfig, *, behavior_channels: Sequence[str], animals: Sequence[str]
    ) -> None:
        super().__init__()
        self.shortcuts_only = False
        self.recomputes = False
        if config.response_loss is None:
            raise ValueError("`response_loss` must be set before a model is built: None")
        self.config = config
        self.behavior_channels = tuple(behavior_channels)
        self.animals = tuple(animals)
        width, heads, dropout = config.d_model, config.num_heads, config.dropout
        hidden = hidden_width(width, config.feed_forward_multiplier, config.feed_forward_multiple)
        self.identities = IdentityEmbeddings(
            d_embedding=config.d_embedding,
            d_model=width,
            num_animals=len(self.animals),
            neuron_dropout=config.neuron_dropout,
        )
        self.response_tokens = ResponseTokens(width)
        self.behavior = None
        if behavior_channels:
            starts_at_zero = config.decoder.linear_rank is not None
            self.behavior = BehaviorTokens(
                len(behavior_channels), width, starts_at_zero=starts_at_zero
            )
        self.latents = Latents(config.latents.per_group, config.latents.num_global, width)
        self.dendrite = shared_dendrite(config)
        make_feed_forward = feed_forward_factory(config, self.dendrite)
        self.video = VideoEncoder(config, make_feed_forward)
        self.encoder = CrossBlock(width, heads, hidden, dropout, make_feed_forward)
        self.fusion = nn.ModuleList(
            SelfBlock(width, heads, hidden, dropout, make_feed_forward)
            for _ in range(config.layers)
        )
        decoder_hidden = hidden_width(
            width, config.decoder.feed_forward_multiplier, config.feed_forward_multiple
        )
        self.decoder = CrossBlock(width, heads, decoder_hidden, dropout, make_feed_forward)
        self.readout = ResponseReadout(width, config.decoder, config.response_loss)
        # The attribute has the name of the weights in existing files.
        self.linear_paths = Shortcuts(config, len(behavior_channels))
        if config.experiment_time:
            self.experiment_time = linear(config.d_embedding, width, bias=True)
            self.experiment_time.requires_grad_(requires_grad=False)
        times = torch.arange(NUM_RESPONSE_SAMPLES, dtype=torch.float64) / RESPONSE_RATE_HZ
        cos, sin = rotary_angles(
            times, head_width=width // heads, shortest_seconds=config.rope_shortest_seconds
        )
        self.register_buffer("rotary_cos", cos, persistent=False)
        self.register_buffer("rotary_sin", sin, persistent=False)

    def forward(
        self,
        batch: Batch,
        embeddings: SessionEmbeddings,
        animal: str,
        strategy: Strategy,
        selection: Selection,
    ) -> Prediction:
        """Predict the targets of a masking strategy from its inputs.

        Args:
            batch: Windows of one session, on the model's device.
            embeddings: Embeddings of the session.
            animal: Animal of the session.
            strategy: Which inputs are visible and what is predicted.
            selection: Visible and target neurons.
        """
        inputs: ModelInputs = prepare_inputs(self.config, batch, strategy, selection)
        targets = inputs.target_neurons() if inputs.task.num_targets else None
        x_BLM = None
        if not self.shortcuts_only:
            x_BLM = self._transform(inputs, embeddings, animal, targets)
        biases_N1 = embeddings.neuron_biases
        with parameter_precision(biases_N1.device):
            x_BLM = None if x_BLM is None else x_BLM.to(biases_N1.dtype)
            return self._read_out(inputs, embeddings, targets, x_BLM)

    def _transform(
        self,
        inputs: ModelInputs,
        embeddings: SessionEmbeddings,
        animal: str,
        targets: TargetNeurons | None,
    ) -> Tensor | None:
        """Return the decoded queries of responses and behavior; None without queries."""
        if animal not in self.animals:
            raise ConfigError(
                f"the model knows the animals {', '.join(self.animals)}, and not {animal}",
                hint="train on a data set that has this animal",
            )
        identity_NM, session_animal_M = self.identities(embeddings, self.animals.index(animal))
        angles = inputs.angles(self.get_buffer("rotary_cos"), self.get_buffer("rotary_sin"))
        memory_BLM = self._encode(inputs, angles, identity_NM, session_animal_M)
        queries_BLM = self._queries(inputs, targets, identity_NM, session_animal_M)
        if queries_BLM is None:
            return None
        mask = inputs.decoder_mask
        x_BLM: Tensor = self.decoder(queries_BLM, memory_BLM, angles.queries, angles.read, mask)
        return x_BLM

    def _encode(
        self,
        inputs: ModelInputs,
        angles: SequenceAngles,
        identity_NM: Tensor,
        session_animal_M: Tensor,
    ) -> Tensor:
        """Return the latents and video tokens that are read, after encoder and fusion layers."""
        task, sequences = inputs.task, inputs.sequences
        video_BLM = None
        if sequences.video_steps is not None:
            frames, steps = task.strategy.video, sequences.video_steps
            video_BLM = inputs.batch.compute_once(
                ("video", frames, steps),
                lambda: self.video(inputs.batch.video, frames, steps, recomputes=self.recomputes),
            )
        available = (bool(sequences.segments), task.has_video, task.num_input_channels > 0)
        latents_LM = self.latents(len(sequences.latent_groups), session_animal_M, available)
        memory_BLM: Tensor = latents_LM.expand(inputs.batch.num_windows, -1, -1)
        if inputs.lost_behavior is not None:
            memory_BLM = memory_BLM + self.latents.lost_behavior(inputs.lost_behavior)
        context_BLM = self._context(inputs, identity_NM, session_animal_M)
        if context_BLM is not None:
            memory_BLM = run_block(
                self.encoder,
                memory_BLM,
                context_BLM,
                angles.latents,
                angles.context,
                inputs.encoder_mask,
                recomputes=self.recomputes,
            )
        if video_BLM is not None:
            memory_BLM = torch.cat([memory_BLM, video_BLM.to(memory_BLM.dtype)], dim=1)
        for layer, kind in zip(self.fusion, fusion_pattern(self.config), strict=True):
            if inputs.read is not None and layer is self.fusion[-1]:
                assert isinstance(layer, SelfBlock)
                return layer.transform_some(memory_BLM, angles.fusion, inputs.read)
            mask = inputs.fusion_mask if kind == "L" else None
            memory_BLM = run_block(
                layer, memory_BLM, angles.fusion, mask, recomputes=self.recomputes
            )
        return memory_BLM

    def _context(
        self, inputs: ModelInputs, identity_NM: Tensor, session_animal_M: Tensor
    ) -> Tensor | None:
        """Return the tokens of visible responses and behavior; None without any."""
        parts = []
        for segment in inputs.sequences.segments:
            responses_BSV, index_BV = inputs.visible_responses(segment)
            identity_BVM = nn.functional.embedding(index_BV, identity_NM)
            parts.append(self.response_tokens(responses_BSV, identity_BVM))
        if inputs.task.num_input_channels:
            assert self.behavior is not None
            parts.append(self.behavior(inputs.batch.behavior, inputs.channels, session_animal_M))
        return torch.cat(parts, dim=1) if parts else None

    def _queries(
        self,
        inputs: ModelInputs,
        targets: TargetNeurons | None,
        identity_NM: Tensor,
        session_animal_M: Tensor,
    ) -> Tensor | None:
        """Return the decoder queries of responses and behavior; None without targets."""
        parts = []
        if targets is not None:
            query_BGM = self.readout.queries(identity_NM, targets)
            parts.append(query_BGM.repeat(1, inputs.task.num_query_times, 1))
        if inputs.task.num_target_channels:
            assert self.behavior is not None
            query_CM = self.behavior.queries(inputs.channels, session_animal_M)
            parts.append(query_CM.expand(inputs.batch.num_windows, -1, -1))
        return torch.cat(parts, dim=1) if parts else None

    def _read_out(
        self,
        inputs: ModelInputs,
        embeddings: SessionEmbeddings,
        targets: TargetNeurons | None,
        x_BLM: Tensor | None,
    ) -> Prediction:
        """Predict from decoded queries, if the transformer is used, and from the shortcuts."""
        task, responses, behavior = inputs.task, None, None
        resting_rate_N = self.readout.activate(embeddings.neuron_biases[:, 0]).detach()
        shortcuts = self.linear_paths(inputs, embeddings, resting_rate_N, targets)
        num_queries = task.num_targets * task.num_query_times
        if targets is not None:
            decoded_BLM = None if x_BLM is None else x_BLM[:, :num_queries]
            responses = self.readout(decoded_BLM, targets, shortcuts, embeddings.neuron_biases)
        if task.num_target_channels:
            assert self.behavior is not None
            shape = (inputs.batch.num_windows, task.num_target_channels, NUM_BEHAVIOR_SAMPLES)
            traces_BCS = inputs.batch.responses.new_zeros(shape)
            if x_BLM is not None:
                traces_BCS = self.behavior.read_out(x_BLM[:, num_queries:], inputs.channels)
            for term_BCS in shortcuts.channels:
                traces_BCS = traces_BCS + term_BCS
            behavior = self.behavior.scatter_channels(traces_BCS, inputs.channels)
        return Prediction(responses, behavior)


def fusion_pattern(config: ModelConfig) -> str:
    """Return L or G for each fusion layer: whole cycles at the end, local layers before them."""
    cycles = config.layers // len(config.pattern)
    return "L" * (config.layers % len(config.pattern)) + config.pattern * cycles
