"""The resolved configuration: what depends on data, machine or model size is filled in."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from omnimouse_cli.batch.dataset import (
    Dataset,
    SessionInfo,
    require_frame_size,
    stored_channels,
    used_tiers,
)
from omnimouse_cli.batch.epochs import steps_of_epochs
from omnimouse_cli.config.model import LEARNED, ResponseLoss
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SMALL_SIZES
from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.kernels.dendrite import MAX_REGISTER_UNITS, fits_registers
from omnimouse_cli.model.feed_forward import inner_network, lookup_grid
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard import Shard
from omnimouse_cli.shard.kind import MIXED_KINDS_HINT, describe_mixed_kinds
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.validation_windows import resolve_validation_windows

# Source of the published number of steps: OmniMouse (ICLR 2026, arXiv 2604.18827).
SMALL_STEPS = 2000
PUBLISHED_STEPS = 1_000_000
# Embeddings of a few minutes of recording overfit on a frozen core: on the simulated mouse decoding
# is best after 150 steps. For the published sizes nobody has measured it.
SMALL_ADAPTATION_STEPS = 250
PUBLISHED_ADAPTATION_STEPS = 10_000
SMALL_SHORTCUTS_FIRST_FRACTION = 0.4
# Enough of a recording to find a negative response if there are any: 16 segments of 8 s.
NUM_SEGMENTS = 16
SEGMENT_SAMPLES = 240
LOSS_NAMES = {"poisson": "Poisson", "gamma": "gamma"}


def resolve_config(
    config: RunConfig,
    dataset: Dataset,
    world: World,
    reporter: Reporter,
    *,
    init_from: Path | None = None,
) -> RunConfig:
    """Return the configuration with every value set that changes a number.

    Args:
        config: Configuration of the user.
        dataset: Sessions that are trained on.
        world: The ranks.
        reporter: Receives a line per default that the user may want to change.
        init_from: Run whose weights are the start, if any.

    Raises:
        ConfigError: The configuration does not fit the data.
    """
    for session in dataset.sessions:
        require_frame_size(session.key, session.frame_shape, config.model.video, model="the model")
    _warn_unused_channels(dataset, reporter)
    _warn_large_dendrite(config, world, reporter)
    config = resolve_response_loss(config, dataset.sessions)
    config = resolve_shortcuts_first(config, init_from, reporter)
    train = _resolve_validation_tiers(config.train, dataset, reporter)
    # Stored with the run: resumed on other ranks, its steps keep their size.
    batches_per_step = train.batches_per_step or world.num_ranks
    train = dataclasses.replace(train, batches_per_step=batches_per_step)
    if train.epochs is not None:
        steps = steps_of_epochs(train.epochs, dataset, config.data, batches_per_step)
        reporter.say(
            f"training for {pluralize(steps, 'step')}: {train.epochs:g} epochs, passes over the "
            "data of the training windows"
        )
        train = dataclasses.replace(train, steps=steps, epochs=None)
    if train.steps is None and train.minutes is None:
        steps = _default_steps(config)
        reporter.say(
            f"training for {pluralize(steps, 'step')} (default; --steps, --epochs or --minutes)"
        )
        train = dataclasses.replace(train, steps=steps)
    if train.adapt_from is not None:
        # The stored configuration must be valid in any working directory.
        train = dataclasses.replace(train, adapt_from=str(Path(train.adapt_from).resolve()))
    train = resolve_validation_windows(dataclasses.replace(config, train=train), dataset, reporter)
    data = dataclasses.replace(
        config.data, sessions=tuple(session.key for session in dataset.sessions), max_sessions=None
    )
    return dataclasses.replace(config, train=train, data=data)


def _resolve_validation_tiers(
    train: TrainConfig, dataset: Dataset, reporter: Reporter
) -> TrainConfig:
    """Validate on tier oracle where there is no tier validation, as in Sensorium's sets of 2023."""
    used = used_tiers(dataset.sessions)
    if used.intersection(train.validation_tiers) or "oracle" not in used:
        return train
    reporter.say(
        f"validating on tier oracle: no trial has tier {', '.join(train.validation_tiers)} "
        "(train.validation_tiers)"
    )
    return dataclasses.replace(train, validation_tiers=("oracle",))


