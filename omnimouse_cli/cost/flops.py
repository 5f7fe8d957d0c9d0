"""Floating-point operations of a window in training, counted without building the model."""

import math
from dataclasses import astuple, dataclass

from omnimouse_cli.batch.strategy import QUERY_SAMPLES, TOKEN_SAMPLES
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.cost.parameters import count_feed_forward
from omnimouse_cli.kernels.attention import computed_pairs
from omnimouse_cli.kernels.dendrite.lookup import BACKWARD_FLOPS, FORWARD_FLOPS
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.feed_forward import inner_network, lookup_grid
from omnimouse_cli.model.layout import Layout, Request, intervals, length, make_layout
from omnimouse_cli.model.motion_energy import TIMES, forward_flops, num_features
from omnimouse_cli.model.motion_energy import grid_of as motion_grid
from omnimouse_cli.model.omnimouse import fusion_pattern
from omnimouse_cli.model.own_history import has_history
from omnimouse_cli.model.stimulus_state import FIELD_NUMBERS, GAZE_AXES
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
        functions: Learned dendritic functions: twice the forward pass, which is repeated.
        lookups: Dendritic functions read from a lookup table, which is read again.
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


def count_flops(
    config: ModelConfig, request: Request, *, session_neurons: int, batch_size: int
) -> Flops:
    """Count the operations of one window through the whole model.

    Args:
        config: Configuration of the model.
        request: Inputs and targets of the window.
        session_neurons: Neurons of the session, whose embeddings are projected once per batch.
        batch_size: Windows per batch.
    """
    layout = make_layout(config, request)
    width, outputs = config.d_model, num_target_samples(request)
    projections = 2 * (session_neurons + 2) * config.d_embedding * width // batch_size
    responses = (length(layout.context) - request.channels_seen) * TOKEN_SAMPLES
    tokens = 2 * (request.channels_seen * NUM_BEHAVIOR_SAMPLES + responses) * width
    readout = 2 * request.targets_asked * outputs * width
    readout += 2 * request.channels_asked * NUM_BEHAVIOR_SAMPLES * width
    history = _history(config, request, width, batch_size)
    return (
        count_shortcut_flops(
            config, request, session_neurons=session_neurons, batch_size=batch_size
        )
        + Flops(products=projections + readout, data_products=tokens + history)
        + _transformer(config, layout)
        + _video(config, layout)
    )


def count_shortcut_flops(
    config: ModelConfig, request: Request, *, session_neurons: int, batch_size: int
) -> Flops:
    """Count the operations of one window through the shortcuts alone.

    Args:
        config: Configuration of the model.
        request: Inputs and targets of the window.
        session_neurons: Neurons of the session, whose embeddings are read once per batch.
        batch_size: Windows per batch.
    """
    layout, rows = make_layout(config, request), session_neurons // batch_size
    history = _history(config, request, num_target_samples(request), batch_size)
    return (
        Flops(data_products=history)
        + _population_shortcut(config, request, layout, rows)
        + _stimulus_shortcut(config, request, layout, rows)
        + _behavior_shortcut(config, request, rows)
    )


def num_target_samples(request: Request) -> int:
    """Return the number of samples that are predicted for each target neuron."""
    return request.num_query_times * QUERY_SAMPLES


def num_motion_energies(config: ModelConfig) -> int:
    """Return the number of motion energies per time step."""
    return num_features(config.decoder.motion_wavelengths) * math.prod(motion_grid(config.video))


def _history(config: ModelConfig, request: Request, outputs: int, batch_size: int) -> int:
    """Count a linear map from the target neurons' own samples to `outputs` numbers each."""
    targets = request.targets_asked
    num_shared = max(0, request.num_visible + targets - request.num_neurons)
    if not (config.decoder.own_history and targets and has_history(request.strategy, num_shared)):
        return 0
    products = 2 * targets * NUM_RESPONSE_SAMPLES * outputs
    # The map from the mask of visible samples is the same in every window of a batch.
    return products + products // batch_size


def _population_shortcut(config: ModelConfig, request: Request, layout: Layout, rows: int) -> Flops:
    rank = config.decoder.population_rank
    if not rank or not layout.pieces:
        return Flops()
    sums = sum(
        (piece.last - piece.first)
        * (request.num_neurons if piece.everyone else request.num_visible)
        for piece in layout.pieces
    )
    products = rows * config.d_embedding
    if request.targets_asked:
        samples = num_target_samples(request)
        products += 2 * rows * config.d_embedding
        products += 2 * samples * (NUM_RESPONSE_SAMPLES + request.targets_asked)
    if request.channels_asked:
        products += NUM_BEHAVIOR_SAMPLES * (NUM_RESPONSE_SAMPLES + request.channels_asked)
    return Flops(products=2 * products * rank, data_products=2 * sums * rank)


