"""What a window costs, without building a model: floating-point operations and memory."""

from dataclasses import dataclass

from omnimouse_cli.batch.selection import num_targets, num_visible
from omnimouse_cli.batch.strategy import QUERY_SAMPLES, TOKEN_SAMPLES, Strategy
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES
from omnimouse_cli.config.model import FeedForwardKind, ModelConfig
from omnimouse_cli.cost.flops import Flops
from omnimouse_cli.cost.parameters import feed_forward_weights
from omnimouse_cli.cost.shortcuts import (
    history,
    num_asked_samples,
    num_energies,
    short_ways,
)
from omnimouse_cli.kernels.attention import computed_pairs
from omnimouse_cli.kernels.dendrite.lookup import FORWARD_FLOPS
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.feed_forward import inner_network, lookup_grid
from omnimouse_cli.model.layout import Layout, Request, intervals, length, make_layout
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.omnimouse import fusion_pattern
from omnimouse_cli.model.video import block_shapes
from omnimouse_cli.model.video_blocks import POOLED

# Half hidden widths that a forward pass keeps; ReLU keeps its result only, which is 1.5 wide.
HALVES_KEPT: dict[FeedForwardKind, int] = {
    "swiglu": 8,
    "geglu": 8,
    "dendritic": 6,
    "gelu": 6,
    "relu": 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What one strategy costs.

    Args:
        sequence_lengths: Tokens of context, latents, video, fusion and queries.
        forward_flops: Floating-point operations of one window's forward pass; a multiplication
            with its addition is two.
        training_flops: With the backward pass.
        short_ways_flops: Of training on the ways past the transformer alone.
        activations: Numbers that a window's forward pass keeps for its backward pass, in plain
            PyTorch; products fused with what surrounds them keep up to a third less.
    """

    sequence_lengths: dict[str, int]
    forward_flops: int
    training_flops: int
    short_ways_flops: int
    activations: int


def request_of(
    config: ModelConfig,
    strategy: Strategy,
    *,
    num_neurons: int,
    num_channels: int,
    stimulus: bool,
) -> Request:
    """Say what training asks of a session under a strategy.

    Args:
        config: Of the model; populations are cut to its `max_population`.
        strategy: What is seen and asked.
        num_neurons: Neurons of the session.
        num_channels: Behavior channels of the session.
        stimulus: Whether it has a screen.
    """
    population = min(num_neurons, config.max_population)
    return Request(
        strategy=strategy,
        num_neurons=population,
        num_visible=num_visible(strategy, population),
        num_targets=num_targets(strategy, population, config.max_targets),
        num_channels=num_channels,
        stimulus=stimulus,
    )


def work_of(config: ModelConfig, request: Request, *, table_rows: int, batch_size: int) -> Work:
    """Estimate what a window costs.

    Args:
        config: Of the model.
        request: What is seen and asked.
        table_rows: Neurons of the session: their vectors are projected once for a batch.
        batch_size: Windows that share that projection.
    """
    layout = make_layout(config, request)
    shared = 2 * (table_rows + 2) * config.d_embedding * config.d_model // batch_size
    video, video_activations = _video(config, layout)
    short = short_ways(config, request, layout, table_rows=table_rows, batch_size=batch_size)
    flops = short.and_also(Flops(products=shared))
    for part in (
        _inputs(config, request, layout),
        _transformer(config, layout),
        _outputs(config, request, batch_size),
        video,
    ):
        flops = flops.and_also(part)
    return Work(
        sequence_lengths=layout.sequence_lengths,
        forward_flops=sum(flops),
        training_flops=flops.of_training(),
        short_ways_flops=short.of_training(),
        activations=_activations(config, request, layout) + video_activations,
    )


def _hidden(config: ModelConfig, multiplier: float) -> int:
    return hidden_width(config.d_model, multiplier, config.feed_forward_multiple)


def _inputs(config: ModelConfig, request: Request, layout: Layout) -> Flops:
    behavior = request.channels_seen * NUM_BEHAVIOR_SAMPLES
    responses = (length(layout.context) - request.channels_seen) * TOKEN_SAMPLES
    return Flops(of_data=2 * (behavior + responses) * config.d_model)


def _feed_forward(config: ModelConfig, tokens: int, width: int, hidden: int) -> Flops:
    products = 2 * tokens * feed_forward_weights(config, width, hidden)
    if config.feed_forward != "dendritic":
        return Flops(products=products)
    units = tokens * hidden
    if lookup_grid(config.dendrite) is not None:
        return Flops(products=products, tables=units * FORWARD_FLOPS)
    functions = units * inner_network(config.dendrite).forward_flops
    return Flops(products=products, functions=functions)


def _kept(config: ModelConfig, hidden: int) -> int:
    """Count what a token's feed-forward keeps between its projections."""
    return HALVES_KEPT[config.feed_forward] * hidden // 2


def _reader(config: ModelConfig, hidden: int, queries: int, keys: int, pairs: int) -> Flops:
    width = config.d_model
    products = 2 * (queries + keys) * 2 * width**2
    flops = Flops(products=products, attention=4 * pairs * width)
    return flops.and_also(_feed_forward(config, queries, width, hidden))


def _transformer(config: ModelConfig, layout: Layout) -> Flops:
    width, hidden = config.d_model, _hidden(config, config.feed_forward_multiplier)
    latents, fusion = intervals(layout.latents), intervals(layout.fusion)
    queries, context = intervals(layout.queries), intervals(layout.context)
    tokens = length(layout.fusion)
    flops = Flops()
    if layout.context:
        pairs = computed_pairs(latents, context)
        flops = _reader(config, hidden, length(layout.latents), length(layout.context), pairs)
    kinds = fusion_pattern(config)
    pairs = kinds.count("L") * computed_pairs(fusion, fusion) + kinds.count("G") * tokens**2
    products = 2 * len(kinds) * tokens * 4 * width**2
    flops = flops.and_also(Flops(products=products, attention=4 * pairs * width))
    flops = flops.and_also(_feed_forward(config, len(kinds) * tokens, width, hidden))
    if layout.queries:
        hidden = _hidden(config, config.decoder.feed_forward_multiplier)
        pairs = computed_pairs(queries, fusion)
        flops = flops.and_also(_reader(config, hidden, length(layout.queries), tokens, pairs))
    return flops


def _outputs(config: ModelConfig, request: Request, batch_size: int) -> Flops:
    width, targets = config.d_model, request.targets_asked
    asked = num_asked_samples(request)
    products = 2 * targets * asked * width
    products += 2 * request.channels_asked * NUM_BEHAVIOR_SAMPLES * width
    return Flops(products=products, of_data=history(config, request, width, batch_size))


def _video(config: ModelConfig, layout: Layout) -> tuple[Flops, int]:
    """Operations and kept numbers of the video encoder."""
    if layout.features is None:
        return Flops(), 0
    video = config.video
    steps, rows, columns = video.grid
    kernel = video.kernel[0] * video.kernel[1] * video.kernel[2]
    of_data = 2 * steps * rows * columns * kernel * video.d_embed
    if video.layout == "aligned":
        steps = layout.features[1] - layout.features[0]
    tokens, kept = steps * rows * columns, 2 * steps * rows * columns * video.d_embed
    products = pair_widths = 0
    flops = Flops()
    for shape in block_shapes(config):
        pooled = POOLED if shape.pools else 1
        came, tokens = tokens, tokens // pooled
        products += came * shape.width_in * 3 * shape.width
        products += tokens * shape.width**2
        flops = flops.and_also(_feed_forward(config, tokens, shape.width, shape.hidden))
        products += came * shape.width_in * shape.width if shape.pools else 0
        pair_widths += tokens * shape.window * pooled * shape.width
        kept += came * (2 * shape.width_in + 8 * shape.width)
        kept += tokens * (6 * shape.width + 3 * _kept(config, shape.hidden) // 4)
    seen = length(layout.video)
    products += seen * video.d_output * config.d_model
    others = Flops(products=2 * products, of_data=of_data, attention=4 * pair_widths)
    return flops.and_also(others), kept + seen * video.d_output


def _activations(config: ModelConfig, request: Request, layout: Layout) -> int:
    """Count kept numbers; the weights of a token's width are those of eager PyTorch."""
    width, hidden = config.d_model, _kept(config, _hidden(config, config.feed_forward_multiplier))
    decoder_hidden = _kept(config, _hidden(config, config.decoder.feed_forward_multiplier))
    context, latents = length(layout.context), length(layout.latents)
    fusion, queries = length(layout.fusion), length(layout.queries)
    kept = config.layers * fusion * (16 * width + hidden)
    if context:
        kept += context * (9 * width + TOKEN_SAMPLES) + latents * (11 * width + hidden)
    kept += queries * (11 * width + decoder_hidden) + fusion * 8 * width
    kept += request.targets_asked * request.num_query_times * QUERY_SAMPLES * 3
    if config.decoder.motion_wavelengths and layout.features is not None and request.targets_asked:
        steps = num_asked_samples(request) + (2 if request.channels_seen else 1) * len(TIMES)
        kept += steps * num_energies(config)
    return kept
