"""Training of a model, from shards to a finished run folder."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NoReturn

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, open_dataset
from omnimouse_cli.batch.epochs import unique_tokens
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.training import WindowFlops, window_flops
from omnimouse_cli.errors import CheckpointError, ConfigError, DamagedCheckpointError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.checkpoints import (
    damaged_checkpoint,
    drop_later_checkpoints,
    latest_checkpoint,
    set_damaged_aside,
)
from omnimouse_cli.run.folder import (
    CONFIG,
    is_finished,
    lock_run,
    read_config,
    remove_summary,
    write_config,
    write_environment,
    write_summary,
)
from omnimouse_cli.run.metrics_log import MetricsLog
from omnimouse_cli.run.start import write_start_functions
from omnimouse_cli.run.weights import RunDescription
from omnimouse_cli.training.checkpoint import load_checkpoint
from omnimouse_cli.training.data_checks import ShardFiles
from omnimouse_cli.training.disk_space import check_disk_space
from omnimouse_cli.training.export import export_weights
from omnimouse_cli.training.interrupt import catch_interrupts, interruption
from omnimouse_cli.training.loop import train_until_over
from omnimouse_cli.training.memory import explain_out_of_memory
from omnimouse_cli.training.parallel.world import World, device_name
from omnimouse_cli.training.progress_log import ProgressLogger
from omnimouse_cli.training.resolve import resolve_config
from omnimouse_cli.training.schedule import build_duration, build_schedule
from omnimouse_cli.training.start.adapt import describe_adaptation, load_core, read_core
from omnimouse_cli.training.start.init_from import load_initial_weights
from omnimouse_cli.training.start.linear import start_linear_models
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import TrainingSetup
from omnimouse_cli.training.summary import build_summary, report_lookup_error
from omnimouse_cli.training.tracking import track_run
from omnimouse_cli.training.validate import validate
from omnimouse_cli.training.warm_up import compile_core


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingJob:
    """A training: what is trained, on which data, in which folder.

    Args:
        config: Configuration; values that it leaves open are resolved from data and machine.
        shards: Folder of the data set.
        run: Folder of the run; created if it does not exist.
        resume: Whether to continue from the newest checkpoint in the folder.
        init_from: Finished run whose weights are the start; None starts from random weights.
        allow_other_data: Whether the run that is the start, or adapted, may be of other data.
        command_line: Arguments of the process, for `environment.json`.
        track: Experiment trackers that the training feeds.
    """

    config: RunConfig
    shards: Path
    run: Path
    resume: bool = False
    init_from: Path | None = None
    allow_other_data: bool = False
    command_line: tuple[str, ...] = ()
    track: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preparation:
    """A training whose data and configuration fit together.

    Args:
        config: Resolved configuration.
        dataset: Sessions that are trained on.
        shard_files: Finds out whether a shard was replaced since.
        strategies: Masking strategies of which each step draws one.
        core: Run whose core is adapted; None without one.
    """

    config: RunConfig
    dataset: Dataset
    shard_files: ShardFiles
    strategies: tuple[Strategy, ...]
    core: RunDescription | None


def train(job: TrainingJob, world: World, reporter: Reporter) -> None:
    """Train until the duration is over, then write the run's weights and summary.

    Args:
        job: What is trained, and where.
        world: The ranks; every rank calls this function.
        reporter: Shows progress of the first rank.

    Raises:
        OmniMouseError: Data or configuration are invalid, or another process trains in the folder.
        KeyboardInterrupt: An interrupt was requested; the message says which step was saved.
    """
    reporter = reporter if world.is_first else Silent()
    # Data and configuration are checked before the run's folder is created.
    prepared = prepare(job, world, reporter)
    config, dataset, strategies = prepared.config, prepared.dataset, prepared.strategies
    if not world.is_single:
        world.activity.silence_seconds = config.train.silence_seconds
    with (
        _lock_on_first_rank(job.run, world, reporter),
        explain_out_of_memory(config, dataset.sessions, strategies, world),
    ):
        state = TrainState(config, dataset, world)
        _initialize(state, job, prepared, world=world, reporter=reporter)
        if world.is_first:
            if state.counters.step == 0:
                write_start_functions(job.run, state.core.state_dict())
            _describe_run(job, config, world)
        with open_loader(config, dataset, state, world, verify_at_start=True) as loader:
            setup = build_setup(
                job.run, config, prepared.shard_files, loader, strategies, world=world
            )
            _train_and_finish(state, setup, reporter, job.track)


def prepare(job: TrainingJob, world: World, reporter: Reporter) -> Preparation:
    """Open the data, resolve the configuration, and check them, before anything is written.

    Args:
        job: What is trained.
        world: The ranks; nothing is exchanged between them.
        reporter: Receives defaults that were taken.

    Raises:
        OmniMouseError: The training cannot begin.
    """
    data = job.config.data
    dataset = open_dataset(
        job.shards,
        sessions=data.sessions,
        max_sessions=data.max_sessions,
        behavior_channels=data.behavior_channels,
    )
    shard_files = ShardFiles(dataset, reporter)
    strategies = training_strategies(job.config.masking, dataset.sessions)
    core = _find_core_to_adapt(job, dataset, reporter)
    if job.resume:
        _require_present_epochs(job)
    config = resolve_config(job.config, dataset, world, reporter, init_from=job.init_from)
    dataset.require_windows(config.data)
    warn_if_not_mapped(dataset, config.data, reporter)
    return Preparation(
        config=config, dataset=dataset, shard_files=shard_files, strategies=strategies, core=core
    )


def _require_present_epochs(job: TrainingJob) -> None:
    """Refuse to go on with a run whose length is stored in epochs: every window once, before.

    Raises:
        ConfigError: The length is not stated anew.
    """
    # A training that was started again may have been killed before it wrote one.
    stored = read_config(job.run).train.epochs if (job.run / CONFIG).exists() else None
    if stored is not None and stored == job.config.train.epochs:
        raise ConfigError(
            f"{job.run} was begun by an earlier version, in which an epoch was every training "
            f"window once, for {stored:g} of these",
            hint="state its length in steps: --steps N",
        )


@contextmanager
def _lock_on_first_rank(run: Path, world: World, reporter: Reporter) -> Iterator[None]:
    """Lock the run's folder; if another process trains there, every rank raises the error."""
    with ExitStack() as stack:
        world.on_first_rank(lambda: stack.enter_context(lock_run(run, reporter)))
        yield


