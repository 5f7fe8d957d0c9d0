"""One training from shards to a finished run folder, or on from where it was interrupted."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from omnimouse_cli.batch.dataset import Dataset, open_dataset
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.checkpoints import drop_later_checkpoints, latest_checkpoint
from omnimouse_cli.run.folder import (
    is_finished,
    lock_run,
    remove_summary,
    write_config,
    write_environment,
    write_summary,
)
from omnimouse_cli.run.metrics_log import MetricsLog
from omnimouse_cli.run.weights import RunDescription
from omnimouse_cli.train.checkpoint import load_checkpoint
from omnimouse_cli.train.export import export
from omnimouse_cli.train.forward import compile_where_wanted
from omnimouse_cli.train.function_tables import tell_table_error
from omnimouse_cli.train.interrupt import noticed_interrupts
from omnimouse_cli.train.loop import Plan, train_until_over
from omnimouse_cli.train.memory import fitting, memory_named
from omnimouse_cli.train.parallel.world import World, device_name
from omnimouse_cli.train.progress_log import ProgressLogger
from omnimouse_cli.train.resolve import resolve_config
from omnimouse_cli.train.schedule import length_of, schedule_of
from omnimouse_cli.train.start.adapt import core_of, sayings
from omnimouse_cli.train.start.inherit import start_from
from omnimouse_cli.train.start.init_from import take_weights
from omnimouse_cli.train.state import TrainState
from omnimouse_cli.train.step import Work
from omnimouse_cli.train.summary import summary_of
from omnimouse_cli.train.validate import validate, validation_sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """What is to be trained, and where.

    Args:
        config: Of the run; what it leaves open is resolve_config by the data.
        shards: The data set.
        run: The run's folder; made if it does not exist.
        resume: Whether to go on from the newest checkpoint in it.
        init_from: Finished run whose weights training begins with; None begins with new ones.
        command_line: As the user typed it, for `environment.json`.
    """

    config: RunConfig
    shards: Path
    run: Path
    resume: bool = False
    init_from: Path | None = None
    command_line: tuple[str, ...] = ()


def train(order: TrainingJob, world: World, reporter: Reporter) -> None:
    """Train until the length is reached, then write the run's weights and summary.

    Args:
        order: What and where.
        world: The ranks; every rank calls this.
        reporter: Of the first rank.

    Raises:
        OmniMouseError: Data or configuration cannot be used, or somebody else trains there.
        KeyboardInterrupt: Somebody asked to stop; the message says what was kept.
    """
    reporter = reporter if world.is_first else Silent()
    dataset = _opened(order)
    # Whatever the data refuse, they refuse before a folder is made.
    strategies = training_strategies(order.config.masking, dataset.sessions)
    core = _core_to_begin_from(order, dataset)
    config = resolve_config(_config_of(order), dataset, world, reporter)
    validation_sessions(config, dataset)
    dataset.require_windows(config.data)
    warn_if_not_mapped(dataset, config.data, reporter)
    room = partial(fitting, config, dataset.sessions, strategies, world)
    with _held(order.run, world), memory_named(config, world.device, room):
        state = TrainState(config, dataset, world)
        if core is not None:
            _begin_from(core, state, config, dataset, reporter)
        if order.resume:
            _take_up(order.run, state, config, world, reporter)
        if order.init_from is not None and state.counters.step == 0:
            take_weights(
                order.init_from,
                state,
                config=config,
                dataset=dataset,
                world=world,
                reporter=reporter,
            )
        tell_table_error(state.core, config.model.dendrite, reporter)
        if world.is_first:
            _describe(order, config, world)
        with _loader(config, dataset, state, world) as loader:
            work = _work(config, dataset, state, loader, world)
            plan = Plan(
                length=length_of(
                    config.train,
                    batches_per_epoch=loader.batches_per_epoch,
                    batches_per_step=work.batches_per_step,
                ),
                schedule=schedule_of(config.train),
                strategies=strategies,
                run=order.run,
                dataset=dataset,
            )
            _train_and_finish(state, work, plan, reporter)


@contextmanager
def _held(run: Path, world: World) -> Iterator[None]:
    """Lock the run's folder on the first rank; if somebody else trains there, all learn so."""
    lock = lock_run(run) if world.is_first else nullcontext()
    world.on_first_rank(lock.__enter__)
    try:
        yield
    finally:
        if world.is_first:
            lock.__exit__(None, None, None)


def _describe(order: TrainingJob, config: RunConfig, world: World) -> None:
    write_environment(
        order.run,
        device=device_name(world.device),
        num_ranks=world.num_ranks,
        seed=config.seed,
        shards=order.shards,
        command_line=order.command_line,
    )
    # Last: a folder with a configuration is a run that can be resumed.
    write_config(order.run, config)


