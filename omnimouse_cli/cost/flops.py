"""Floating-point operations of a window in training, counted without building the model."""

import math
from dataclasses import astuple, dataclass

from omnimouse_cli.batch.strategy import QUERY_SAMPLES, TOKEN_SAMPLES
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import DECODING_BINS, LEARNED, ModelConfig
from omnimouse_cli.cost.parameters import count_feed_forward
from omnimouse_cli.kernels.attention import computed_pairs
from omnimouse_cli.kernels.dendrite.lookup import BACKWARD_FLOPS, FORWARD_FLOPS
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.feed_forward import inner_network, lookup_grid, matched_width
from omnimouse_cli.model.motion_energy import TIMES, energy_flops, energy_grid
from omnimouse_cli.model.omnimouse import fusion_pattern
from omnimouse_cli.model.sequences import (
    Sequences,
    Task,
    build_sequences,
    num_tokens,
    token_intervals,
)
from omnimouse_cli.model.shortcuts import has_history
from omnimouse_cli.model.shortcuts.encoding import (
    BEHAVIOR_BINS,
    PART_COLUMNS,
    PART_ROWS,
    RANDOM_FEATURES,
    STIMULUS_BINS,
)
from omnimouse_cli.model.shortcuts.factors import NUM_ITERATIONS
from omnimouse_cli.model.shortcuts.stimulus import FIELD_NUMBERS, GAZE_AXES
from omnimouse_cli.model.video import block_shapes
from omnimouse_cli.model.video_blocks import POOLED


@dataclass(frozen=True, slots=True, kw_only=True)
class Flops:
    """Operations of a forward pass, grouped by the cost of their backward pass.

    A multiplication with its addition counts as two operations.

    Args:
        products: Matrix products of two learned or computed factors: two products backward.
        data_products: Matrix products with recorded data, which need no gradient: one backward.
        attention: Products of attention: two products each backward, and the first is repeated.
        functions: Learned functions: twice the forward pass, which is repeated.
        lookups: Learned functions read from a lookup table, which is read again.
        fixed: Operations without a backward pass.
    """

    products: int = 0
    data_products: int = 0
    attention: int = 0
    functions: int = 0
    lookups: int = 0
    fixed: int = 0

    def __add__(self, other: "Flops") -> "Flops":
        """Return the sum of each group."""
        return Flops(
            products=self.products + other.products,
            data_products=self.data_products + other.data_products,
            attention=self.attention + other.attention,
            functions=self.functions + other.functions,
            lookups=self.lookups + other.lookups,
            fixed=self.fixed + other.fixed,
        )

    @property
    def forward(self) -> int:
        """Operations of the forward pass."""
        return int(sum(astuple(self)))

    @property
    def training(self) -> int:
        """Operations of the forward and the backward pass."""
        backward = 2 * self.products + self.data_products + 5 * self.attention // 2
        backward += 3 * self.functions + BACKWARD_FLOPS * self.lookups // FORWARD_FLOPS
        return self.forward + backward


def count_flops(config: ModelConfig, task: Task, *, session_neurons: int, batch_size: int) -> Flops:
    """Count the operations of one window through the whole model.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
        session_neurons: Neurons of the session, whose embeddings are projected once per batch.
        batch_size: Windows per batch.
    """
    sequences = build_sequences(config, task)
    width, outputs = config.d_model, num_target_samples(task)
    projections = 2 * (session_neurons + 2) * config.d_embedding * width // batch_size
    responses = (num_tokens(sequences.context) - task.num_input_channels) * TOKEN_SAMPLES
    tokens = 2 * (task.num_input_channels * NUM_BEHAVIOR_SAMPLES + responses) * width
    readout = 2 * task.num_targets * outputs * width
    readout += 2 * task.num_target_channels * NUM_BEHAVIOR_SAMPLES * width
    # The queries' map from the mask of visible samples is computed in every window.
    history = _history(config, task, width, batch_size=1)
    return (
        count_shortcut_flops(config, task, session_neurons=session_neurons, batch_size=batch_size)
        + Flops(products=projections + readout, data_products=tokens + history)
        + _transformer(config, sequences)
        + _video(config, sequences)
    )


def count_shortcut_flops(
    config: ModelConfig, task: Task, *, session_neurons: int, batch_size: int
) -> Flops:
    """Count the operations of one window through the shortcuts alone.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
        session_neurons: Neurons of the session, whose embeddings are read once per batch.
        batch_size: Windows per batch.
    """
    sequences, rows = build_sequences(config, task), session_neurons // batch_size
    history = _history(config, task, num_target_samples(task), batch_size)
    return (
        Flops(data_products=history)
        + _population_shortcut(config, task, sequences, rows)
        + _stimulus_shortcut(config, task, sequences, rows)
        + _behavior_shortcut(config, task, rows)
        + _linear_models(config, task, sequences)
        + _linear_decoder(config, task, sequences)
    )


