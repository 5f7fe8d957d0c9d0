"""What a training costs, estimated before it begins: parameters, FLOPs, memory."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.selection import num_targets, num_visible
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.flops import count_flops, count_shortcut_flops
from omnimouse_cli.cost.memory import count_activations
from omnimouse_cli.cost.parameters import count_frozen, count_parameters, count_sessions
from omnimouse_cli.model.precision import resolve_precision
from omnimouse_cli.model.sequences import Task, build_sequences

# Assumed in an estimate without data. Source: OmniMouse (ICLR 2026, arXiv 2604.18827).
PUBLISHED_CHANNELS = 5
FLOAT_BYTES, BFLOAT16_BYTES = 4, 2
# AdamW keeps two moments of every parameter that learns.
NUM_MOMENTS = 2


class WindowFlops(NamedTuple):
    """FLOPs of forward and backward pass of a window.

    Args:
        whole_model: Transformer and shortcuts.
        shortcuts: The shortcuts alone.
    """

    whole_model: float
    shortcuts: float


def make_task(
    config: ModelConfig,
    strategy: Strategy,
    *,
    num_neurons: int,
    num_channels: int,
    has_screen: bool,
) -> Task:
    """Return the inputs and targets of a training window of a session under a strategy.

    Args:
        config: Configuration of the model; at most `max_population` neurons are used.
        strategy: The masking strategy.
        num_neurons: Neurons in the batch.
        num_channels: Behavior channels of the session.
        has_screen: Whether the session has a screen.
    """
    population = min(num_neurons, config.max_population)
    return Task(
        strategy=strategy,
        num_neurons=population,
        num_visible=num_visible(strategy, population),
        num_targets=(
            num_targets(strategy, population, config.max_targets) if strategy.targets else 0
        ),
        num_channels=num_channels,
        has_screen=has_screen,
    )


def window_flops(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy]
) -> WindowFlops:
    """Return the mean training FLOPs of a window over sessions and the strategies that apply.

    Args:
        config: Configuration of the run.
        sessions: Sessions of the training; without any, data like the published are assumed.
        strategies: Masking strategies of the training.
    """
    whole, shortcuts = [], []
    for task, session_neurons in _tasks(config, sessions, strategies):
        sizes = {"session_neurons": session_neurons, "batch_size": config.data.batch_size}
        whole.append(count_flops(config.model, task, **sizes).training)
        shortcuts.append(count_shortcut_flops(config.model, task, **sizes).training)
    return WindowFlops(statistics.fmean(whole), statistics.fmean(shortcuts))


def estimate_training(
    config: RunConfig,
    sessions: Sequence[SessionInfo],
    strategies: Sequence[Strategy],
    *,
    owned: Sequence[Sequence[int]],
    device: str,
) -> dict[str, Any]:
    """Return the size of a training: the fields of `train --dry-run --json`.

    Args:
        config: Configuration of the run.
        sessions: Sessions of the training; without any, data like the published are assumed.
        strategies: Masking strategies of the training.
        owned: Numbers of the sessions whose embeddings each rank keeps.
        device: `cpu` or `cuda`.

    Returns:
        Bytes are those of the rank with the most session embeddings, and of the strategy with the
        most activations.
    """
    channels = {name for session in sessions for name in session.channels}
    num_channels = len(channels) if sessions else PUBLISHED_CHANNELS
    if config.data.behavior_channels is not None:
        num_channels = len(config.data.behavior_channels)
    num_animals = len({session.animal for session in sessions})
    neurons = [session.num_neurons for session in sessions]
    parameters = count_parameters(
        config.model, neurons=neurons, num_channels=num_channels, num_animals=num_animals
    )
    largest = max(count_sessions(config.model, [neurons[i] for i in part]) for part in owned)
    on_rank = parameters["total"] - parameters["tables"] + largest
    learned = on_rank - count_frozen(config, num_channels=num_channels, num_animals=num_animals)
    tasks = [task for task, _ in _tasks(config, sessions, strategies)]
    widest = max(tasks, key=lambda task: count_activations(config.model, task))
    is_half = resolve_precision(config.train.precision, device) == "bfloat16"
    activation_bytes = BFLOAT16_BYTES if is_half else FLOAT_BYTES
    flops = window_flops(config, sessions, strategies)
    return {
        "model": config.model.size,
        "parameters": parameters,
        "flops_per_window": flops.whole_model,
        "shortcuts_first_fraction": config.train.shortcuts_first_fraction,
        "shortcuts_first_flops_per_window": flops.shortcuts,
        "memory_bytes": {
            "parameters": FLOAT_BYTES * on_rank,
            "gradients": FLOAT_BYTES * learned,
            "optimizer": FLOAT_BYTES * NUM_MOMENTS * learned,
            "activations": activation_bytes
            * config.data.batch_size
            * count_activations(config.model, widest),
        },
        "sequence_lengths": build_sequences(config.model, widest).lengths,
        "ranks": [
            {"rank": rank, "sessions": [sessions[index].key for index in part]}
            for rank, part in enumerate(owned)
        ],
    }


def _tasks(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy]
) -> list[tuple[Task, int]]:
    """Return a window of each session under each strategy, with the neurons of the session."""
    model, max_neurons = config.model, config.data.max_neurons
    if not sessions:
        return [
            (
                make_task(
                    model,
                    strategy,
                    num_neurons=max_neurons,
                    num_channels=PUBLISHED_CHANNELS,
                    has_screen=True,
                ),
                max_neurons,
            )
            for strategy in strategies
        ]
    return [
        (
            make_task(
                model,
                strategy,
                num_neurons=min(session.num_neurons, max_neurons),
                num_channels=len(session.channels),
                has_screen=session.frame_shape is not None,
            ),
            session.num_neurons,
        )
        for session in sessions
        for strategy in strategies
        if applies(strategy, session)
    ]
