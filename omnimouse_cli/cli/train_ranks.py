"""Training from the command line: in ranks started here, or as a rank of torchrun or Slurm."""

import os
import sys
import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omnimouse_cli.api import train_ranks
from omnimouse_cli.api.train_job import TrainOptions, claim_run, resolve_job
from omnimouse_cli.api.train_ranks import Ranks, train_here
from omnimouse_cli.cli.console import print_error, report_interruption, reporter
from omnimouse_cli.cli.started_again import continue_own_run, remember_run
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.training.interrupt import exit_code

if TYPE_CHECKING:
    from omnimouse_cli.training.parallel.world import World
    from omnimouse_cli.training.prepare import TrainingJob


def run_job(
    job: "TrainingJob", ranks: Ranks, progress: Reporter, *, quiet: bool, restarts: int = 0
) -> None:
    """Run a training job, as `api.train_ranks.run_job`; each rank reports as a command does."""
    train_ranks.run_job(job, ranks, progress, train_rank=train_rank, quiet=quiet, restarts=restarts)


def train_rank(job: "TrainingJob", device: str, quiet: bool) -> None:  # noqa: FBT001 - by position
    """Train as one of the ranks that `run_job` starts."""
    from omnimouse_cli.training.parallel.world import join_world

    with join_world(device) as world, reporter(quiet=quiet or not world.is_first) as progress:
        train_here(job, world, progress)


def train_as_launched_rank(options: TrainOptions, ranks: Ranks, *, quiet: bool) -> Path | None:
    """Train as one of the ranks that torchrun or Slurm has started.

    Returns:
        The run folder on the first rank, which prints the result; None on the others.
    """
    from omnimouse_cli.training.parallel.world import join_world

    rank = None
    try:
        with (
            join_world(ranks.device) as world,
            reporter(quiet=quiet or not world.is_first) as report,
            ExitStack() as stack,
        ):
            rank = world.rank
            # The name of a new run holds the time, so one rank chooses it for all.
            job = world.on_first_rank(lambda: _start_run(options, world, report, stack))
            report.say(f"training in {job.run}")
            train_here(job, world, report)
            return job.run if world.is_first else None
    except BaseException as error:
        if ranks.num_ranks == 1 or rank is None:
            raise
        _end_launched_rank(error, rank)


def _start_run(
    options: TrainOptions, world: "World", progress: Reporter, stack: ExitStack
) -> "TrainingJob":
    """Return the job of this start, which may continue that of the start before."""
    own = continue_own_run(options, world.store, progress)
    job = stack.enter_context(claim_run(resolve_job(own, progress), own))
    remember_run(world.store, job.run)
    return job


def _end_launched_rank(error: BaseException, rank: int) -> NoReturn:
    """Report why a rank ends, once for all ranks, and end this process."""
    from omnimouse_cli.training.parallel.heartbeat import wait_for_torchrun
    from omnimouse_cli.training.parallel.verdict import is_reporter

    code = 1
    if isinstance(error, KeyboardInterrupt):
        code = report_interruption(error) if is_reporter(error, rank) else exit_code(error)
    elif not isinstance(error, OmniMouseError):
        traceback.print_exception(error)
    elif is_reporter(error, rank):
        print_error(error)
    sys.stdout.flush()
    sys.stderr.flush()
    wait_for_torchrun(error)
    # A process group whose other ranks are gone may never let the interpreter end.
    os._exit(code)