def num_target_samples(task: Task) -> int:
    """Return the number of samples that are predicted for each target neuron."""
    return task.num_query_times * QUERY_SAMPLES


def num_motion_energies(config: ModelConfig) -> int:
    """Return the number of motion energies per time step."""
    return config.decoder.num_energies * math.prod(energy_grid(config.video))


def _history(config: ModelConfig, task: Task, outputs: int, batch_size: int) -> int:
    """Count a linear map from the target neurons' own samples to `outputs` numbers each."""
    targets = task.num_targets
    num_shared = max(0, task.num_visible + targets - task.num_neurons)
    if not (config.decoder.own_history and targets and has_history(task.strategy, num_shared)):
        return 0
    products = 2 * targets * NUM_RESPONSE_SAMPLES * outputs
    # The map from the mask of visible samples is shared by `batch_size` windows.
    return products + products // batch_size


def _population_shortcut(config: ModelConfig, task: Task, sequences: Sequences, rows: int) -> Flops:
    rank = config.decoder.population_rank
    num_decoded = 0 if config.decoder.linear_rank else task.num_target_channels
    if not rank or not sequences.segments or not (task.num_targets or num_decoded):
        return Flops()
    sums = sum(
        (segment.last - segment.first)
        * (task.num_neurons if segment.all_neurons else task.num_visible)
        for segment in sequences.segments
    )
    products = rows * config.d_embedding
    if task.num_targets:
        samples = num_target_samples(task)
        products += 2 * rows * config.d_embedding
        products += 2 * samples * (NUM_RESPONSE_SAMPLES + task.num_targets)
    if num_decoded:
        products += NUM_BEHAVIOR_SAMPLES * (NUM_RESPONSE_SAMPLES + num_decoded)
    return Flops(products=2 * products * rank, data_products=2 * sums * rank)


def _stimulus_shortcut(config: ModelConfig, task: Task, sequences: Sequences, rows: int) -> Flops:
    wavelengths = config.decoder.motion_wavelengths
    if not wavelengths or sequences.video_steps is None or not task.num_targets:
        return Flops()
    features, energies = config.decoder.num_energies, num_motion_energies(config)
    samples = num_target_samples(task)
    of_tuning = 1 if config.decoder.num_tuning_weights else features
    is_fixed = config.decoder.has_fixed_fields
    products = rows * config.d_embedding * ((0 if is_fixed else FIELD_NUMBERS) + of_tuning)
    products += samples * features * task.num_targets
    # Where the gaze moves the screen, the energies have a gradient too.
    data_products = 2 * len(TIMES) * task.num_input_channels * GAZE_AXES
    in_field = samples * energies * task.num_targets
    if is_fixed:
        data_products += 2 * in_field
    else:
        products += in_field
    lagged = 2 * samples * energies * len(TIMES)
    if task.num_input_channels:
        height, width = energy_grid(config.video)
        data_products += 2 * len(TIMES) * energies * height
        products += len(TIMES) * energies * width + lagged // 2
    else:
        data_products += lagged
    fixed = energy_flops(wavelengths, config.video, config.decoder.motion_time_constants)
    return Flops(products=2 * products, data_products=data_products, fixed=fixed)


def _behavior_shortcut(config: ModelConfig, task: Task, rows: int) -> Flops:
    rank, samples = config.decoder.behavior_rank, num_target_samples(task)
    if not rank or not task.num_input_channels or not task.num_targets:
        return Flops()
    products = rows * config.d_embedding
    products += samples * (NUM_RESPONSE_SAMPLES + task.num_targets)
    mixing = 2 * NUM_RESPONSE_SAMPLES * task.num_input_channels * rank
    return Flops(products=2 * products * rank, data_products=mixing)


def _linear_models(config: ModelConfig, task: Task, sequences: Sequences) -> Flops:
    """Count the encoding and the factor shortcut, which have no backward pass."""
    rank, targets = config.decoder.linear_rank, task.num_targets
    if not rank or not targets:
        return Flops()
    samples, channels = num_target_samples(task), task.num_input_channels
    columns = products = 0
    if config.decoder.motion_wavelengths and sequences.video_steps is not None:
        height, width = energy_grid(config.video)
        parts = min(height, PART_ROWS) * min(width, PART_COLUMNS)
        means = num_motion_energies(config) // (height * width) * len(STIMULUS_BINS)
        products += len(TIMES) * means * RANDOM_FEATURES
        columns = means * parts + RANDOM_FEATURES
    products += len(TIMES) * columns * rank
    if channels:
        products += len(TIMES) * task.num_channels * len(BEHAVIOR_BINS) * rank
    is_encoded = columns > 0 or channels > 0
    products += samples * rank * targets * is_encoded
    lengths = [segment.last - segment.first for segment in sequences.segments]
    visible = sum(lengths)
    if lengths:
        products += (2 * NUM_ITERATIONS + 2) * rank * visible**2
        products += NUM_ITERATIONS * rank**2 * visible
        products += samples * rank * (visible + targets)
    for length, segment in zip(lengths, sequences.segments, strict=True):
        everyone = segment.all_neurons or task.num_visible >= task.num_neurons
        neurons = task.num_neurons if everyone else task.num_visible
        shared = max(0, task.num_visible + targets - task.num_neurons)
        own = targets if everyone else shared
        products += length * (length + rank * is_encoded) * (neurons + own)
        products += neurons * rank * (length + rank) + own * length * (rank + samples)
    return Flops(fixed=2 * products)


