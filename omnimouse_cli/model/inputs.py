"""Everything of a forward pass that does not depend on parameters: inputs, sequences, masks."""

from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

import torch
from torch import Tensor, nn

from omnimouse_cli.batch.batch import Batch, copy_without_wait
from omnimouse_cli.batch.dataset import require_frame_size
from omnimouse_cli.batch.selection import Selection
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.kernels.attention import AttentionMask, interval_mask
from omnimouse_cli.model.rotary import Angles
from omnimouse_cli.model.sequences import (
    ResponseSegment,
    Sequences,
    Task,
    TokenSequence,
    build_sequences,
    token_intervals,
)

# B batch, S samples, V visible neurons, G target neurons, N neurons of the batch


class SequenceAngles(NamedTuple):
    """Angles of the rotary position embedding (RoPE) of each sequence."""

    context: Angles
    latents: Angles
    fusion: Angles
    read: Angles
    queries: Angles


class TargetNeurons(NamedTuple):
    """The neurons whose responses are predicted.

    Args:
        neurons: int64 `(batch, targets)`, rows of the session embeddings.
        responses: `(batch, 60, targets)`, hidden samples included.
        strategy: Decides which samples are visible.
        num_shared: The first `num_shared` targets are visible neurons as well.
    """

    neurons: Tensor
    responses: Tensor
    strategy: Strategy
    num_shared: int


class ModelInputs(NamedTuple):
    """A batch under a masking strategy.

    Args:
        batch: Recorded windows; lost and hidden behavior samples are 0.
        selection: Visible and target neurons, on the batch's device.
        channels: int64 numbers of the session's behavior channels.
        task: Which modalities are inputs and targets, and how many of each.
        sequences: Token sequences.
        read: int64 positions of the fusion tokens that the decoder reads; None is all.
        times: int64 times, in samples, of context, latents, fusion, read tokens and queries.
        encoder_mask: From latents to context.
        fusion_mask: Attention mask of the local fusion layers.
        decoder_mask: From queries to the tokens that the decoder reads.
        lost_behavior: float32 `(batch,)`: share of each window's behavior samples that are lost or
            hidden; None where behavior is no input.
    """

    batch: Batch
    selection: Selection
    channels: Tensor
    task: Task
    sequences: Sequences
    read: Tensor | None
    times: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    encoder_mask: AttentionMask
    fusion_mask: AttentionMask
    decoder_mask: AttentionMask
    lost_behavior: Tensor | None

    def angles(self, cos: Tensor, sin: Tensor) -> SequenceAngles:
        """Select the angles of every token from those of all times, `(60, pairs)` each."""
        return SequenceAngles(*(Angles(cos[times], sin[times]) for times in self.times))

    def target_neurons(self) -> TargetNeurons:
        """Select the neurons whose responses are predicted."""
        targets = self.selection.targets
        return TargetNeurons(
            neurons=self.batch.neuron_index.gather(1, targets),
            responses=select_neurons(self.batch.responses, targets),
            strategy=self.task.strategy,
            num_shared=self.selection.num_shared,
        )

    def compute_once(
        self,
        key: Hashable,
        targets: TargetNeurons,
        compute: Callable[[TargetNeurons], Tensor],
    ) -> Tensor:
        """Return a term of target neurons that does not depend on which neurons are visible.

        Where the batch keeps what was computed, the term of all neurons is computed, and those of
        the targets are selected: other draws of context neurons have other targets.

        Args:
            key: Names the term, with all that it depends on beside windows and neurons.
            targets: Target neurons.
            compute: Computes the term of some neurons, `(batch, target samples, neurons)`.

        Returns:
            `(batch, target samples, targets)`.
        """
        if self.batch.kept is None:
            return compute(targets)
        everyone = targets._replace(neurons=self.batch.neuron_index, responses=self.batch.responses)
        term_BAN = self.batch.compute_once(key, lambda: compute(everyone))
        return select_neurons(term_BAN, self.selection.targets)

    def visible_responses(self, segment: ResponseSegment) -> tuple[Tensor, Tensor]:
        """Select the visible responses of a segment, and the rows of their embeddings.

        Returns:
            `(batch, samples, neurons)` and int64 `(batch, neurons)`.
        """
        batch, selection = self.batch, self.selection
        responses_BSN = batch.responses[:, segment.first : segment.last]
        if segment.all_neurons or selection.num_visible == selection.num_neurons:
            return responses_BSN, batch.neuron_index
        visible_BV = selection.visible
        return (
            select_neurons(responses_BSN, visible_BV),
            batch.neuron_index.gather(1, visible_BV),
        )


