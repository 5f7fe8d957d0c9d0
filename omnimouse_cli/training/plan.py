"""What a training would be: the same refusals, its length, time and memory; nothing is written."""

import dataclasses
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from omnimouse_cli.batch.epochs import tokens_per_step, unique_tokens
from omnimouse_cli.batch.masking import draw
from omnimouse_cli.batch.strategies import training_table
from omnimouse_cli.cost.training import estimate_training
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.folder import require_unlocked
from omnimouse_cli.run.load import load_run
from omnimouse_cli.text import format_bytes, pluralize
from omnimouse_cli.training.checkpoint import read_matching_state
from omnimouse_cli.training.disk_space import check_disk_space, existing_parent
from omnimouse_cli.training.memory import (
    available_memory,
    explain_out_of_memory,
    suggest_settings,
)
from omnimouse_cli.training.parallel.session_embeddings import owned_sessions
from omnimouse_cli.training.parallel.world import World, select_device
from omnimouse_cli.training.prepare import (
    Preparation,
    TrainingJob,
    build_setup,
    find_checkpoint,
    open_loader,
    prepare,
)
from omnimouse_cli.training.resolve import resolve_shortcuts_first
from omnimouse_cli.training.schedule import build_duration
from omnimouse_cli.training.start.adapt import load_core
from omnimouse_cli.training.start.init_from import check_initial_run, load_initial_weights
from omnimouse_cli.training.state import Counters, TrainState
from omnimouse_cli.training.step import TrainingSetup, train_step
from omnimouse_cli.training.warm_up import compile_core

