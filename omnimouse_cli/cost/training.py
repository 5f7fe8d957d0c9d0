"""What a training costs, estimated before it begins: parameters, FLOPs, memory."""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.selection import num_targets, num_visible
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.data import NUM_FRAMES, NUM_RESPONSE_SAMPLES
from omnimouse_cli.config.model import ModelConfig
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.flops import count_flops, count_shortcut_flops
from omnimouse_cli.cost.memory import (
    BFLOAT16_BYTES,
    FLOAT_BYTES,
    StepMode,
    count_activations,
)
from omnimouse_cli.cost.parameters import count_frozen, count_parameters, count_sessions
from omnimouse_cli.cost.twin import count_twin_activations, count_twin_flops
from omnimouse_cli.model.precision import resolve_precision
from omnimouse_cli.model.sequences import Task, build_sequences

# Assumed in an estimate without data. Source: OmniMouse (ICLR 2026, arXiv 2604.18827).
PUBLISHED_CHANNELS = 5
INDEX_BYTES = 8
# PyTorch gives cuBLAS this much on GPUs of capability 9, and a quarter of it on older ones.
CUBLAS_BYTES = 32 * 2**20
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
    total, whole, shortcuts = 0, 0, 0
    count = count_twin_flops if config.model.kind == "cnn-twin" else count_flops
    for task, session_neurons in _tasks(config, sessions, strategies).items():
        # Operations grow linearly with the neurons of a session beyond those of a window.
        num_sessions, mean = len(session_neurons), statistics.fmean(session_neurons)
        sizes = {"session_neurons": round(mean), "batch_size": config.data.batch_size}
        total += num_sessions
        whole += num_sessions * count(config.model, task, **sizes).training
        shortcuts += num_sessions * count_shortcut_flops(config.model, task, **sizes).training
    return WindowFlops(whole / total, shortcuts / total)


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
        Bytes are those of the rank with the most session embeddings, under the strategy with the
        most activations, at the peak of a step as PyTorch's allocator counts it. Beside them a GPU
        holds the CUDA context, kernels and buffers of NCCL, about 1 GB, and what fragmentation
        loses, 2 to 7 %.
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
    largest = max(
        count_sessions(config.model, [neurons[i] for i in part], num_channels=num_channels)
        for part in owned
    )
    on_rank = parameters["total"] - parameters["tables"] + largest
    learned = on_rank - count_frozen(config, num_channels=num_channels, num_animals=num_animals)
    mode, batch_size = step_mode(config, device), config.data.batch_size
    is_twin = config.model.kind == "cnn-twin"
    count = count_twin_activations if is_twin else count_activations
    widest, activations = max(
        (
            (task, count(config.model, task, batch_size=batch_size, mode=mode))
            for task in _tasks(config, _widest_populations(sessions), strategies)
        ),
        key=lambda pair: pair[1].total,
    )
    keeps_casts = mode.casts and not mode.recomputes
    tables = count_sessions(config.model, [max(neurons, default=0)], num_channels=num_channels)
    flops = window_flops(config, sessions, strategies)
    return {
        "model": config.model.size,
        "parameters": parameters,
        "flops_per_window": flops.whole_model,
        "shortcuts_first_fraction": config.train.shortcuts_first_fraction,
        "shortcuts_first_flops_per_window": flops.shortcuts,
        "memory_bytes": {
            "parameters": FLOAT_BYTES * on_rank,
            "gradients": FLOAT_BYTES
            * (learned - largest + tables * _tables_per_step(config, num_ranks=len(owned))),
            "optimizer": FLOAT_BYTES * NUM_MOMENTS * learned,
            "batch": batch_size * _batch_bytes(config, widest),
            # Blocks that are compiled or computed again cast their weights when they use them.
            "low_precision_weights": BFLOAT16_BYTES * parameters["core"] * keeps_casts,
            "activations": activations.stored,
            "workspace": activations.workspace,
            "cublas": CUBLAS_BYTES * (device == "cuda"),
        },
        "sequence_lengths": {} if is_twin else build_sequences(config.model, widest).lengths,
        "ranks": [
            {"rank": rank, "sessions": [sessions[index].key for index in part]}
            for rank, part in enumerate(owned)
        ],
    }


def step_mode(config: RunConfig, device: str) -> StepMode:
    """Return how a run computes its steps, as far as memory depends on it.

    Args:
        config: Configuration of the run.
        device: `cpu` or `cuda`.
    """
    compiles = config.train.compile
    return StepMode(
        device=device,
        precision=resolve_precision(config.train.precision, device),
        # On a CPU only parts of blocks are compiled.
        is_compiled=device == "cuda" and compiles is not False,
        recomputes=config.train.activation_checkpointing,
    )


def _tables_per_step(config: RunConfig, *, num_ranks: int) -> int:
    """Return how many copies of the largest session embeddings a rank holds in a step.

    They are the gradients of the sessions that it trains, and with several ranks the values and the
    gradient of a session of another rank, and both as they are sent to and fro.
    """
    num_batches = -(-(config.train.batches_per_step or num_ranks) // num_ranks)
    return num_batches if num_ranks == 1 else num_batches + 4


def _batch_bytes(config: RunConfig, task: Task) -> int:
    """Return the bytes of a window on the device: responses, columns, video, selected neurons."""
    video, population = config.model.video, task.num_neurons
    numbers = population * NUM_RESPONSE_SAMPLES
    if task.has_screen:
        numbers += NUM_FRAMES * video.frame_height * video.frame_width
    return FLOAT_BYTES * numbers + INDEX_BYTES * 3 * population


def _widest_populations(sessions: Sequence[SessionInfo]) -> list[SessionInfo]:
    """Return the session with the most neurons of each set of modalities."""
    widest: dict[tuple[int, bool], SessionInfo] = {}
    for session in sorted(sessions, key=lambda each: each.num_neurons):
        widest[len(session.channels), session.frame_shape is not None] = session
    return list(widest.values())


def _tasks(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy]
) -> dict[Task, list[int]]:
    """Return each distinct window of a training, with the neurons of the sessions that have it.

    Sessions differ in few ways that matter to a window, which has at most `data.max_neurons`.
    """
    model, max_neurons = config.model, config.data.max_neurons
    if not sessions:
        return {
            make_task(
                model,
                strategy,
                num_neurons=max_neurons,
                num_channels=PUBLISHED_CHANNELS,
                has_screen=True,
            ): [max_neurons]
            for strategy in strategies
        }
    alike: dict[tuple[Any, ...], list[SessionInfo]] = {}
    for session in sessions:
        # What `applies` and the task of a strategy depend on.
        population = min(session.num_neurons, max_neurons, model.max_population)
        scored = None if session.has_time_course else session.num_neurons
        kind = (population, len(session.channels), session.frame_shape is not None, scored)
        alike.setdefault(kind, []).append(session)
    windows: dict[Task, list[int]] = {}
    for (population, num_channels, has_screen, _), same in alike.items():
        session_neurons = [session.num_neurons for session in same]
        for strategy in strategies:
            if applies(strategy, same[0]):
                task = make_task(
                    model,
                    strategy,
                    num_neurons=population,
                    num_channels=num_channels,
                    has_screen=has_screen,
                )
                windows.setdefault(task, []).extend(session_neurons)
    return windows
