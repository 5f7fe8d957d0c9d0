"""What a configuration leaves to the data, the machine or the model's size, resolve_config once."""

import dataclasses
from pathlib import Path

from omnimouse_cli.batch.dataset import Dataset, require_frame_size, stored_channels
from omnimouse_cli.config.presets import SMALL_SIZES
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.kernels.dendrite import MAX_REGISTER_UNITS, fits_registers
from omnimouse_cli.model.feed_forward import inner_network, lookup_grid
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.train.objective import with_response_loss
from omnimouse_cli.train.parallel.world import World

# Source of the published length: omnimouse reference, section 2.1.
SMALL_STEPS = 2000
PUBLISHED_STEPS = 1_000_000
# Tables of a few minutes of recording overfit on a frozen core: on the simulated mouse decoding is
# best after 150 steps. For the published sizes nobody has measured it.
SMALL_ADAPTATION_STEPS = 250
PUBLISHED_ADAPTATION_STEPS = 10_000


def resolve_config(
    config: RunConfig, dataset: Dataset, world: World, reporter: Reporter
) -> RunConfig:
    """Give the configuration that is trained, with nothing left open that changes a number.

    Args:
        config: As the user gave it.
        dataset: What is trained on.
        world: The ranks.
        reporter: Is told what was chosen.

    Raises:
        ConfigError: The configuration does not fit the data.
    """
    for session in dataset.sessions:
        require_frame_size(session.key, session.frame_shape, config.model.video, model="the model")
    _tell_left_out(dataset, reporter)
    _tell_limits(config, world, reporter)
    config = with_response_loss(config, dataset.sessions)
    train = config.train
    if train.batches_per_step is None:
        # From now on a part of the run: on other ranks it goes on with steps of the same size.
        train = dataclasses.replace(train, batches_per_step=world.num_ranks)
    if train.steps is None and train.epochs is None and train.minutes is None:
        steps = _default_steps(config)
        reporter.say(f"training for {steps} steps (default; --steps, --epochs or --minutes)")
        train = dataclasses.replace(train, steps=steps)
    if train.adapt_from is not None:
        # The configuration is read again from wherever somebody is then.
        train = dataclasses.replace(train, adapt_from=str(Path(train.adapt_from).resolve()))
    data = dataclasses.replace(
        config.data, sessions=tuple(session.key for session in dataset.sessions), max_sessions=None
    )
    return dataclasses.replace(config, train=train, data=data)


def _default_steps(config: RunConfig) -> int:
    is_small = config.model.size in SMALL_SIZES
    if config.train.adapt_from is None:
        return SMALL_STEPS if is_small else PUBLISHED_STEPS
    return SMALL_ADAPTATION_STEPS if is_small else PUBLISHED_ADAPTATION_STEPS


def _tell_limits(config: RunConfig, world: World, reporter: Reporter) -> None:
    """Say so when a GPU cannot hold the inner network of dendritic units in its registers."""
    dendrite = config.model.dendrite
    function = inner_network(dendrite)
    is_computed = config.model.feed_forward == "dendritic" and lookup_grid(dendrite) is None
    if is_computed and world.device.type == "cuda" and not fits_registers(function):
        most = MAX_REGISTER_UNITS[function.inner]
        reporter.warn(
            f"`dendrite.hidden` {function.hidden} with `depth` {function.depth} is too large for "
            f"the GPU's registers, which hold one layer of {most}: plain PyTorch computes it, in "
            f"about {function.hidden} times the memory of the activations"
        )


def _tell_left_out(dataset: Dataset, reporter: Reporter) -> None:
    """Warn of behavior channels that the model does not have: they are neither seen nor asked."""
    for session in dataset.sessions:
        left_out = [name for name in stored_channels(session.shard) if name not in session.channels]
        if left_out:
            reporter.warn(
                f"session {session.key}: the model has no behavior channels "
                f"{', '.join(left_out)}, and they are left out"
            )