def _stimulus_shortcut(config: ModelConfig, request: Request, layout: Layout, rows: int) -> Flops:
    wavelengths = config.decoder.motion_wavelengths
    if not wavelengths or layout.features is None or not request.targets_asked:
        return Flops()
    features, energies = num_features(wavelengths), num_motion_energies(config)
    samples = num_target_samples(request)
    products = rows * config.d_embedding * (FIELD_NUMBERS + features)
    products += samples * (energies + features) * request.targets_asked
    # Where the gaze moves the screen, the energies have a gradient too.
    data_products = 2 * len(TIMES) * request.channels_seen * GAZE_AXES
    lagged = 2 * samples * energies * len(TIMES)
    if request.channels_seen:
        height, width = motion_grid(config.video)
        data_products += 2 * len(TIMES) * energies * height
        products += len(TIMES) * energies * width + lagged // 2
    else:
        data_products += lagged
    fixed = forward_flops(wavelengths, config.video)
    return Flops(products=2 * products, data_products=data_products, fixed=fixed)


def _behavior_shortcut(config: ModelConfig, request: Request, rows: int) -> Flops:
    rank, samples = config.decoder.behavior_rank, num_target_samples(request)
    if not rank or not request.channels_seen or not request.targets_asked:
        return Flops()
    products = rows * config.d_embedding
    products += samples * (NUM_RESPONSE_SAMPLES + request.targets_asked)
    mixing = 2 * NUM_RESPONSE_SAMPLES * request.channels_seen * rank
    return Flops(products=2 * products * rank, data_products=mixing)


def _transformer(config: ModelConfig, layout: Layout) -> Flops:
    width, multiple = config.d_model, config.feed_forward_multiple
    hidden = hidden_width(width, config.feed_forward_multiplier, multiple)
    latents, fusion = intervals(layout.latents), intervals(layout.fusion)
    queries, context = intervals(layout.queries), intervals(layout.context)
    tokens = length(layout.fusion)
    flops = Flops()
    if layout.context:
        pairs = computed_pairs(latents, context)
        flops += _cross_block(config, hidden, length(layout.latents), length(layout.context), pairs)
    kinds = fusion_pattern(config)
    pairs = kinds.count("L") * computed_pairs(fusion, fusion) + kinds.count("G") * tokens**2
    products = 2 * len(kinds) * tokens * 4 * width**2
    flops += Flops(products=products, attention=4 * pairs * width)
    flops += _feed_forward(config, len(kinds) * tokens, width, hidden)
    if layout.queries:
        hidden = hidden_width(width, config.decoder.feed_forward_multiplier, multiple)
        pairs = computed_pairs(queries, fusion)
        flops += _cross_block(config, hidden, length(layout.queries), tokens, pairs)
    return flops


def _cross_block(config: ModelConfig, hidden: int, queries: int, keys: int, pairs: int) -> Flops:
    """Count a block of cross-attention with its feed-forward; `pairs` of query and key."""
    width = config.d_model
    products = 2 * (queries + keys) * 2 * width**2
    flops = Flops(products=products, attention=4 * pairs * width)
    return flops + _feed_forward(config, queries, width, hidden)


def _feed_forward(config: ModelConfig, tokens: int, width: int, hidden: int) -> Flops:
    products = 2 * tokens * count_feed_forward(config, width, hidden)
    if config.feed_forward != "dendritic":
        return Flops(products=products)
    units = tokens * hidden
    if lookup_grid(config.dendrite) is not None:
        return Flops(products=products, lookups=units * FORWARD_FLOPS)
    functions = units * inner_network(config.dendrite).forward_flops
    return Flops(products=products, functions=functions)


def _video(config: ModelConfig, layout: Layout) -> Flops:
    """Count the video encoder."""
    if layout.features is None:
        return Flops()
    video = config.video
    steps, rows, columns = video.grid
    patches = 2 * steps * rows * columns * math.prod(video.kernel) * video.d_embed
    flops = Flops(data_products=patches)
    if video.layout == "aligned":
        steps = layout.features[1] - layout.features[0]
    tokens = steps * rows * columns
    for shape in block_shapes(config):
        pooled = POOLED if shape.pools else 1
        inputs, tokens = tokens, tokens // pooled
        products = inputs * shape.width_in * 3 * shape.width + tokens * shape.width**2
        products += inputs * shape.width_in * shape.width if shape.pools else 0
        pair_widths = tokens * shape.window * pooled * shape.width
        flops += Flops(products=2 * products, attention=4 * pair_widths)
        flops += _feed_forward(config, tokens, shape.width, shape.hidden)
    return flops + Flops(products=2 * length(layout.video) * video.d_output * config.d_model)
