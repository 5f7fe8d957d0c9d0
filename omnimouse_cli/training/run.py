"""Training of a model, from shards to a finished run folder."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NoReturn

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import DamagedCheckpointError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.checkpoints import (
    damaged_checkpoint,
    drop_later_checkpoints,
    set_damaged_aside,
)
from omnimouse_cli.run.folder import (
    is_finished,
    lock_run,
    remove_summary,
    write_config,
    write_environment,
    write_summary,
)
from omnimouse_cli.run.metrics_log import MetricsLog
from omnimouse_cli.run.start import write_start_functions
from omnimouse_cli.training.checkpoint import load_checkpoint
from omnimouse_cli.training.disk_space import check_disk_space
from omnimouse_cli.training.export import export_weights
from omnimouse_cli.training.interrupt import catch_interrupts, interruption
from omnimouse_cli.training.loop import train_until_over
from omnimouse_cli.training.memory import explain_out_of_memory
from omnimouse_cli.training.parallel.world import World, device_name
from omnimouse_cli.training.prepare import (
    Preparation,
    TrainingJob,
    build_setup,
    find_checkpoint,
    open_loader,
    prepare,
)
from omnimouse_cli.training.progress_log import ProgressLogger
from omnimouse_cli.training.start.adapt import describe_adaptation, load_core
from omnimouse_cli.training.start.init_from import load_initial_weights
from omnimouse_cli.training.start.linear import start_linear_models
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import TrainingSetup
from omnimouse_cli.training.summary import build_summary, report_lookup_error
from omnimouse_cli.training.tracking import track_run
from omnimouse_cli.training.validate import validate
from omnimouse_cli.training.warm_up import compile_core


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


@contextmanager
def _lock_on_first_rank(run: Path, world: World, reporter: Reporter) -> Iterator[None]:
    """Lock the run's folder; if another process trains there, every rank raises the error."""
    with ExitStack() as stack:
        world.on_first_rank(lambda: stack.enter_context(lock_run(run, reporter)))
        yield


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
    path = world.on_first_rank(lambda: find_checkpoint(run))
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
