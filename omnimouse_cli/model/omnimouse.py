"""The model: one forward pass for every strategy and every subset of modalities."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import (
    NUM_BEHAVIOR_SAMPLES,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.model.blocks import CrossBlock, SelfBlock, hidden_width
from omnimouse_cli.model.feed_forward import feed_forward_factory, shared_dendrite
from omnimouse_cli.model.initialize import linear
from omnimouse_cli.model.own_history import Targets
from omnimouse_cli.model.plan import Plan, SequenceAngles
from omnimouse_cli.model.population_state import visible_piece
from omnimouse_cli.model.prepare import Prepared, prepare
from omnimouse_cli.model.readout import ResponseReadout, of_neurons
from omnimouse_cli.model.rotary import rotary_angles
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.model.shortcuts import LinearPaths
from omnimouse_cli.model.tokens import BehaviorTokens, Identities, Latents, ResponseTokens
from omnimouse_cli.model.video import VideoEncoder

# B batch, S samples, V visible neurons, G target neurons, C channels, L tokens,
# N neurons of the session, M width of the model


class Prediction(NamedTuple):
    """What the model answers.

    Args:
        responses: float32 `(batch, asked samples, targets)`, in the units of the batch's
            responses; None if none are asked for.
        behavior: float32 `(batch, channels of the data set, 40)`, z-scored, 0 for channels that
            the session lacks; None if it is not asked for or the session has none.
    """

    responses: Tensor | None
    behavior: Tensor | None


class _Inputs(NamedTuple):
    """A forward pass, and the identity of its neurons and its recording."""

    given: Prepared
    table: SessionEmbeddings
    identity: Tensor
    meta: Tensor


class OmniMouse(nn.Module):
    """The core that all animals share.

    Args:
        config: Its shape; `response_loss` is set.
        behavior_channels: Channels of the data set, in the order of a batch's.
        animals: Animals of the data set.

    Example:
        >>> from dataclasses import replace
        >>> from omnimouse_cli.config.sizes import SIZES
        >>> nano = replace(SIZES["nano"], response_loss="gaussian")
        >>> model = OmniMouse(nano, behavior_channels=("running",), animals=("mouse",))
        >>> model.fusion[0].num_heads
        2
    """

    def __init__(
        self, config: ModelConfig, *, behavior_channels: Sequence[str], animals: Sequence[str]
    ) -> None:
        super().__init__()
        # Leaves the transformer out of `forward`: predictions then come from the shortcuts and the
        # neurons' biases alone, at a small part of the cost. The training loop sets it while only
        # the shortcuts are trained. It is not saved.
        self.shortcuts_only = False
        if config.response_loss is None:
            raise ValueError("`response_loss` must be set before a model is built: None")
        self.config = config
        self.behavior_channels = tuple(behavior_channels)
        self.animals = tuple(animals)
        width, heads, dropout = config.d_model, config.num_heads, config.dropout
        hidden = hidden_width(width, config.feed_forward_multiplier, config.feed_forward_multiple)
        self.identities = Identities(
            d_embedding=config.d_embedding,
            d_model=width,
            num_animals=len(self.animals),
            neuron_dropout=config.neuron_dropout,
        )
        self.response_tokens = ResponseTokens(width)
        self.behavior = BehaviorTokens(len(behavior_channels), width) if behavior_channels else None
        self.latents = Latents(config.latents.per_group, config.latents.num_global, width)
        self.dendrite = shared_dendrite(config)
        make = feed_forward_factory(config, self.dendrite)
        self.video = VideoEncoder(config, make)
        self.encoder = CrossBlock(width, heads, hidden, dropout, make)
        self.fusion = nn.ModuleList(
            SelfBlock(width, heads, hidden, dropout, make) for _ in range(config.layers)
        )
        decoder_hidden = hidden_width(
            width, config.decoder.feed_forward_multiplier, config.feed_forward_multiple
        )
        self.decoder = CrossBlock(width, heads, decoder_hidden, dropout, make)
        self.readout = ResponseReadout(width, config.decoder, config.response_loss)
        self.linear_paths = LinearPaths(config, len(behavior_channels))
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
        table: SessionEmbeddings,
        animal: str,
        strategy: Strategy,
        selection: Selection,
    ) -> Prediction:
        """Predict what a strategy asks for from what it shows.

        Args:
            batch: Windows of one session, on the model's device.
            table: The session's own parameters.
            animal: Whose session it is.
            strategy: What is seen and asked.
            selection: Which neurons those are.
        """
        given: Prepared = prepare(self.config, batch, strategy, selection)
        decoded_BLM = None
        if not self.shortcuts_only:
            identity_NM, meta_M = self.identities(table, self._animal(animal))
            inputs = _Inputs(given=given, table=table, identity=identity_NM, meta=meta_M)
            memory_BLM = self._fuse(inputs, self._video_tokens(given))
            decoded_BLM = self._decode(inputs, memory_BLM)
        return self._read_out(given, table, decoded_BLM)

    def past_transformer(
        self,
        batch: Batch,
        table: SessionEmbeddings,
        animal: str,  # noqa: ARG002 - one signature for both ways to predict
        strategy: Strategy,
        selection: Selection,
    ) -> Prediction:
        """Predict on the short ways alone, at a small part of the price; arguments as above."""
        return self._read_out(prepare(self.config, batch, strategy, selection), table, None)

    def _animal(self, animal: str) -> int:
        if animal not in self.animals:
            raise ConfigError(
                f"the model knows the animals {', '.join(self.animals)}, and not {animal}",
                hint="train on a data set that has this animal",
            )
        return self.animals.index(animal)

    def _angles(self, plan: Plan) -> SequenceAngles:
        return plan.angles(self.get_buffer("rotary_cos"), self.get_buffer("rotary_sin"))

    def _video_tokens(self, given: Prepared) -> Tensor | None:
        features, strategy = given.layout.features, given.request.strategy
        if features is None:
            return None
        assert given.batch.video is not None
        assert strategy.video is not None
        video_BLM: Tensor = self.video(given.batch.video, strategy.video, features)
        return video_BLM

    def _fuse(self, inputs: _Inputs, video_BLM: Tensor | None) -> Tensor:
        """Write everything that is seen into latents and video tokens."""
        given = inputs.given
        layout, plan, angles = given.layout, given.plan, self._angles(given.plan)
        seen = (bool(layout.pieces), video_BLM is not None, given.request.channels_seen > 0)
        latents_LM = self.latents(len(layout.latent_groups), inputs.meta, seen)
        memory_BLM: Tensor = latents_LM.expand(given.batch.num_windows, -1, -1)
        context_BLM = self._context(inputs)
        if context_BLM is not None:
            memory_BLM = self.encoder(
                memory_BLM, context_BLM, angles.latents, angles.context, plan.encoder_mask
            )
        if video_BLM is not None:
            memory_BLM = torch.cat([memory_BLM, video_BLM.to(memory_BLM.dtype)], dim=1)
        for layer, kind in zip(self.fusion, fusion_pattern(self.config), strict=True):
            mask = plan.fusion_mask if kind == "L" else None
            memory_BLM = layer(memory_BLM, angles.fusion, mask)
        return memory_BLM

    def _context(self, inputs: _Inputs) -> Tensor | None:
        """Make tokens of visible responses and behavior."""
        given, parts = inputs.given, []
        for piece in given.layout.pieces:
            responses_BSV, index_BV = visible_piece(given.batch, given.selection, piece)
            identity_BVM = nn.functional.embedding(index_BV, inputs.identity)
            parts.append(self.response_tokens(responses_BSV, identity_BVM))
        if given.request.channels_seen:
            assert self.behavior is not None
            parts.append(self.behavior(given.batch.behavior, given.channels, inputs.meta))
        return torch.cat(parts, dim=1) if parts else None

    def _decode(self, inputs: _Inputs, memory_BLM: Tensor) -> Tensor | None:
        """Ask the memory for responses and behavior; None if nothing is asked."""
        given, queries = inputs.given, []
        if given.request.targets_asked:
            query_BGM = self.readout.ask(inputs.identity, targets_of(given))
            queries.append(query_BGM.repeat(1, given.request.num_query_times, 1))
        if given.request.channels_asked:
            assert self.behavior is not None
            query_CM = self.behavior.queries(given.channels, inputs.meta)
            queries.append(query_CM.expand(given.batch.num_windows, -1, -1))
        if not queries:
            return None
        angles, query_BLM = self._angles(given.plan), torch.cat(queries, dim=1)
        x_BLM: Tensor = self.decoder(
            query_BLM, memory_BLM, angles.queries, angles.fusion, given.plan.decoder_mask
        )
        return x_BLM

    def _read_out(
        self, given: Prepared, table: SessionEmbeddings, x_BLM: Tensor | None
    ) -> Prediction:
        """Turn decoded queries, if any, and what comes past them into what is asked."""
        request, responses, behavior = given.request, None, None
        baseline_N = self.readout.activate(table.neuron_biases[:, 0]).detach()
        states = self.linear_paths(given, table, baseline_N)
        num_queries = request.targets_asked * request.num_query_times
        if request.targets_asked:
            targets = targets_of(given)
            added = self.linear_paths.responses(states, given, table, targets.neurons)
            decoded_BLM = None if x_BLM is None else x_BLM[:, :num_queries]
            responses = self.readout(decoded_BLM, targets, added, table.neuron_biases)
        if request.channels_asked:
            assert self.behavior is not None
            shape = (given.batch.num_windows, request.channels_asked, NUM_BEHAVIOR_SAMPLES)
            traces_BCS = given.batch.responses.new_zeros(shape)
            if x_BLM is not None:
                traces_BCS = self.behavior.read(x_BLM[:, num_queries:], given.channels)
            for part_BCS in self.linear_paths.channels(states, given.channels):
                traces_BCS = traces_BCS + part_BCS.float()
            behavior = self.behavior.of_all_channels(traces_BCS, given.channels)
        return Prediction(responses, behavior)


def targets_of(given: Prepared) -> Targets:
    """Give the neurons that a forward pass asks for."""
    batch, selection = given.batch, given.selection
    return Targets(
        neurons=batch.neuron_index.gather(1, selection.targets),
        responses=of_neurons(batch.responses, selection.targets),
        strategy=given.request.strategy,
        num_shared=selection.num_shared,
    )


def fusion_pattern(config: ModelConfig) -> str:
    """Give L or G for each fusion layer: whole cycles at the end, local layers before them."""
    cycles = config.layers // len(config.pattern)
    return "L" * (config.layers % len(config.pattern)) + config.pattern * cycles
