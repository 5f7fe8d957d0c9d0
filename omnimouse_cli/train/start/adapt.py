"""A trained core for another animal: what is taken from a run, what is refused, what learns."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, require_frame_size
from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SMALL_SIZES, default_run_config
from omnimouse_cli.config.training import TrainConfig
from omnimouse_cli.errors import CheckpointError, ConfigError
from omnimouse_cli.run.weights import RunDescription, read_description
from omnimouse_cli.train.resolve import response_kind

# Settings of a model that change no weight's shape nor meaning: an adaptation may have its own.
FREE = frozenset(
    {
        "dropout",
        "neuron_dropout",
        "max_population",
        "max_targets",
        "video.drop_path",
        "video.start",
        "decoder.start_at_mean",
    }
)
# Tables that begin in the middle of a core's have less far to go, and overfit where they hurry.
SMALL_TABLE_LEARNING_RATE = 2e-3
KINDS = {"rate": "rates", "dff": "dF/F"}


def start_of(run: Path) -> RunConfig:
    """Give the configuration that an adaptation starts from.

    The model, the scaling of its inputs, its channels and the table of strategies are the run's;
    length, optimizers and schedule are those that its size starts from.

    Args:
        run: Folder of a finished run.

    Raises:
        CheckpointError: No run, an unfinished one, damaged weights, or those of another version.
    """
    core = read_description(run)
    start, theirs = default_run_config(core.config.model.size), core.config
    return dataclasses.replace(
        start,
        model=theirs.model,
        data=dataclasses.replace(
            start.data,
            behavior_channels=core.behavior_channels,
            normalize=theirs.data.normalize,
            std_floor_relative=theirs.data.std_floor_relative,
            std_floor_absolute=theirs.data.std_floor_absolute,
            video_mean=theirs.data.video_mean,
            video_std=theirs.data.video_std,
        ),
        masking=dataclasses.replace(start.masking, table=theirs.masking.table),
        train=_gentle(start.train) if theirs.model.size in SMALL_SIZES else start.train,
    )


def core_of(config: RunConfig, dataset: Dataset) -> RunDescription | None:
    """Find the core that a run adapts, and refuse data and settings that it cannot be used with.

    Args:
        config: Of the run.
        dataset: What is trained on, in the core's order of channels.

    Returns:
        What the core is; None if everything is trained from its beginning.

    Raises:
        CheckpointError: No finished run, or a session of it with another number of neurons.
        ConfigError: Another model, other channels, other frames, another kind of responses.
    """
    if config.train.adapt_from is None:
        return None
    core = read_description(Path(config.train.adapt_from))
    require_same_model(core.folder, core.config.model, config.model)
    if dataset.behavior_channels != core.behavior_channels:
        raise ConfigError(
            f"the core of {core.folder} knows the behavior channels "
            f"{_listed(core.behavior_channels)}, and `data.behavior_channels` is "
            f"{_listed(dataset.behavior_channels)}",
            hint="leave data.behavior_channels out: it follows the core",
        )
    for session in dataset.sessions:
        _require_known_inputs(core, session)
        _require_same_neurons(core, session)
    return core


def sayings(source: RunDescription, config: RunConfig, dataset: Dataset) -> list[str]:
    """Say what is taken from where, a sentence each."""
    opened = config.train.unfreeze
    learned = ", ".join(("vectors of animals", "tables of sessions", *opened))
    lines = [
        f"the core of {source.folder} (step {source.step}, {len(source.animals)} animals) is "
        + ("opened whole: everything learns" if "all" in opened else f"frozen but for: {learned}")
    ]
    sessions = {entry.session for entry in source.sessions}
    again = [session.key for session in dataset.sessions if session.key in sessions]
    if again:
        lines.append(f"starting from their tables in {source.folder}: {', '.join(again)}")
    return lines


def _gentle(train: TrainConfig) -> TrainConfig:
    return dataclasses.replace(train, table_learning_rate=SMALL_TABLE_LEARNING_RATE)


def require_same_model(run: Path, of_core: ModelConfig, model: ModelConfig) -> None:
    """Refuse another model than that of the core, but for what changes none of its weights.

    Raises:
        ConfigError: What is there and what is here.
    """
    there, here = _flat(to_dict(of_core)), _flat(to_dict(model))
    differing = [key for key in here if key not in FREE and here[key] != there[key]]
    if "size" in differing:
        differing = ["size"]
    if differing:
        raise ConfigError(
            f"the core of {run} cannot be adapted as another model: "
            + ", ".join(
                f"`model.{key}` is {there[key]} there and {here[key]} here" for key in differing
            ),
            hint=f"leave --model and model.* out: the model is that of {run}",
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _require_known_inputs(core: RunDescription, session: SessionInfo) -> None:
    require_frame_size(
        session.key,
        session.frame_shape,
        core.config.model.video,
        model=f"the core of {core.folder}",
    )
    # Weights without a note of what they were trained on say it by their loss.
    known = core.response_kind or ("rate" if core.response_loss == "poisson" else "dff")
    kind = response_kind(session)
    if kind != known:
        raise ConfigError(
            f"session {session.key} holds {KINDS[kind]} and the core of {core.folder} was trained "
            f"on {KINDS[known]}",
            hint="adapt a core of the same kind of responses; if the kind was guessed wrong, "
            f"preprocess with --response-kind {known}",
        )


def _require_same_neurons(core: RunDescription, session: SessionInfo) -> None:
    neurons = {entry.session: entry.neurons for entry in core.sessions}
    expected = neurons.get(session.key, session.num_neurons)
    if expected != session.num_neurons:
        raise CheckpointError(
            f"session {session.key} has {session.num_neurons} neurons in {session.path} and "
            f"{expected} in {core.folder}",
            hint="preprocess it under another key if it is another recording, or name the shards "
            "that the run was trained on",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
