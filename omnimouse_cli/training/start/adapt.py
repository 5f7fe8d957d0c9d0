"""Adaptation of a trained core to new sessions: its configuration, its checks and its weights."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, require_frame_size
from omnimouse_cli.config.convert import flatten, to_dict
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.config.sizes import SMALL_SIZES, default_run_config
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.model.build import Core
from omnimouse_cli.model.freeze import ANIMALS
from omnimouse_cli.model.session_embeddings import SessionEmbeddings
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.load import require_same_data, require_same_neurons
from omnimouse_cli.run.weights import (
    CORE,
    RunDescription,
    explain_mismatch,
    read_description,
    read_session_tensors,
    read_tensors,
)
from omnimouse_cli.text import pluralize
from omnimouse_cli.training.resolve import response_kind

# Options of a model that change neither the shape nor the meaning of a weight: an adaptation may
# set them.
FREE_OPTIONS = frozenset(
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
# For small sizes. Session embeddings that start from the mean of a core's are closer to their
# optimum than random ones, and overfit at the learning rate of those.
SMALL_TABLE_LEARNING_RATE = 2e-3
_SILENT = Silent()
KIND_NAMES = {"rate": "rates", "dff": "dF/F", "fluorescence": "raw fluorescence"}


def default_adaptation(run: Path) -> RunConfig:
    """Return the defaults of an adaptation.

    Model, behavior channels, input scaling and table of strategies are those of the run; duration,
    optimizers and schedule are the defaults of its size.

    Args:
        run: Folder of the finished run whose core is adapted.

    Raises:
        CheckpointError: The folder is not a run, the run has not finished, or its weights are
            damaged or of another version.
    """
    core = read_description(run)
    defaults, of_core = default_run_config(core.config.model.size), core.config
    train = defaults.train
    if of_core.model.size in SMALL_SIZES:
        train = dataclasses.replace(train, table_learning_rate=SMALL_TABLE_LEARNING_RATE)
    return dataclasses.replace(
        defaults,
        model=of_core.model,
        data=dataclasses.replace(
            defaults.data,
            behavior_channels=core.behavior_channels,
            normalize=of_core.data.normalize,
            std_floor_relative=of_core.data.std_floor_relative,
            std_floor_absolute=of_core.data.std_floor_absolute,
            video_mean=of_core.data.video_mean,
            video_std=of_core.data.video_std,
        ),
        masking=dataclasses.replace(defaults.masking, table=of_core.masking.table),
        train=train,
    )


def read_core(
    config: RunConfig,
    dataset: Dataset,
    reporter: Reporter = _SILENT,
    *,
    allow_other_data: bool = False,
) -> RunDescription | None:
    """Return the description of the run whose core is adapted, if it fits configuration and data.

    Args:
        config: Configuration of the adaptation.
        dataset: Data set of the adaptation.
        reporter: Receives warnings of `require_same_data`.
        allow_other_data: Whether sessions of the run may hold other values than it was trained on.

    Returns:
        The description; None without `train.adapt_from`.

    Raises:
        CheckpointError: The run has not finished, or has a session with another number of neurons
            or other values.
        ConfigError: Model, behavior channels, frame size or kind of responses differ.
    """
    if config.train.adapt_from is None:
        return None
    core = read_description(Path(config.train.adapt_from))
    require_same_model(core.folder, core.config.model, config.model)
    if config.model.kind == "cnn-twin" and "all" not in config.train.unfreeze:
        raise ConfigError(
            f"the core of {core.folder} is a cnn-twin, which cannot be frozen",
            hint="train all of it, from these weights: --unfreeze all",
        )
    if dataset.behavior_channels != core.behavior_channels:
        raise ConfigError(
            f"the core of {core.folder} has the behavior channels "
            f"{', '.join(core.behavior_channels) or 'none'}, and `data.behavior_channels` is "
            f"{', '.join(dataset.behavior_channels) or 'none'}",
            hint="leave data.behavior_channels out: it follows the core",
        )
    for session in dataset.sessions:
        _require_same_inputs(core, session)
    require_same_neurons(core.folder, core.sessions, dataset.sessions)
    require_same_data(
        core.folder, core.sessions, dataset.sessions, reporter, allow_other=allow_other_data
    )
    return core


def require_same_model(run: Path, of_core: ModelConfig, model: ModelConfig) -> None:
    """Refuse a model that differs from that of a core in more than `FREE_OPTIONS`.

    Args:
        run: Folder of the core's run, for the message.
        of_core: Model of the core.
        model: Model of the adaptation.

    Raises:
        ConfigError: The options that differ, with both values.
    """
    theirs, ours = flatten(to_dict(of_core)), flatten(to_dict(model))
    differing = [key for key in ours if key not in FREE_OPTIONS and ours[key] != theirs[key]]
    if "size" in differing:
        differing = ["size"]
    if differing:
        raise ConfigError(
            f"the core of {run} cannot be adapted as another model: "
            + ", ".join(
                f"`model.{key}` is {theirs[key]} there and {ours[key]} here" for key in differing
            ),
            hint=f"leave --model and model.* out: the model is that of {run}",
        )


def _require_same_inputs(core: RunDescription, session: SessionInfo) -> None:
    require_frame_size(
        session.key,
        session.frame_shape,
        core.config.model.video,
        model=f"the core of {core.folder}",
    )
    # Weights without the kind of their responses: the loss follows from it.
    expected = core.response_kind or ("dff" if core.response_loss == "gaussian" else "rate")
    kind = response_kind(session)
    if kind != expected:
        raise ConfigError(
            f"session {session.key} holds {KIND_NAMES[kind]} and the core of {core.folder} was "
            f"trained on {KIND_NAMES[expected]}",
            hint="adapt a core of the same kind of responses; if the kind was guessed wrong, "
            f"preprocess with --response-kind {expected}",
        )


def describe_adaptation(core: RunDescription, config: RunConfig, dataset: Dataset) -> list[str]:
    """Return messages about what is frozen and what is taken from the core's run.

    Args:
        core: Run whose core is adapted.
        config: Configuration of the adaptation.
        dataset: Data set of the adaptation.
    """
    unfrozen = config.train.unfreeze
    learning = ", ".join(("animal embeddings", "session embeddings", *unfrozen))
    state = "not frozen" if "all" in unfrozen else f"frozen except for: {learning}"
    lines = [
        f"the core of {core.folder} (step {core.step}, "
        f"{pluralize(len(core.animals), 'animal')}) is {state}"
    ]
    known = {entry.session for entry in core.sessions}
    common = [session.key for session in dataset.sessions if session.key in known]
    if common:
        lines.append(f"session embeddings taken from {core.folder}: {', '.join(common)}")
    return lines


def load_core(
    source: RunDescription,
    core: Core,
    embeddings: Mapping[str, SessionEmbeddings],
    dataset: Dataset,
) -> None:
    """Load the core of a run, and the embeddings of animals and sessions that the run has.

    Other animals and sessions start from the mean over all animals, sessions and neurons of the
    run: a frozen core cannot read random embeddings.

    Args:
        source: The run.
        core: Changed in place.
        embeddings: Session embeddings by session key, changed in place.
        dataset: Data set of the core's animals.

    Raises:
        CheckpointError: The weights are damaged or do not fit the model that they describe.
    """
    tensors = read_tensors(source.folder, CORE)
    with explain_mismatch(source.folder):
        if ANIMALS in tensors:
            of_animal = dict(zip(source.animals, tensors[ANIMALS], strict=True))
            mean = tensors[ANIMALS].mean(0)
            tensors[ANIMALS] = torch.stack([of_animal.get(x, mean) for x in dataset.animals])
        core.load_state_dict(tensors)
        _load_session_embeddings(source, embeddings, core.config)


@torch.no_grad()
def _load_session_embeddings(
    source: RunDescription, embeddings: Mapping[str, SessionEmbeddings], config: ModelConfig
) -> None:
    known = {entry.session for entry in source.sessions}
    mean: dict[str, Tensor] = {}
    for session, module in embeddings.items():
        if session in known:
            module.load_state_dict(read_session_tensors(source.folder, session))
            continue
        mean = mean or _mean_session_embeddings(source)
        module.neuron_embeddings.copy_(mean["neuron_embeddings"])
        module.session_embedding.copy_(mean["session_embedding"])
        if not config.decoder.start_at_mean:
            module.neuron_biases.copy_(mean["neuron_biases"])


def _mean_session_embeddings(source: RunDescription) -> dict[str, Tensor]:
    """Return the mean of neuron embeddings and biases over neurons, of others over sessions."""
    total: dict[str, Tensor] = {}
    for entry in source.sessions:
        for name, value in read_session_tensors(source.folder, entry.session).items():
            summed = value if name == "session_embedding" else value.sum(0)
            total[name] = total.get(name, 0) + summed
    num_neurons = sum(entry.neurons for entry in source.sessions)
    return {
        name: summed / (len(source.sessions) if name == "session_embedding" else num_neurons)
        for name, summed in total.items()
    }
