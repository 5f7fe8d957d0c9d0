"""What precedes a training: its job, the checks of data and configuration, loader and settings."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from omnimouse_cli.batch.dataset import Dataset, SessionInfo, open_dataset
from omnimouse_cli.batch.epochs import unique_tokens
from omnimouse_cli.batch.loader import Loader
from omnimouse_cli.batch.masking import training_strategies
from omnimouse_cli.batch.reader import warn_if_not_mapped
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.cost.training import WindowFlops, window_flops
from omnimouse_cli.errors import CheckpointError, ConfigError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.checkpoints import latest_checkpoint
from omnimouse_cli.run.folder import CONFIG, is_finished, read_config
from omnimouse_cli.run.weights import RunDescription
from omnimouse_cli.training.data_checks import ShardFiles
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.resolve import resolve_config
from omnimouse_cli.training.schedule import build_duration, build_schedule
from omnimouse_cli.training.start.adapt import read_core
from omnimouse_cli.training.state import TrainState
from omnimouse_cli.training.step import TrainingSetup


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


def _find_core_to_adapt(
    job: TrainingJob, dataset: Dataset, reporter: Reporter
) -> RunDescription | None:
    """Return the run whose core is adapted; None without one, or if a checkpoint has the core."""
    if job.resume and latest_checkpoint(job.run) is not None:
        # The run that the core was taken from may not exist any more.
        return None
    return read_core(job.config, dataset, reporter, allow_other_data=job.allow_other_data)


def find_checkpoint(run: Path) -> Path | None:
    """Return the checkpoint that a run goes on from; None if it has none yet.

    Raises:
        CheckpointError: The run has finished without one.
    """
    path = latest_checkpoint(run)
    if path is None and is_finished(run):
        raise CheckpointError(
            f"{run} has finished and has no checkpoint to continue from; imported weights have "
            "none",
            hint=f"train a new run that starts from it: omnimouse train SHARDS --adapt-from {run}",
        )
    return path


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
