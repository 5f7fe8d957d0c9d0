"""What a training costs before it begins: parameters, operations, memory, who owns which table."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from omnimouse_cli.batch.dataset import SessionInfo
from omnimouse_cli.batch.masking import applies
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.parameters import animal_parameters, parameter_counts, table_parameters
from omnimouse_cli.cost.window import Work, request_of, work_of
from omnimouse_cli.model.freeze import frozen_parameters

# Source: omnimouse reference, section 1; for a plan that is made without data.
PUBLISHED_CHANNELS = 5
FLOAT_BYTES = 4
# Every parameter has a gradient and two moments of AdamW beside it.
NUM_MOMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """What of a session decides the cost of its windows.

    Args:
        num_neurons: Neurons.
        num_channels: Behavior channels.
        stimulus: Whether it has a screen.
    """

    num_neurons: int
    num_channels: int
    stimulus: bool


def parameters_of(
    config: RunConfig, *, neurons: Sequence[int], num_channels: int, num_animals: int
) -> dict[str, Any]:
    """Count parameters.

    Args:
        config: `model` is used.
        neurons: Of each session.
        num_channels: Behavior channels of the data set.
        num_animals: Of the data set.

    Returns:
        `core`, which all animals share, `tables` of sessions, `total` with animals' vectors, and
        the `components` of the core.
    """
    components = parameter_counts(config.model, num_channels=num_channels)
    core, tables = sum(components.values()), table_parameters(config.model, neurons)
    total = core + tables + animal_parameters(config.model, num_animals)
    return {"core": core, "tables": tables, "total": total, "components": components}


def flops_per_window(
    config: RunConfig, sessions: Sequence[SessionInfo], strategies: Sequence[Strategy]
) -> tuple[float, float]:
    """Give the mean operations of training on a window, over sessions and their strategies.

    Returns:
        Those of the whole model, and those of its short ways alone.
    """
    works = [
        _work(config, strategy, population_of(session))
        for session in sessions
        for strategy in strategies
        if applies(strategy, session)
    ]
    return (
        statistics.fmean(work.training_flops for work in works),
        statistics.fmean(work.short_ways_flops for work in works),
    )


def plan_of(
    config: RunConfig,
    sessions: Sequence[SessionInfo],
    strategies: Sequence[Strategy],
    *,
    owned: Sequence[Sequence[int]],
    device: str,
) -> dict[str, Any]:
    """Say how large a training would be.

    Args:
        config: Of the run.
        sessions: What would be trained on; without any, the published kind of data is assumed.
        strategies: What a step may ask.
        owned: For each rank the numbers of the sessions whose embeddings it keeps.
        device: `cpu` or `cuda`.

    Returns:
        The fields of `train --dry-run --json`; bytes are those of the fullest rank.
    """
    neurons = [session.num_neurons for session in sessions]
    num_channels = _num_channels(config, sessions)
    num_animals = len({session.animal for session in sessions})
    parameters = parameters_of(
        config, neurons=neurons, num_channels=num_channels, num_animals=num_animals
    )
    tables = [table_parameters(config.model, [neurons[index] for index in part]) for part in owned]
    held = parameters["total"] - parameters["tables"] + max(tables)
    learned = held - frozen_parameters(config, num_channels=num_channels, num_animals=num_animals)
    works = [
        _work(config, strategy, population)
        for population in _populations(config, sessions)
        for strategy in strategies
    ]
    widest = max(works, key=lambda work: work.activations)
    is_half = (config.train.precision or ("bfloat16" if device == "cuda" else "")) == "bfloat16"
    return {
        "model": config.model.size,
        "parameters": parameters,
        "flops_per_window": statistics.fmean(work.training_flops for work in works),
        "short_ways_fraction": config.train.short_ways_fraction,
        "short_ways_flops_per_window": statistics.fmean(work.short_ways_flops for work in works),
        "memory_bytes": {
            "parameters": FLOAT_BYTES * held,
            "gradients": FLOAT_BYTES * learned,
            "optimizer": FLOAT_BYTES * NUM_MOMENTS * learned,
            "activations": widest.activations
            * config.data.batch_size
            * (FLOAT_BYTES // 2 if is_half else FLOAT_BYTES),
        },
        "sequence_lengths": widest.sequence_lengths,
        "ranks": [
            {"rank": rank, "sessions": [sessions[index].key for index in part]}
            for rank, part in enumerate(owned)
        ],
    }


def _num_channels(config: RunConfig, sessions: Sequence[SessionInfo]) -> int:
    if config.data.behavior_channels is not None:
        return len(config.data.behavior_channels)
    if not sessions:
        return PUBLISHED_CHANNELS
    return len({name for session in sessions for name in session.channels})


def population_of(session: SessionInfo) -> Population:
    """Give what of a session decides the cost of its windows."""
    return Population(
        num_neurons=session.num_neurons,
        num_channels=len(session.channels),
        stimulus=session.frame_shape is not None,
    )


def _populations(config: RunConfig, sessions: Sequence[SessionInfo]) -> list[Population]:
    published = Population(
        num_neurons=config.data.max_neurons, num_channels=PUBLISHED_CHANNELS, stimulus=True
    )
    return [population_of(session) for session in sessions] or [published]


def _work(config: RunConfig, strategy: Strategy, population: Population) -> Work:
    request = request_of(
        config.model,
        strategy,
        num_neurons=min(population.num_neurons, config.data.max_neurons),
        num_channels=population.num_channels,
        stimulus=population.stimulus,
    )
    return work_of(
        config.model,
        request,
        table_rows=population.num_neurons,
        batch_size=config.data.batch_size,
    )