def _find_core_to_adapt(
    job: TrainingJob, dataset: Dataset, reporter: Reporter
) -> RunDescription | None:
    """Return the run whose core is adapted; None without one, or if a checkpoint has the core."""
    if job.resume and latest_checkpoint(job.run) is not None:
        # The run that the core was taken from may not exist any more.
        return None
    return read_core(job.config, dataset, reporter, allow_other_data=job.allow_other_data)


def _initialize(
    state: TrainState,
    job: TrainingJob,
    prepared: Preparation,
    *,
    world: World,
    reporter: Reporter,
) -> None:
    """Load the weights from which training starts: another run's, or those of a checkpoint."""
    config, dataset, core = prepared.config, prepared.dataset, prepared.core
    if core is not None:
        load_core(core, state.core, state.embeddings.owned, dataset)
        for line in describe_adaptation(core, config, dataset):
            reporter.say(line)
    if job.resume:
        _resume(job.run, state, config, world, reporter)
    if job.init_from is not None and state.counters.step == 0:
        load_initial_weights(
            job.init_from,
            state,
            config=config,
            dataset=dataset,
            world=world,
            reporter=reporter,
            allow_other_data=job.allow_other_data,
        )
    if state.counters.step == 0 and job.init_from is None:
        known = set() if core is None else {entry.session for entry in core.sessions}
        start_linear_models(
            state,
            sessions=[each.key for each in dataset.sessions if each.key not in known],
            shared=core is None,
            config=config,
            dataset=dataset,
            world=world,
            reporter=reporter,
        )
    report_lookup_error(state.core, config.model.dendrite, reporter)


def _resume(
    run: Path, state: TrainState, config: RunConfig, world: World, reporter: Reporter
) -> None:
    """Restore the newest checkpoint, if there is one."""
    path = world.on_first_rank(lambda: _find_checkpoint(run))
    if path is None:
        reporter.say(f"{run} has no checkpoint yet: training begins at step 0")
        return
    path, is_same_data = _load_newest(path, state, config, world, reporter)
    if not is_same_data:
        reporter.warn(f"the shards have changed since {path} was written; training continues")
    if world.is_first:
        drop_later_checkpoints(run, path)
    reporter.say(f"continuing from {path} (step {state.counters.step})")


