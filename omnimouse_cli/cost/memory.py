"""Memory of a training step's activations, counted without building the model.

Counted is what autograd stores, tensor by tensor: with products in bfloat16, their inputs are
stored in bfloat16, and the inputs of norms, which are the residual stream, in float32. A compiled
block stores less, since it computes norms, casts and non-linearities again.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from omnimouse_cli.batch.strategy import TOKEN_SAMPLES
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import GATED, FeedForwardKind, ModelConfig
from omnimouse_cli.cost.flops import num_motion_energies, num_target_samples
from omnimouse_cli.kernels.attention import copied_tokens
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.feed_forward import matched_width
from omnimouse_cli.model.motion_energy import TIMES, energy_grid
from omnimouse_cli.model.omnimouse import fusion_pattern
from omnimouse_cli.model.precision import Precision
from omnimouse_cli.model.sequences import (
    Sequences,
    Task,
    TokenSequence,
    build_sequences,
    num_tokens,
    token_intervals,
)
from omnimouse_cli.model.shortcuts import has_history
from omnimouse_cli.model.video import block_shapes
from omnimouse_cli.model.video_blocks import POOLED, VideoBlockShape

FLOAT_BYTES, BFLOAT16_BYTES = 4, 2

# Hidden units that a feed-forward stores per hidden unit, without and with compilation: results of
# both projections and inputs of the last one, and where it is not computed again the non-linearity.
UNITS_STORED: dict[FeedForwardKind, tuple[int, int]] = {
    "swiglu": (4, 3),
    "geglu": (4, 3),
    "dendritic": (3, 3),
    # As with two arguments, of which the second is 1.
    "learned": (3, 3),
    "gelu": (2, 2),
    "relu": (1, 1),
}


class StepMode(NamedTuple):
    """How a training step is computed, as far as its memory depends on it.

    Args:
        device: `cpu` or `cuda`.
        precision: Precision of matrix products.
        is_compiled: Whether blocks are compiled.
        recomputes: Whether blocks are computed again in the backward pass
            (`train.activation_checkpointing`).
    """

    device: str
    precision: Precision
    is_compiled: bool = False
    recomputes: bool = False

    @property
    def product_bytes(self) -> int:
        """Bytes of a number that a matrix product reads or writes."""
        return BFLOAT16_BYTES if self.precision == "bfloat16" else FLOAT_BYTES

    @property
    def norm_bytes(self) -> int:
        """Bytes that a norm with weights stores per number beside its input and its output."""
        return FLOAT_BYTES if self.device == "cpu" else 0

    @property
    def casts(self) -> bool:
        """Whether casts between precisions are stored."""
        return self.precision == "bfloat16" and not self.is_compiled


class Activations(NamedTuple):
    """Bytes of a batch's activations at the peak of a step.

    Args:
        stored: What the forward pass has stored and the backward pass has not yet freed.
        workspace: Gradients of activations in the block of the backward pass at the peak, and the
            activations of that block if it is computed again.
    """

    stored: int
    workspace: int

    @property
    def total(self) -> int:
        """Bytes of both."""
        return self.stored + self.workspace


class _Part(NamedTuple):
    """Bytes that a part of the model stores, and that its backward pass needs beside them."""

    stored: int
    workspace: int = 0


def count_activations(
    config: ModelConfig, task: Task, *, batch_size: int, mode: StepMode
) -> Activations:
    """Count the bytes of activations at the peak of a training step.

    The backward pass goes through the model from its end: in each part there are the activations
    of this part and of those before it, and the gradients within this part. The peak is the largest
    such sum.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
        batch_size: Windows per batch.
        mode: How the step is computed.
    """
    stored, peak = 0, Activations(0, 0)
    for part in _parts(config, task, mode):
        stored += batch_size * part.stored
        here = Activations(stored, batch_size * part.workspace)
        peak = max(peak, here, key=lambda sums: sums.total)
    return peak


def count_stored(config: ModelConfig, task: Task, *, batch_size: int, mode: StepMode) -> int:
    """Count the bytes that the forward pass of a batch stores for the backward pass.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
        batch_size: Windows per batch.
        mode: How the step is computed.
    """
    return batch_size * sum(part.stored for part in _parts(config, task, mode))


def _parts(config: ModelConfig, task: Task, mode: StepMode) -> Iterator[_Part]:
    """Yield the parts of the model in the order of its forward pass, for one window."""
    sequences, width = build_sequences(config, task), config.d_model
    context, latents = num_tokens(sequences.context), num_tokens(sequences.latents)
    fusion, queries = num_tokens(sequences.fusion), num_tokens(sequences.queries)
    yield from _video(config, sequences, mode)
    if context:
        yield _Part(mode.product_bytes * context * TOKEN_SAMPLES)
        encoder = [
            _cross_attention(config, sequences.latents, sequences.context, mode),
            _feed_forward(config, latents, width, mode),
        ]
        yield from _block(encoder, FLOAT_BYTES * (latents + context) * width, mode)
    feed_forward = _feed_forward(config, fusion, width, mode)
    attention = {
        kind: _self_attention(config, sequences.fusion, mode, is_local=kind == "L") for kind in "LG"
    }
    for kind in fusion_pattern(config):
        yield from _block([attention[kind], feed_forward], FLOAT_BYTES * fusion * width, mode)
    if queries:
        multiplier = config.decoder.feed_forward_multiplier
        yield _cross_attention(config, sequences.queries, sequences.fusion, mode)
        yield _feed_forward(config, queries, width, mode, multiplier=multiplier)
        yield _readout(config, task, sequences, mode)


def _block(parts: Sequence[_Part], inputs: int, mode: StepMode) -> Iterator[_Part]:
    """Yield the parts of a block; computed again, it stores its inputs alone.

    Args:
        parts: Attention and feed-forward.
        inputs: Bytes of the block's inputs.
        mode: How the step is computed.
    """
    if mode.recomputes:
        again = sum(part.stored for part in parts) - inputs
        yield _Part(inputs, again + parts[-1].workspace)
    else:
        yield from parts


def _self_attention(
    config: ModelConfig, sequence: TokenSequence, mode: StepMode, *, is_local: bool
) -> _Part:
    """Count the attention of a fusion layer."""
    tokens = num_tokens(sequence)
    width, size = config.d_model, mode.product_bytes
    # Input of the norm; norm; queries, keys and values; rotated queries and keys; result.
    numbers = FLOAT_BYTES + mode.norm_bytes + size * (1 + 3 + 2 + 1)
    if mode.casts:
        # Queries and keys before their norms.
        numbers += 2 * FLOAT_BYTES
    stored = tokens * (numbers * width + FLOAT_BYTES * (1 + 3 * config.num_heads))
    if is_local:
        stored += _copies(config, sequence, sequence, mode)
    return _Part(stored, tokens * _attention_gradients(width, size))


def _copies(
    config: ModelConfig, queries: TokenSequence, keys: TokenSequence, mode: StepMode
) -> int:
    """Count what a CPU copies to compute attention with a mask by groups of queries."""
    if mode.device != "cpu":
        return 0
    tokens = copied_tokens(token_intervals(queries), token_intervals(keys))
    return mode.product_bytes * tokens * config.d_model


def _cross_attention(
    config: ModelConfig, query_sequence: TokenSequence, key_sequence: TokenSequence, mode: StepMode
) -> _Part:
    """Count the attention of encoder or decoder."""
    queries, keys = num_tokens(query_sequence), num_tokens(key_sequence)
    width, size = config.d_model, mode.product_bytes
    # Input of the norm; norm; rotated queries; result.
    of_query = FLOAT_BYTES + mode.norm_bytes + size * 3
    # The query before its norm is a cast of what the product has written.
    of_query += FLOAT_BYTES if mode.casts else size
    # Input of the norm; norm; keys and values; rotated keys.
    of_key = FLOAT_BYTES + mode.norm_bytes + size * (1 + 2 + 1)
    if mode.casts:
        of_key += FLOAT_BYTES
    # Of each norm a number per row, and of attention the logarithm of its sum.
    rows = FLOAT_BYTES * (queries * (1 + 2 * config.num_heads) + keys * (1 + config.num_heads))
    stored = (queries * of_query + keys * of_key) * width + rows
    stored += _copies(config, query_sequence, key_sequence, mode)
    return _Part(stored, queries * _attention_gradients(width, size))


def _attention_gradients(width: int, size: int) -> int:
    """Count the bytes of gradients per token: residual, result, queries, keys, values, sums."""
    return (2 * FLOAT_BYTES + 4 * size) * width


def _feed_forward(
    config: ModelConfig, tokens: int, width: int, mode: StepMode, *, multiplier: float | None = None
) -> _Part:
    """Count the feed-forward of a block with the norm before it.

    Args:
        config: Configuration of the model.
        tokens: Tokens of a window.
        width: Width of a token.
        mode: How the step is computed.
        multiplier: Hidden width over `width`; None is that of the fusion layers.
    """
    kind, size = config.feed_forward, mode.product_bytes
    multiplier = config.feed_forward_multiplier if multiplier is None else multiplier
    hidden = hidden_width(width, multiplier, config.feed_forward_multiple)
    units = matched_width(kind, hidden)
    # Input of the norm, which is computed again from the result of attention when compiled; norm.
    numbers = (size if mode.is_compiled else FLOAT_BYTES) + mode.norm_bytes + size
    if mode.casts and kind in GATED:
        # Each projection casts its input by itself.
        numbers += size
    stored = numbers * width + size * UNITS_STORED[kind][mode.is_compiled] * units
    # Gradient of the residual; gradients of the projections' results, while those are stored.
    gradients = FLOAT_BYTES * width + size * (2 if kind in GATED else 1) * units
    return _Part(tokens * (stored + FLOAT_BYTES), tokens * gradients)


def _video(config: ModelConfig, sequences: Sequences, mode: StepMode) -> Iterator[_Part]:
    """Yield the parts of the video encoder."""
    if sequences.video_steps is None:
        return
    video, size = config.video, mode.product_bytes
    steps, rows, columns = video.grid
    yield _Part(size * NUM_FRAMES * video.frame_height * video.frame_width)
    if video.layout == "aligned":
        steps = sequences.video_steps[1] - sequences.video_steps[0]
    tokens = steps * rows * columns
    for shape in block_shapes(config):
        inputs, tokens = tokens, tokens // (POOLED if shape.pools else 1)
        parts = [
            _window_attention(shape, inputs, tokens, mode),
            _feed_forward(config, tokens, shape.width, mode),
        ]
        yield from _block(parts, FLOAT_BYTES * inputs * shape.width_in, mode)
    yield _Part(size * num_tokens(sequences.video) * video.d_output)


def _window_attention(shape: VideoBlockShape, inputs: int, tokens: int, mode: StepMode) -> _Part:
    """Count the attention of a video block with `inputs` tokens before pooling."""
    width, size, heads = shape.width, mode.product_bytes, shape.num_heads
    # Input of the norm; norm.
    of_input = (FLOAT_BYTES + mode.norm_bytes + size) * shape.width_in
    # Queries, keys and values; normalized keys.
    of_input += size * (3 + 1) * width
    # Normalized queries; result.
    of_token = size * 2 * width
    if not mode.is_compiled:
        # Queries are the largest of those that are pooled, of one where none are.
        of_token += size * width
    if mode.casts:
        of_input += FLOAT_BYTES * width
        of_token += FLOAT_BYTES * width
    if shape.pools:
        of_input += size * width
        of_token += size * width
        if mode.casts:
            # The residual stream is projected from another cast.
            of_input += size * shape.width_in
        if mode.is_compiled:
            # Which of the pooled queries was the largest, a byte each.
            of_input += width + (size * shape.width_in if size < FLOAT_BYTES else 0)
    rows = FLOAT_BYTES * (inputs * (1 + heads) + tokens * 2 * heads)
    stored = inputs * of_input + tokens * of_token + rows
    return _Part(stored, tokens * _attention_gradients(width, size))


def _readout(config: ModelConfig, task: Task, sequences: Sequences, mode: StepMode) -> _Part:
    """Count the read-outs, the shortcuts and the losses; the last two are float32 in any mode."""
    size = mode.product_bytes
    samples = task.num_targets * num_target_samples(task)
    stored = size * num_tokens(sequences.queries) * config.d_model
    # Drive; prediction; recorded responses; their difference or logarithm.
    stored += FLOAT_BYTES * 4 * samples
    if not task.num_targets:
        return _Part(stored)
    if config.decoder.population_rank or config.decoder.behavior_rank:
        # The gain: its sum, hyperbolic tangent and exponential.
        stored += FLOAT_BYTES * 3 * samples
    stored += FLOAT_BYTES * _shortcut_numbers(config, task, sequences)
    field_sums = _field_sums(config, task, sequences)
    # Gradients of the sums in receptive fields, and of drive, gain and their terms.
    return _Part(stored, FLOAT_BYTES * (field_sums + 8 * samples) if field_sums else 0)


def _field_sums(config: ModelConfig, task: Task, sequences: Sequences) -> int:
    """Count the sums of motion energies in the receptive fields of target neurons."""
    if sequences.video_steps is None:
        return 0
    return task.num_targets * num_target_samples(task) * config.decoder.num_energies


def _shortcut_numbers(config: ModelConfig, task: Task, sequences: Sequences) -> int:
    """Count the numbers that the shortcuts to target neurons store."""
    decoder, targets, samples = config.decoder, task.num_targets, num_target_samples(task)
    numbers = 0
    num_shared = max(0, task.num_visible + targets - task.num_neurons)
    if decoder.own_history and has_history(task.strategy, num_shared):
        # Samples and their mask for the queries, samples for the filter.
        numbers += 3 * targets * NUM_RESPONSE_SAMPLES
    if decoder.population_rank:
        numbers += sum(
            (part.last - part.first) * (task.num_neurons if part.all_neurons else task.num_visible)
            for part in sequences.segments
        )
        numbers += 2 * decoder.population_rank * targets
    if decoder.behavior_rank and task.num_input_channels:
        numbers += decoder.behavior_rank * targets
    if decoder.motion_wavelengths and sequences.video_steps is not None:
        grid, features = energy_grid(config.video), decoder.num_energies
        positions = grid[0] * grid[1]
        # Energies as they are, shifted along one axis and along both.
        numbers += (3 if task.num_input_channels else 1) * len(TIMES) * num_motion_energies(config)
        # Filtered energies, for the gradient of receptive fields; these; their sums; tuning.
        numbers += 0 if decoder.has_fixed_fields else samples * features * positions
        numbers += targets * (positions + features) + _field_sums(config, task, sequences)
    return numbers
