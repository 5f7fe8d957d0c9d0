"""Run a training job in this process or in several: number of ranks, devices, memory."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from omnimouse_cli.api.allocation import keep_freed_memory
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

if TYPE_CHECKING:
    from omnimouse_cli.training.parallel.world import World
    from omnimouse_cli.training.prepare import TrainingJob

# Trains as one of several ranks, in a process of its own: job, device, whether to be quiet.
TrainRank = Callable[["TrainingJob", str, bool], None]


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
    from omnimouse_cli.training.parallel.meet import STORE_IS_SERVED
    from omnimouse_cli.training.parallel.world import read_launcher

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
        from omnimouse_cli.training.parallel.launch import require_gpus

        require_gpus(ranks.num_ranks)


def run_job(
    job: "TrainingJob",
    ranks: Ranks,
    progress: Reporter,
    *,
    train_rank: TrainRank,
    quiet: bool,
    restarts: int = 0,
) -> None:
    """Run a training job; returns when all ranks have finished.

    Args:
        job: Configuration, shards and run folder.
        ranks: Number of processes and device.
        progress: Reporter of this process.
        train_rank: A function of a module that each of several processes calls.
        quiet: Whether ranks print only warnings and errors.
        restarts: Number of failures without a new checkpoint after which training ends.

    Raises:
        OmniMouseError: Data or configuration cannot be used, or a rank failed.
        KeyboardInterrupt: Interrupted; the message says what was kept.
    """
    from omnimouse_cli.training.parallel.launch import launch
    from omnimouse_cli.training.parallel.world import join_world

    progress.say(f"training in {job.run}")
    if ranks.num_ranks == 1 and not restarts:
        with join_world(ranks.device) as world:
            train_here(job, world, progress)
        return

    def launch_ranks(num_ranks: int, job: "TrainingJob") -> None:
        launch(num_ranks, train_rank, job, ranks.device, quiet)

    if not restarts:
        launch_ranks(ranks.num_ranks, job)
        return
    from omnimouse_cli.training.parallel.restart import launch_with_restarts

    launch_with_restarts(
        launch_ranks,
        job,
        ranks.num_ranks,
        restarts=restarts,
        on_gpus=ranks.device == "cuda",
        reporter=progress,
    )


def train_plain_rank(job: "TrainingJob", device: str, quiet: bool) -> None:  # noqa: FBT001
    """Train as one of several ranks; the first one writes lines on stderr unless it is quiet."""
    from omnimouse_cli.training.parallel.world import join_world

    with join_world(device) as world:
        train_here(job, world, choose_reporter(world.is_first and not quiet))


def train_here(job: "TrainingJob", world: "World", progress: Reporter) -> None:
    """Train in this process, on a CPU with the allocator set for it.

    Raises:
        OmniMouseError: As `train`, or a file or folder could not be read or written.
    """
    from omnimouse_cli.training.run import train

    if world.device.type == "cpu":
        keep_freed_memory()
    # Here and not at the end of the program: a launcher takes any other error of a rank for a bug.
    with explain_file_errors():
        train(job, world, progress)