# Caches, masks and lookups are not traced by a compiler.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def prepare_inputs(
    config: ModelConfig, batch: Batch, strategy: Strategy, selection: Selection
) -> ModelInputs:
    """Prepare a forward pass.

    Args:
        config: Configuration of the model.
        batch: Recorded windows of one session.
        strategy: Which inputs are visible and what is predicted.
        selection: Visible and target neurons.

    Raises:
        ConfigError: The model is configured for frames of another size.
    """
    device = batch.responses.device
    selection = selection.to(device)
    task = _task(config, batch, strategy, selection)
    sequences = build_sequences(config, task)
    lost_behavior_B = None
    if task.num_input_channels:
        batch, lost_behavior_B = _fill_lost_behavior(
            batch, task.num_channels, strategy.behavior_samples
        )
    latents, fusion = token_intervals(sequences.latents), token_intervals(sequences.fusion)
    context, queries = token_intervals(sequences.context), token_intervals(sequences.queries)
    read, positions = _read_tokens(config, sequences, device)
    return ModelInputs(
        batch=batch,
        selection=selection,
        channels=channel_numbers(batch, device),
        task=task,
        sequences=sequences,
        read=positions,
        times=(
            _times(sequences.context, device),
            _times(sequences.latents, device),
            _times(sequences.fusion, device),
            _times(read, device),
            _times(sequences.queries, device),
        ),
        encoder_mask=interval_mask(latents, context, device),
        fusion_mask=interval_mask(fusion, fusion, device),
        decoder_mask=interval_mask(queries, token_intervals(read), device),
        lost_behavior=lost_behavior_B,
    )


def _read_tokens(
    config: ModelConfig, sequences: Sequences, device: torch.device
) -> tuple[TokenSequence, Tensor | None]:
    """Return the fusion tokens that the last fusion layer computes, and their positions.

    Where a CPU only predicts, they are those that a query sees. Training and compiled code compute
    all of them, as costs are counted and as few lengths are compiled for. So do last layers with a
    mask.
    """
    if device.type != "cpu" or torch.is_grad_enabled() or not config.pattern.endswith("G"):
        return sequences.fusion, None
    is_read = sequences.read
    if all(is_read) or not any(is_read):
        return sequences.fusion, None
    return tuple(compress(sequences.fusion, is_read)), _positions(sequences.fusion, is_read)


@lru_cache(maxsize=512)
def _positions(sequence: TokenSequence, chosen: tuple[bool, ...]) -> Tensor:
    """Return the positions of the tokens of some groups, int64 `(tokens,)` on the CPU."""
    with torch.inference_mode(mode=False):
        counts = torch.tensor([group.interval.tokens for group in sequence])
        return torch.tensor(chosen).repeat_interleave(counts).nonzero()[:, 0]


def _fill_lost_behavior(
    batch: Batch, num_channels: int, visible: tuple[int, int]
) -> tuple[Batch, Tensor]:
    """Set lost and hidden samples to 0, the mean of their channel, and return their share.

    Args:
        batch: Recorded windows with behavior.
        num_channels: Behavior channels of the session; the others are 0 and not lost.
        visible: First behavior sample that is an input, and the one after the last.

    Returns:
        The batch, and float32 `(batch,)`.
    """
    assert batch.behavior is not None, "the session has behavior channels"
    num_samples, (first, last) = batch.behavior.shape[2], visible
    visible_BCS = batch.behavior[:, :, first:last]
    lost_BCS = visible_BCS.isnan()
    num_hidden = num_channels * (num_samples - (last - first))
    share_B = (lost_BCS.sum(dim=(1, 2)) + num_hidden) / (num_channels * num_samples)
    filled_BCS = nn.functional.pad(
        visible_BCS.masked_fill(lost_BCS, 0.0), (first, num_samples - last)
    )
    return replace(batch, behavior=filled_BCS), share_B


def channel_numbers(batch: Batch, device: torch.device) -> Tensor:
    """Return the numbers of the session's behavior channels, int64 `(channels of the session,)`.

    Args:
        batch: Without behavior it has no channel.
        device: Where the numbers are needed.
    """
    present = () if batch.behavior is None else batch.behavior_present.nonzero()[0].tolist()
    return _numbers_on(tuple(present), device)


@lru_cache(maxsize=1024)
def _numbers_on(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    with torch.inference_mode(mode=False):
        return copy_without_wait(torch.tensor(numbers, dtype=torch.long), device)


def select_neurons(responses_BSN: Tensor, positions_BG: Tensor) -> Tensor:
    """Select the responses of some neurons of every window: `(batch, samples, neurons)`."""
    index_BSG = positions_BG[:, None].expand(-1, responses_BSN.shape[1], -1)
    return torch.gather(responses_BSN, 2, index_BSG)


def _task(config: ModelConfig, batch: Batch, strategy: Strategy, selection: Selection) -> Task:
    video = batch.video
    if video is not None:
        height, width = video.shape[-2:]
        require_frame_size(batch.session, (height, width), config.video, model="the model")
    return Task(
        strategy=strategy,
        num_neurons=selection.num_neurons,
        num_visible=selection.num_visible,
        num_targets=selection.num_targets if strategy.targets else 0,
        num_channels=0 if batch.behavior is None else int(batch.behavior_present.sum()),
        has_screen=video is not None,
    )


@lru_cache(maxsize=512)
def _times(sequence: TokenSequence, device: torch.device) -> Tensor:
    # Cached times outlive an evaluation; created in inference mode, they could not be trained with.
    with torch.inference_mode(mode=False):
        runs = torch.tensor(
            [(group.time, group.interval.tokens) for group in sequence], dtype=torch.long
        ).reshape(-1, 2)
        return copy_without_wait(runs[:, 0].repeat_interleave(runs[:, 1]), device)
