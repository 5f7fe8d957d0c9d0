"""Numbers of parameters, counted without memory for them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from omnimouse_cli.batch.strategy import QUERY_SAMPLES, TOKEN_SAMPLES
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import GATED, LEARNED, ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.build import build_core
from omnimouse_cli.model.feed_forward import inner_network, matched_width
from omnimouse_cli.model.freeze import learns
from omnimouse_cli.model.gaussian_readout import FIELD_NUMBERS as TWIN_FIELD_NUMBERS
from omnimouse_cli.model.shortcuts.behavior import BEHAVIOR_LAGS
from omnimouse_cli.model.shortcuts.stimulus import FIELD_NUMBERS, GAZE_AXES, STIMULUS_LAGS
from omnimouse_cli.model.twin import layer_shapes
from omnimouse_cli.model.video import block_shapes
from omnimouse_cli.model.video_blocks import VideoBlockShape

NUM_MODALITIES = 3


def count_parameters(
    config: ModelConfig, *, neurons: Sequence[int], num_channels: int, num_animals: int
) -> dict[str, Any]:
    """Return the numbers of parameters as in the output contract.

    Args:
        config: Configuration of the model.
        neurons: Number of neurons of each session.
        num_channels: Behavior channels of the data set.
        num_animals: Animals of the data set.

    Returns:
        `core`, shared by all animals; `tables`, the session embeddings; `total`, with the
        embeddings of animals too; `components` of the core.
    """
    components = count_components(config, num_channels=num_channels)
    core, tables = (
        sum(components.values()),
        count_sessions(config, neurons, num_channels=num_channels),
    )
    total = core + tables + count_animals(config, num_animals)
    return {"core": core, "tables": tables, "total": total, "components": components}


def count_core(config: ModelConfig, *, num_channels: int) -> int:
    """Return the number of parameters that all animals share."""
    return sum(count_components(config, num_channels=num_channels).values())


def count_sessions(config: ModelConfig, neurons: Iterable[int], *, num_channels: int) -> int:
    """Return the number of parameters of session embeddings.

    Args:
        config: Configuration of the model.
        neurons: Number of neurons of each session.
        num_channels: Behavior channels of the data set.
    """
    of_neuron = config.d_embedding + 1 + config.decoder.num_neuron_weights(num_channels)
    return sum(count * of_neuron + config.d_embedding for count in neurons)


def count_animals(config: ModelConfig, num_animals: int) -> int:
    """Return the number of parameters of the embeddings of animals; a twin has none."""
    return 0 if config.kind == "cnn-twin" else num_animals * config.d_embedding


def count_frozen(config: RunConfig, *, num_channels: int, num_animals: int) -> int:
    """Return the number of parameters of the core that an adaptation freezes.

    Args:
        config: Configuration of the run.
        num_channels: Behavior channels of the data set.
        num_animals: Animals of the data set.
    """
    if config.train.adapt_from is None:
        return 0
    with torch.device("meta"):
        core = build_core(
            config.model,
            behavior_channels=tuple(map(str, range(num_channels))),
            animals=tuple(map(str, range(num_animals))),
        )
    return sum(
        parameter.numel()
        for name, parameter in core.named_parameters()
        if not learns(name, config.train)
    )


def count_components(config: ModelConfig, *, num_channels: int) -> dict[str, int]:
    """Return the number of parameters of each component of the core, which all animals share.

    Args:
        config: Configuration of the model.
        num_channels: Behavior channels of the data set (published: 5).

    Example:
        >>> from omnimouse_cli.config.sizes import SIZES
        >>> sum(count_components(SIZES["1M"], num_channels=5).values())
        6409472
    """
    if config.kind == "cnn-twin":
        return _count_twin_components(config, num_channels=num_channels)
    width, embedding = config.d_model, config.d_embedding
    projection = embedding * width + width
    counts = {
        "fusion": config.layers * _self_block(config, width, _hidden(config)),
        "encoder": _cross_block(config, width, _hidden(config)),
        "decoder": _cross_block(
            config, width, _hidden(config, config.decoder.feed_forward_multiplier)
        ),
        "video": _video(config),
        "video projection": (config.video.d_output + 1) * width,
        "latents": (config.latents.per_group + config.latents.num_global) * width,
        "identity projections": 3 * projection,
        "behavior": _behavior(num_channels, width),
        "response tokens and read-out": (TOKEN_SAMPLES + 1 + QUERY_SAMPLES) * width,
        "missing modalities": NUM_MODALITIES * width,
    }
    if config.feed_forward in LEARNED:
        counts[f"{config.feed_forward} functions"] = _functions(config)
    if config.experiment_time:
        counts["experiment time (unused)"] = projection
    if config.decoder.own_history:
        counts["own history"] = 2 * NUM_RESPONSE_SAMPLES * (width + NUM_RESPONSE_SAMPLES)
    if config.decoder.population_rank:
        num_decoded = 0 if config.decoder.linear_rank else num_channels
        counts["population state"] = config.decoder.population_rank * _per_sum(config, num_decoded)
    if config.decoder.motion_wavelengths:
        features = config.decoder.num_energies
        is_fitted = config.decoder.num_tuning_weights > 0
        of_tuning = embedding + 1 if is_fitted else features * embedding
        time_constants = config.decoder.motion_time_constants
        num_filters = len(time_constants) if config.decoder.shared_filters else features
        counts["stimulus state"] = of_tuning + num_filters * STIMULUS_LAGS
        of_field = 0 if config.decoder.has_fixed_fields else FIELD_NUMBERS * embedding
        counts["stimulus state"] += of_field + GAZE_AXES * num_channels
    if config.decoder.behavior_rank and num_channels:
        of_mixture = num_channels + embedding + BEHAVIOR_LAGS
        counts["behavior state"] = config.decoder.behavior_rank * of_mixture
    return counts


def _count_twin_components(config: ModelConfig, *, num_channels: int) -> dict[str, int]:
    """Return the number of parameters of each component of a digital twin."""
    counts: Counter[str] = Counter()
    shapes = layer_shapes(config, (0, 0))
    for shape in shapes:
        counts["spatial convolutions"] += shape.inputs * shape.outputs * shape.spatial**2
        counts["convolutions in time"] += shape.outputs**2 * shape.temporal
        counts["norms"] += 2 * shape.outputs
        counts["behavior"] += num_channels * shape.outputs
    counts["gaze"] = GAZE_AXES * num_channels
    counts["read-out"] = config.d_embedding * (TWIN_FIELD_NUMBERS + shapes[-1].outputs)
    return dict(counts)


def _hidden(config: ModelConfig, multiplier: float | None = None) -> int:
    return hidden_width(
        config.d_model,
        config.feed_forward_multiplier if multiplier is None else multiplier,
        config.feed_forward_multiple,
    )


def _per_sum(config: ModelConfig, num_channels: int) -> int:
    """Count the parameters of one sum over the population."""
    filters = 2 * NUM_RESPONSE_SAMPLES**2
    if num_channels:
        filters += NUM_BEHAVIOR_SAMPLES * NUM_RESPONSE_SAMPLES + num_channels
    return 3 * config.d_embedding + filters


def count_feed_forward(config: ModelConfig, width: int, hidden: int) -> int:
    """Return the number of weights of the projections of a feed-forward."""
    projections = 3 if config.feed_forward in GATED else 2
    return projections * width * matched_width(config.feed_forward, hidden)


def _functions(config: ModelConfig) -> int:
    """Count the parameters of the learned functions."""
    dendrite = config.dendrite
    readers = 2  # encoder and decoder
    blocks = config.layers + readers + len(block_shapes(config))
    copies = 1 if dendrite.sharing == "model" else blocks
    return copies * dendrite.cell_types * inner_network(dendrite).num_weights


def _self_block(config: ModelConfig, width: int, hidden: int) -> int:
    return 2 * width + 4 * width**2 + count_feed_forward(config, width, hidden)


def _cross_block(config: ModelConfig, width: int, hidden: int) -> int:
    return _self_block(config, width, hidden) + width


def _behavior(num_channels: int, width: int) -> int:
    if num_channels == 0:
        return 0
    return num_channels * width * (1 + NUM_BEHAVIOR_SAMPLES) + (NUM_BEHAVIOR_SAMPLES + 1) * width


def _video(config: ModelConfig) -> int:
    video = config.video
    time, rows, columns = video.grid
    kernel = video.kernel[0] * video.kernel[1] * video.kernel[2]
    patches = (kernel + 1 + rows * columns + time) * video.d_embed
    return patches + sum(_video_block(config, shape) for shape in block_shapes(config))


def _video_block(config: ModelConfig, shape: VideoBlockShape) -> int:
    wide_in, wide = shape.width_in, shape.width
    attention = (wide_in + 1) * 3 * wide + (wide + 1) * wide
    pooling = (wide_in + 1) * wide if shape.pools else 0
    weights = count_feed_forward(config, wide, shape.hidden)
    return wide_in + wide + attention + weights + pooling
