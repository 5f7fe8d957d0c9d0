"""Memory of a training step, estimated without building the model."""

from omnimouse_cli.batch.strategy import QUERY_SAMPLES, TOKEN_SAMPLES
from omnimouse_cli.config.model import FeedForwardKind, ModelConfig
from omnimouse_cli.cost.flops import num_motion_energies, num_target_samples
from omnimouse_cli.model.blocks import hidden_width
from omnimouse_cli.model.motion_energy import TIMES
from omnimouse_cli.model.sequences import Sequences, Task, build_sequences, num_tokens
from omnimouse_cli.model.video import block_shapes
from omnimouse_cli.model.video_blocks import POOLED

# Half hidden widths that the forward pass of a feed-forward stores for the backward pass. ReLU
# stores its result only, which is 1.5 hidden widths wide.
HALVES_STORED: dict[FeedForwardKind, int] = {
    "swiglu": 8,
    "geglu": 8,
    "dendritic": 6,
    "gelu": 6,
    "relu": 3,
}


def count_activations(config: ModelConfig, task: Task) -> int:
    """Count the numbers that the forward pass of a window stores for the backward pass.

    The factors are those of eager PyTorch; fused operations store up to a third less.

    Args:
        config: Configuration of the model.
        task: Inputs and targets of the window.
    """
    sequences, width = build_sequences(config, task), config.d_model
    multiple = config.feed_forward_multiple
    hidden = _feed_forward(config, hidden_width(width, config.feed_forward_multiplier, multiple))
    decoder_hidden = _feed_forward(
        config, hidden_width(width, config.decoder.feed_forward_multiplier, multiple)
    )
    context, latents = num_tokens(sequences.context), num_tokens(sequences.latents)
    fusion, queries = num_tokens(sequences.fusion), num_tokens(sequences.queries)
    stored = config.layers * fusion * (16 * width + hidden)
    if context:
        stored += context * (9 * width + TOKEN_SAMPLES) + latents * (11 * width + hidden)
    stored += queries * (11 * width + decoder_hidden) + fusion * 8 * width
    stored += task.num_targets * task.num_query_times * QUERY_SAMPLES * 3
    if config.decoder.motion_wavelengths and sequences.video_steps is not None and task.num_targets:
        steps = num_target_samples(task) + (2 if task.num_input_channels else 1) * len(TIMES)
        stored += steps * num_motion_energies(config)
    return stored + _video(config, sequences)


def _feed_forward(config: ModelConfig, hidden: int) -> int:
    """Count the numbers that a feed-forward stores per token between its projections."""
    return HALVES_STORED[config.feed_forward] * hidden // 2


def _video(config: ModelConfig, sequences: Sequences) -> int:
    if sequences.video_steps is None:
        return 0
    video = config.video
    steps, rows, columns = video.grid
    stored = 2 * steps * rows * columns * video.d_embed
    if video.layout == "aligned":
        steps = sequences.video_steps[1] - sequences.video_steps[0]
    tokens = steps * rows * columns
    for shape in block_shapes(config):
        inputs, tokens = tokens, tokens // (POOLED if shape.pools else 1)
        stored += inputs * (2 * shape.width_in + 8 * shape.width)
        stored += tokens * (6 * shape.width + 3 * _feed_forward(config, shape.hidden) // 4)
    return stored + num_tokens(sequences.video) * video.d_output