def _config_of(order: TrainingJob) -> RunConfig:
    """Give the configuration; a core that has learned begins whole, or it would be unlearned."""
    config = order.config
    if order.init_from is None and config.train.adapt_from is None:
        return config
    train = dataclasses.replace(config.train, short_ways_fraction=0.0)
    return dataclasses.replace(config, train=train)


def _opened(order: TrainingJob) -> Dataset:
    data = order.config.data
    return open_dataset(
        order.shards,
        sessions=data.sessions,
        max_sessions=data.max_sessions,
        behavior_channels=data.behavior_channels,
    )


def _core_to_begin_from(order: TrainingJob, dataset: Dataset) -> RunDescription | None:
    """Give the core that is adapted, if it is still to be taken from its run.

    A run that goes on has it in its checkpoint, and the run that it came from may be gone.
    """
    if order.resume and latest_checkpoint(order.run) is not None:
        return None
    return core_of(order.config, dataset)


def _begin_from(
    core: RunDescription,
    state: TrainState,
    config: RunConfig,
    dataset: Dataset,
    reporter: Reporter,
) -> None:
    start_from(core, state.core, state.tables, dataset)
    for line in sayings(core, config, dataset):
        reporter.say(line)


def _take_up(
    run: Path, state: TrainState, config: RunConfig, world: World, reporter: Reporter
) -> None:
    """Restore the newest checkpoint; without one training begins."""
    path = world.on_first_rank(lambda: _checkpoint_of(run))
    if path is None:
        reporter.say(f"{run} has no checkpoint yet: training begins at step 0")
        return
    if not load_checkpoint(path, state, config=config):
        reporter.warn(f"the shards have changed since {path} was written; training goes on")
    if world.is_first:
        drop_later_checkpoints(run, path)
    reporter.say(f"going on from {path} (step {state.counters.step})")


def _checkpoint_of(run: Path) -> Path | None:
    path = latest_checkpoint(run)
    if path is None and is_finished(run):
        raise CheckpointError(
            f"{run} has finished and has no checkpoint to go on from; imported weights have none",
            hint=f"train a new run that begins with it: omnimouse train SHARDS --adapt-from {run}",
        )
    return path


def _loader(config: RunConfig, dataset: Dataset, state: TrainState, world: World) -> Loader:
    return Loader(
        dataset,
        config.data,
        seed=config.seed,
        rank=world.rank,
        num_ranks=world.num_ranks,
        first_batch=state.counters.step * _batches_per_step(config),
        pin_memory=world.device.type == "cuda",
    )


def _batches_per_step(config: RunConfig) -> int:
    assert config.train.batches_per_step is not None, "it is resolve_config before training begins"
    return config.train.batches_per_step


def _work(
    config: RunConfig, dataset: Dataset, state: TrainState, loader: Loader, world: World
) -> Work:
    compile_where_wanted(state.core, config, world.device)
    return Work(
        config=config,
        sessions=dataset.sessions,
        loader=loader,
        session_of=loader.session_index,
        world=world,
        forward=state.core,
        short_forward=state.core.past_transformer,
        batches_per_step=_batches_per_step(config),
    )


def _train_and_finish(state: TrainState, work: Work, plan: Plan, reporter: Reporter) -> None:
    counters, world, config = state.counters, work.world, work.config
    if plan.length.is_over(counters.step, counters.elapsed_seconds) and is_finished(plan.run):
        reporter.say(f"{plan.run} has finished already, at step {counters.step}")
        return
    if world.is_first:
        remove_summary(plan.run)
    log = MetricsLog(plan.run, step=counters.step) if world.is_first else None
    with noticed_interrupts() as interrupt:
        teller = ProgressLogger(
            log,
            reporter,
            log_every=config.train.log_every,
            epoch_of=lambda step: step * work.batches_per_step / work.loader.batches_per_epoch,
            start=counters,
            look_always=world.device.type == "cpu",
        )
        with teller.shown(counters, plan.length):
            is_over = train_until_over(state, work, plan, teller, interrupt)
        if not is_over:
            raise KeyboardInterrupt(
                f"step {counters.step} is kept in {plan.run}; go on with: "
                f"omnimouse train --resume --out {plan.run}"
            )
        validation = validate(state, config, plan.dataset, world)
        teller.tell_validation(validation, counters)
    export(plan.run, state, config=config, dataset=plan.dataset, world=world)
    if world.is_first:
        write_summary(plan.run, summary_of(state, work, plan, validation))
    world.barrier()