# Steps of each kind whose time is taken, after one that sets things up.
NUM_TIMED_STEPS = 6
# Seconds after which no further step of a kind is measured.
MAX_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A training that could begin.

    Args:
        fields: The fields of `train --dry-run --json`.
        problem: Why the training would fail nevertheless; None if it would not, by the estimate.
    """

    fields: dict[str, Any]
    problem: OmniMouseError | None


class StepSeconds(NamedTuple):
    """Seconds of a training step: of the whole model, and of the shortcuts alone.

    They are equal where the shortcuts are never trained alone.
    """

    whole_model: float
    shortcuts: float


def plan_training(job: TrainingJob, *, num_ranks: int, device: str, reporter: Reporter) -> Plan:
    """Return the size, length and time of a training; the time from a few steps of it.

    Args:
        job: What would be trained, and where.
        num_ranks: World size.
        device: `cpu`, `cuda` (which need not be here) or `auto`.
        reporter: Receives defaults that were taken.

    Raises:
        OmniMouseError: The training would be refused.
    """
    world = World(
        num_ranks=num_ranks,
        device=torch.device("cuda") if device == "cuda" else select_device(device),
    )
    prepared = prepare(job, world, reporter)
    require_unlocked(job.run)
    _require_writable(job.run)
    counters = _read_counters(job, prepared)
    if job.init_from is not None and counters.step == 0:
        check_initial_run(
            load_run(job.init_from),
            prepared.config,
            prepared.dataset,
            reporter,
            allow_other_data=job.allow_other_data,
        )
    sessions = prepared.dataset.sessions
    fields = estimate_training(
        prepared.config,
        sessions,
        prepared.strategies,
        owned=owned_sessions([session.num_neurons for session in sessions], num_ranks),
        device=world.device.type,
    )
    problem, not_measured = None, _why_not_here(world)
    available = None if not_measured else available_memory(world.device)
    if available is not None:
        problem = _find_memory_problem(fields["memory_bytes"], available, prepared, world)
    if not_measured is None and problem is not None:
        not_measured = "it does not fit in memory"
    elif not_measured is None and num_ranks > 1:
        not_measured = "steps of one process only can be"
    seconds = None if not_measured else _measure(job, prepared, world, counters, reporter)
    fields |= _describe_length(prepared, counters, seconds)
    fields |= {"not_measured": not_measured, "available_memory_bytes": available}
    starts = counters.step == 0 and job.init_from is None
    fields["linear_start"] = starts and prepared.config.model.decoder.linear_rank is not None
    return Plan(fields=fields, problem=problem)


def plan_published(job: TrainingJob, *, num_ranks: int, device: str) -> Plan:
    """Return the size of a training on data like the published, without any data.

    Args:
        job: What would be trained.
        num_ranks: World size.
        device: `cpu`, `cuda` (which need not be here) or `auto`.
    """
    return Plan(
        fields=estimate_training(
            resolve_shortcuts_first(job.config, job.init_from, Silent()),
            (),
            training_table(job.config.masking.table),
            owned=owned_sessions([], num_ranks),
            device="cuda" if device == "cuda" else select_device(device).type,
        ),
        problem=None,
    )


def _why_not_here(world: World) -> str | None:
    """Return why this machine cannot train; None if it can."""
    num_gpus = torch.cuda.device_count()
    if world.device.type == "cpu" or num_gpus >= world.num_ranks:
        return None
    return f"{pluralize(world.num_ranks, 'GPU')} are needed, and this machine has {num_gpus}"


def _require_writable(run: Path) -> None:
    """Raise OmniMouseError if the folder of the run could not be made or written to."""
    parent = existing_parent(run)
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        reason = "is not writable" if parent.is_dir() else "is a file"
        raise OmniMouseError(
            f"the folder {run} of the run cannot be written: {parent} {reason}",
            hint="name another folder with --out",
        )


def _read_counters(job: TrainingJob, prepared: Preparation) -> Counters:
    """Return how much was trained before the training would go on."""
    path = find_checkpoint(job.run) if job.resume else None
    if path is None:
        return Counters()
    neurons = {session.key: session.num_neurons for session in prepared.dataset.sessions}
    state = read_matching_state(path, neurons, prepared.config)
    return Counters(step=state["step"], elapsed_seconds=state.get("elapsed_seconds", 0.0))


def _find_memory_problem(
    needed_bytes: dict[str, int], available: int, prepared: Preparation, world: World
) -> OmniMouseError | None:
    """Return the error of a training that does not fit in memory, by the estimate."""
    on_cpu = world.device.type == "cpu"
    needed = sum(needed_bytes.values()) * (world.num_ranks if on_cpu else 1)
    if needed <= available:
        return None
    place = "this machine" if on_cpu else "the GPU"
    return OmniMouseError(
        f"the training takes {format_bytes(needed)} of memory by the estimate, and {place} has "
        f"{format_bytes(available)}",
        hint=suggest_settings(
            prepared.config, prepared.dataset.sessions, prepared.strategies, world
        ),
    )


def _measure(
    job: TrainingJob,
    prepared: Preparation,
    world: World,
    counters: Counters,
    reporter: Reporter,
) -> StepSeconds:
    """Return the seconds of a training step, from a few steps of the training.

    Raises:
        OmniMouseError: Memory runs out, weights do not fit, or the disk has no room.
    """
    config, dataset, strategies = prepared.config, prepared.dataset, prepared.strategies
    with explain_out_of_memory(config, dataset.sessions, strategies, world):
        state = TrainState(config, dataset, world)
        state.counters = dataclasses.replace(counters)
        if prepared.core is not None:
            load_core(prepared.core, state.core, state.embeddings.owned, dataset)
        _load_initial_weights(job, state, prepared, world)
        check_disk_space(job.run, state, config=config, world=world, reporter=reporter)
        with open_loader(config, dataset, state, world, verify_at_start=False) as loader:
            setup = build_setup(
                job.run, config, prepared.shard_files, loader, strategies, world=world
            )
            state.core.recomputes = config.train.activation_checkpointing
            compile_core(state, setup, reporter)
            whole_model = _time_steps(state, setup, shortcuts_only=False)
            has_shortcuts_first = bool(config.train.shortcuts_first_fraction)
            return StepSeconds(
                whole_model=whole_model,
                shortcuts=_time_steps(state, setup, shortcuts_only=True)
                if has_shortcuts_first
                else whole_model,
            )


def _load_initial_weights(
    job: TrainingJob, state: TrainState, prepared: Preparation, world: World
) -> None:
    """Load the weights of the run that is the start, unless they would have to be distilled."""
    config, dataset = prepared.config, prepared.dataset
    if job.init_from is None or state.counters.step:
        return
    # Whether the data are those of the run was checked before.
    run, silent = load_run(job.init_from), Silent()
    if not check_initial_run(run, config, dataset, silent, allow_other_data=True):
        load_initial_weights(
            job.init_from,
            state,
            config=config,
            dataset=dataset,
            world=world,
            reporter=silent,
            allow_other_data=True,
        )


def _time_steps(state: TrainState, setup: TrainingSetup, *, shortcuts_only: bool) -> float:
    """Return the mean seconds of a few steps; the first one is not counted if there are others."""
    state.core.shortcuts_only = shortcuts_only
    times: list[float] = []
    while len(times) <= NUM_TIMED_STEPS and sum(times) < MAX_SECONDS:
        step = state.counters.step
        sessions = setup.sessions_of_step(step)
        strategy = draw(setup.strategies, sessions, seed=setup.config.seed, step=step)
        start = time.perf_counter()
        train_step(state, setup, strategy)
        if setup.world.device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.fmean(times[1:] or times)


def _describe_length(
    prepared: Preparation, counters: Counters, seconds: StepSeconds | None
) -> dict[str, Any]:
    """Return steps, epochs and time of a training; None where steps would have to be measured.

    Args:
        prepared: Data and configuration.
        counters: What was trained before.
        seconds: Measured seconds of a step.
    """
    train, duration = prepared.config.train, build_duration(prepared.config.train)
    assert train.batches_per_step is not None, "resolved before training"
    assert train.shortcuts_first_fraction is not None, "resolved before training"
    done = min(duration.fraction_done(counters.step, counters.elapsed_seconds), 1.0)
    shortcuts = max(0.0, train.shortcuts_first_fraction - done)
    whole_model = 1.0 - max(train.shortcuts_first_fraction, done)
    steps: float | None = duration.steps
    left_seconds = None
    if duration.seconds is not None:
        left_seconds = duration.seconds * (1.0 - done)
        if seconds is not None:
            rate = shortcuts / seconds.shortcuts + whole_model / seconds.whole_model
            steps = counters.step + duration.seconds * rate
    elif seconds is not None and duration.steps is not None:
        mean = shortcuts * seconds.shortcuts + whole_model * seconds.whole_model
        left_seconds = duration.steps * mean
    data, dataset = prepared.config.data, prepared.dataset
    of_step = tokens_per_step(dataset, data, train.batches_per_step)
    unique = unique_tokens(dataset, data)
    return {
        "steps": None if steps is None else round(steps),
        "steps_done": counters.step,
        "minutes": train.minutes,
        "epochs": None if steps is None else steps * of_step / unique,
        "unique_tokens": unique,
        "seconds": left_seconds,
        "seconds_per_step": None if seconds is None else seconds._asdict(),
    }