def resolve_shortcuts_first(
    config: RunConfig, init_from: Path | None, reporter: Reporter
) -> RunConfig:
    """Return the configuration with `train.shortcuts_first_fraction`; a value of the user stays.

    Training only the shortcuts of a trained model would unfit them to its transformer, so where
    weights of another run are the start the default is 0.

    Args:
        config: Configuration of the user.
        init_from: Run whose weights are the start, if any.
        reporter: Receives a line where the size's default is not used.
    """
    if config.train.shortcuts_first_fraction is not None:
        return config
    is_small = config.model.size in SMALL_SIZES and config.model.decoder.has_shortcuts
    fraction = SMALL_SHORTCUTS_FIRST_FRACTION if is_small else 0.0
    source = init_from or config.train.adapt_from
    if fraction and source is not None:
        reporter.say(
            f"the shortcuts are not trained alone at first, because training starts with the "
            f"weights of {source} (default; train.shortcuts_first_fraction)"
        )
        fraction = 0.0
    train = dataclasses.replace(config.train, shortcuts_first_fraction=fraction)
    return dataclasses.replace(config, train=train)


def resolve_response_loss(config: RunConfig, sessions: Sequence[SessionInfo]) -> RunConfig:
    """Return the configuration with `model.response_loss` and `data.normalize`.

    Where they are not set, rates get a Poisson loss on scaled responses, and dF/F and raw
    fluorescence a squared error on standardized responses.

    Args:
        config: Configuration of the user.
        sessions: Sessions that are trained on.

    Raises:
        ConfigError: Sessions hold different kinds of responses, or a Poisson or gamma loss is set
            and responses are negative.
    """
    kinds = {session.key: response_kind(session) for session in sessions}
    mixed = describe_mixed_kinds(kinds)
    if mixed is not None:
        raise ConfigError(mixed, hint=MIXED_KINDS_HINT)
    (kind,) = set(kinds.values())
    loss: ResponseLoss = config.model.response_loss or ("poisson" if kind == "rate" else "gaussian")
    normalize = config.data.normalize or ("standardize" if loss == "gaussian" else "scale")
    if loss != "gaussian" and kind != "rate":
        needed = "responses that are never negative" if kind == "dff" else "rates"
        name = "dF/F" if kind == "dff" else "raw fluorescence"
        raise ConfigError(
            f"a {LOSS_NAMES[loss]} loss needs {needed}, and session {next(iter(kinds))} "
            f"holds {name}",
            hint="use --set model.response_loss=gaussian, or leave it out",
        )
    if loss != "gaussian" and normalize == "standardize":
        raise ConfigError(
            f"a {LOSS_NAMES[loss]} loss needs responses that are never negative, and "
            "`data.normalize` is standardize, which subtracts the mean",
            hint="use --set data.normalize=scale, or leave it out",
        )
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, response_loss=loss),
        data=dataclasses.replace(config.data, normalize=normalize),
    )


def response_kind(session: SessionInfo) -> str:
    """Return `rate`, `dff` or `fluorescence`.

    A shard that does not say has dF/F if a response is negative, else rates.
    """
    if session.response_kind == "unknown":
        return "dff" if _has_negative(session.shard) else "rate"
    return session.response_kind


def _has_negative(shard: Shard) -> bool:
    """Whether a mean response or a response of a few segments of the recording is negative."""
    if bool((np.asarray(shard.neuron_mean) < 0).any()):
        return True
    num_samples = shard.description.responses.clock.num_samples
    last = max(0, num_samples - SEGMENT_SAMPLES)
    return any(
        bool((shard.read_responses(int(start), int(start) + SEGMENT_SAMPLES) < 0).any())
        for start in np.unique(np.linspace(0, last, NUM_SEGMENTS, dtype=int))
    )


def _default_steps(config: RunConfig) -> int:
    is_small = config.model.size in SMALL_SIZES
    if config.train.adapt_from is None:
        return SMALL_STEPS if is_small else PUBLISHED_STEPS
    return SMALL_ADAPTATION_STEPS if is_small else PUBLISHED_ADAPTATION_STEPS


def _warn_large_dendrite(config: RunConfig, world: World, reporter: Reporter) -> None:
    """Warn if the GPU kernel cannot hold the inner network of dendritic units in registers."""
    dendrite = config.model.dendrite
    function = inner_network(dendrite)
    is_computed = config.model.feed_forward in LEARNED and lookup_grid(dendrite) is None
    if is_computed and world.device.type == "cuda" and not fits_registers(function):
        most = MAX_REGISTER_UNITS[function.inner]
        reporter.warn(
            f"`dendrite.hidden` {function.hidden} with `depth` {function.depth} is too large for "
            f"the GPU's registers, which hold one layer of {most}: plain PyTorch computes it, in "
            f"about {function.hidden} times the memory of the activations"
        )


def _warn_unused_channels(dataset: Dataset, reporter: Reporter) -> None:
    """Warn of behavior channels that the model lacks: they are neither inputs nor targets."""
    for session in dataset.sessions:
        unused = [name for name in stored_channels(session.shard) if name not in session.channels]
        if unused:
            reporter.warn(
                f"session {session.key}: the model has no behavior channels "
                f"{', '.join(unused)}; they are not used"
            )
