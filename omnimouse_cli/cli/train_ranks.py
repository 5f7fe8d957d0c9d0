"""Run a training job in this process, in ranks started here, or as a rank of torchrun or Slurm."""

import os
import sys
import traceback
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from omnimouse_cli.cli.allocation import keep_freed_memory
from omnimouse_cli.cli.console import print_error, report_interruption, reporter
from omnimouse_cli.cli.started_again import continue_own_run, remember_run
from omnimouse_cli.cli.train_job import TrainOptions, claim_run, resolve_job
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize
from omnimouse_cli.train.interrupt import exit_code

if TYPE_CHECKING:
    from omnimouse_cli.train.parallel.world import World
    from omnimouse_cli.train.run import TrainingJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """Number of training processes and their device.

    Args:
        num_ranks: World size.
        device: `cpu`, `cuda` or `auto`.
        is_launched: Whether this process is one of several started by torchrun or Slurm.
    """

    num_ranks: int
    device: str
    is_launched: bool


def resolve_ranks(*, gpus: int | None, procs: int | None, device: str, restarts: int = 0) -> Ranks:
    """Return the ranks that `--gpus`, `--procs` and `--device` ask for together.

    Args:
        gpus: Number of GPUs.
        procs: Number of processes on the CPU.
        device: `cpu`, `cuda` or `auto`.
        restarts: Failures without a new checkpoint after which training ends.

    Raises:
        OmniMouseError: They contradict each other.
    """
    from omnimouse_cli.train.parallel.meet import STORE_IS_SERVED
    from omnimouse_cli.train.parallel.world import read_launcher

    if gpus is not None and procs is not None:
        raise OmniMouseError("--gpus and --procs cannot be given together", hint="choose one")
    if (gpus is not None and device == "cpu") or (procs is not None and device == "cuda"):
        raise OmniMouseError(
            f"--device {device} contradicts {'--gpus' if gpus else '--procs'}",
            hint="omit --device",
        )
    if gpus is not None:
        device = "cuda"
    elif procs is not None:
        device = "cpu"
    launched = read_launcher(os.environ).num_ranks
    is_launched = launched > 1 or STORE_IS_SERVED in os.environ
    if restarts and is_launched:
        raise OmniMouseError(
            "--restarts cannot be given under torchrun or srun, which start ranks again themselves",
            hint="use torchrun --max-restarts N, or sbatch --requeue",
        )
    if is_launched and (gpus is not None or procs is not None):
        raise OmniMouseError(
            f"{'--gpus' if gpus else '--procs'} cannot be given under torchrun or srun, which "
            f"have started {pluralize(launched, 'rank')} already",
            hint="omit it: each rank uses a GPU where there is one, else the CPU (--device cpu)",
        )
    return Ranks(
        num_ranks=launched if is_launched else gpus or procs or 1,
        device=device,
        is_launched=is_launched,
    )


def require_devices(ranks: Ranks) -> None:
    """Check that this machine has enough GPUs, before any work is done.

    Raises:
        OmniMouseError: It has fewer.
    """
    if ranks.device == "cuda":
        from omnimouse_cli.train.parallel.launch import require_gpus

        require_gpus(ranks.num_ranks)


def run_job(
    job: "TrainingJob", ranks: Ranks, progress: Reporter, *, quiet: bool, restarts: int = 0
) -> None:
    """Run a training job; returns when all ranks have finished.

    Args:
        job: Configuration, shards and run folder.
        ranks: Number of processes and device.
        progress: Reporter of this process.
        quiet: Whether ranks print only warnings and errors.
        restarts: Number of failures without a new checkpoint after which training ends.

    Raises:
        OmniMouseError: Data or configuration cannot be used, or a rank failed.
        KeyboardInterrupt: Interrupted; the message says what was kept.
    """
    from omnimouse_cli.train.parallel.launch import launch
    from omnimouse_cli.train.parallel.world import join_world

    progress.say(f"training in {job.run}")
    if ranks.num_ranks == 1 and not restarts:
        with join_world(ranks.device) as world:
            _train(job, world, progress)
        return

    def launch_ranks(num_ranks: int, job: "TrainingJob") -> None:
        launch(num_ranks, train_rank, job, ranks.device, quiet)

    if not restarts:
        launch_ranks(ranks.num_ranks, job)
        return
    from omnimouse_cli.train.parallel.restart import launch_with_restarts

    launch_with_restarts(
        launch_ranks,
        job,
        ranks.num_ranks,
        restarts=restarts,
        on_gpus=ranks.device == "cuda",
        reporter=progress,
    )


def train_rank(job: "TrainingJob", device: str, quiet: bool) -> None:  # noqa: FBT001 - by position
    """Train as one of the ranks that `run_job` starts."""
    from omnimouse_cli.train.parallel.world import join_world

    with join_world(device) as world, reporter(quiet=quiet or not world.is_first) as progress:
        _train(job, world, progress)


def _train(job: "TrainingJob", world: "World", progress: Reporter) -> None:
    """Train in this process, on a CPU with the allocator set for it.

    Raises:
        OmniMouseError: As `train`, or a file or folder could not be read or written.
    """
    from omnimouse_cli.train.run import train

    if world.device.type == "cpu":
        keep_freed_memory()
    # Here and not at the end of the program: a launcher takes any other error of a rank for a bug.
    with explain_file_errors():
        train(job, world, progress)


def train_as_launched_rank(options: TrainOptions, ranks: Ranks, *, quiet: bool) -> Path | None:
    """Train as one of the ranks that torchrun or Slurm has started.

    Returns:
        The run folder on the first rank, which prints the result; None on the others.
    """
    from omnimouse_cli.train.parallel.world import join_world

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
            _train(job, world, report)
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
    from omnimouse_cli.train.parallel.heartbeat import wait_for_torchrun
    from omnimouse_cli.train.parallel.verdict import is_reporter

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