def _linear_decoder(config: ModelConfig, task: Task, sequences: Sequences) -> Flops:
    """Count the decoding shortcut, which has no backward pass."""
    if not config.decoder.linear_rank or not sequences.segments:
        return Flops()
    sums = task.num_target_channels * len(DECODING_BINS)
    products = sums * NUM_BEHAVIOR_SAMPLES * NUM_RESPONSE_SAMPLES
    for segment in sequences.segments:
        neurons = task.num_neurons if segment.all_neurons else task.num_visible
        products += sums * (segment.last - segment.first) * neurons
    return Flops(fixed=2 * products)


def _transformer(config: ModelConfig, sequences: Sequences) -> Flops:
    width, multiple = config.d_model, config.feed_forward_multiple
    hidden = hidden_width(width, config.feed_forward_multiplier, multiple)
    latents, fusion = token_intervals(sequences.latents), token_intervals(sequences.fusion)
    queries, context = token_intervals(sequences.queries), token_intervals(sequences.context)
    tokens = num_tokens(sequences.fusion)
    flops = Flops()
    if sequences.context:
        pairs = computed_pairs(latents, context)
        flops += _cross_block(
            config, hidden, num_tokens(sequences.latents), num_tokens(sequences.context), pairs
        )
    kinds = fusion_pattern(config)
    pairs = kinds.count("L") * computed_pairs(fusion, fusion) + kinds.count("G") * tokens**2
    products = 2 * len(kinds) * tokens * 4 * width**2
    flops += Flops(products=products, attention=4 * pairs * width)
    flops += _feed_forward(config, len(kinds) * tokens, width, hidden)
    if sequences.queries:
        hidden = hidden_width(width, config.decoder.feed_forward_multiplier, multiple)
        pairs = computed_pairs(queries, fusion)
        flops += _cross_block(config, hidden, num_tokens(sequences.queries), tokens, pairs)
    return flops


def _cross_block(config: ModelConfig, hidden: int, queries: int, keys: int, pairs: int) -> Flops:
    """Count a block of cross-attention with its feed-forward; `pairs` of query and key."""
    width = config.d_model
    products = 2 * (queries + keys) * 2 * width**2
    flops = Flops(products=products, attention=4 * pairs * width)
    return flops + _feed_forward(config, queries, width, hidden)


def _feed_forward(config: ModelConfig, tokens: int, width: int, hidden: int) -> Flops:
    products = 2 * tokens * count_feed_forward(config, width, hidden)
    if config.feed_forward not in LEARNED:
        return Flops(products=products)
    units = tokens * matched_width(config.feed_forward, hidden)
    if lookup_grid(config.dendrite) is not None:
        return Flops(products=products, lookups=units * FORWARD_FLOPS)
    functions = units * inner_network(config.dendrite).forward_flops
    return Flops(products=products, functions=functions)


def _video(config: ModelConfig, sequences: Sequences) -> Flops:
    """Count the video encoder."""
    if sequences.video_steps is None:
        return Flops()
    video = config.video
    steps, rows, columns = video.grid
    patches = 2 * steps * rows * columns * math.prod(video.kernel) * video.d_embed
    flops = Flops(data_products=patches)
    if video.layout == "aligned":
        steps = sequences.video_steps[1] - sequences.video_steps[0]
    tokens = steps * rows * columns
    for shape in block_shapes(config):
        pooled = POOLED if shape.pools else 1
        inputs, tokens = tokens, tokens // pooled
        products = inputs * shape.width_in * 3 * shape.width + tokens * shape.width**2
        products += inputs * shape.width_in * shape.width if shape.pools else 0
        pair_widths = tokens * shape.window * pooled * shape.width
        flops += Flops(products=2 * products, attention=4 * pair_widths)
        flops += _feed_forward(config, tokens, shape.width, shape.hidden)
    return flops + Flops(products=2 * num_tokens(sequences.video) * video.d_output * config.d_model)