def _load_newest(
    path: Path, state: TrainState, config: RunConfig, world: World, reporter: Reporter
) -> tuple[Path, bool]:
    """Load a checkpoint, or the newest one before it that is not damaged; return which.

    Returns:
        Folder of the checkpoint, and whether the data set is the one that it was trained on.
    """
    while True:
        try:
            return path, load_checkpoint(path, state, config=config, world=world)
        except DamagedCheckpointError as error:
            earlier = world.on_first_rank(partial(set_damaged_aside, path))
            if earlier is None:
                raise
            reporter.warn(
                f"{error.message}; training continues from {earlier.name}, and the damaged one "
                f"is kept as {damaged_checkpoint(path).name}"
            )
            path = earlier


def _find_checkpoint(run: Path) -> Path | None:
    path = latest_checkpoint(run)
    if path is None and is_finished(run):
        raise CheckpointError(
            f"{run} has finished and has no checkpoint to continue from; imported weights have "
            "none",
            hint=f"train a new run that starts from it: omnimouse train SHARDS --adapt-from {run}",
        )
    return path


def _describe_run(job: TrainingJob, config: RunConfig, world: World) -> None:
    write_environment(
        job.run,
        device=device_name(world.device),
        num_ranks=world.num_ranks,
        seed=config.seed,
        shards=job.shards,
        command_line=job.command_line,
    )
    # Written last: a folder with a configuration is a run that can be resumed.
    write_config(job.run, config)


def open_loader(
    config: RunConfig,
    dataset: Dataset,
    state: TrainState,
    world: World,
    *,
    verify_at_start: bool,
) -> Loader:
    """Return the loader of a rank, which goes on where the state is; arguments as of `Loader`."""
    assert config.train.batches_per_step is not None, "resolved before training"
    return Loader(
        dataset,
        config.data,
        seed=config.seed,
        rank=world.rank,
        num_ranks=world.num_ranks,
        first_batch=state.counters.step * config.train.batches_per_step,
        pin_memory=world.device.type == "cuda",
        verify_at_start=verify_at_start,
    )


def build_setup(
    run: Path,
    config: RunConfig,
    shard_files: ShardFiles,
    loader: Loader,
    strategies: tuple[Strategy, ...],
    *,
    world: World,
) -> TrainingSetup:
    """Return everything that is constant over a training; arguments as of `TrainingSetup`."""

    @cache
    def flops(session: SessionInfo, strategy: Strategy) -> WindowFlops:
        return window_flops(config, [session], [strategy])

    return TrainingSetup(
        run=run,
        config=config,
        dataset=shard_files.dataset,
        strategies=strategies,
        world=world,
        shard_files=shard_files,
        loader=loader,
        duration=build_duration(config.train),
        schedule=build_schedule(config.train),
        unique_tokens=unique_tokens(shard_files.dataset, config.data),
        window_flops=flops,
    )


def _train_and_finish(
    state: TrainState, setup: TrainingSetup, reporter: Reporter, track: Sequence[str]
) -> None:
    """Run the training loop, then validate and write weights and summary."""
    run, config, dataset, world = setup.run, setup.config, setup.dataset, setup.world
    counters = state.counters
    if setup.duration.is_over(counters.step, counters.elapsed_seconds) and is_finished(run):
        reporter.say(f"{run} has finished already, at step {counters.step}")
        return
    check_disk_space(run, state, config=config, world=world, reporter=reporter)
    if world.is_first:
        remove_summary(run)
    state.core.recomputes = config.train.activation_checkpointing
    compile_core(state, setup, reporter)
    metrics_log = MetricsLog(run, step=counters.step) if world.is_first else None
    log = ProgressLogger(metrics_log, reporter, setup, counters)
    with (
        catch_interrupts(is_single=world.is_single) as interrupt,
        track_run(metrics_log, run, config, track, reporter),
    ):
        world.activity.interrupt = interrupt
        with log.progress_bar():
            is_over = train_until_over(state, setup, log, interrupt)
        if not is_over:
            _raise_interruption(run, state, world)
        world.activity.begin("validation")
        validation = validate(state, config, dataset, world)
        if validation is None:
            _raise_interruption(run, state, world)
        log.log_validation(validation)
    export_weights(run, state, config=config, dataset=dataset, world=world)
    if world.is_first:
        write_summary(run, build_summary(state, setup, validation))
    world.barrier()


def _raise_interruption(run: Path, state: TrainState, world: World) -> NoReturn:
    raise interruption(
        world.stop_signal,
        f"step {state.counters.step} is saved in {run}; continue with: "
        f"omnimouse train --resume {run}",
    )
