"""Where `omnimouse train` computes: in this process, in its own ranks, or as one of torchrun's."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.cli.allocation import keep_freed_memory
from omnimouse_cli.cli.console import reporter
from omnimouse_cli.cli.train_order import Wish, order_of
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.train.parallel.world import World
    from omnimouse_cli.train.run import TrainingJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """How many processes train, and on what.

    Args:
        num_ranks: Processes.
        device: `cpu`, `cuda` or `auto`.
        is_launched: Whether torchrun or Slurm has started them, this one among them.
    """

    num_ranks: int
    device: str
    is_launched: bool


def ranks_of(*, gpus: int | None, procs: int | None, device: str) -> Ranks:
    """Decide what `--gpus`, `--procs` and `--device` mean together.

    Raises:
        OmniMouseError: They contradict each other.
    """
    from omnimouse_cli.train.parallel.world import read_launcher

    if gpus is not None and procs is not None:
        raise OmniMouseError("--gpus and --procs cannot be given together", hint="choose one")
    if (gpus is not None and device == "cpu") or (procs is not None and device == "cuda"):
        raise OmniMouseError(
            f"--device {device} contradicts {'--gpus' if gpus else '--procs'}",
            hint="leave --device out",
        )
    if gpus is not None:
        device = "cuda"
    elif procs is not None:
        device = "cpu"
    launched = read_launcher(os.environ).num_ranks
    return Ranks(
        num_ranks=launched if launched > 1 else gpus or procs or 1,
        device=device,
        is_launched=launched > 1,
    )


def require_devices(ranks: Ranks) -> None:
    """Refuse more GPUs than there are, before anything else is done.

    Raises:
        OmniMouseError: This machine has fewer.
    """
    if ranks.device == "cuda":
        from omnimouse_cli.train.parallel.launch import require_gpus

        require_gpus(ranks.num_ranks)


def train_on(order: "TrainingJob", ranks: Ranks, progress: Reporter, *, quiet: bool) -> None:
    """Train as ordered, and return when all ranks have finished.

    Args:
        order: What and where.
        ranks: How many processes, on what.
        progress: Of this process.
        quiet: Whether ranks say only warnings.

    Raises:
        OmniMouseError: What the training raises.
        KeyboardInterrupt: Somebody asked to stop; the message says what was kept.
    """
    from omnimouse_cli.train.parallel.launch import launch
    from omnimouse_cli.train.parallel.world import join_world

    progress.say(f"training in {order.run}")
    if ranks.num_ranks > 1:
        launch(ranks.num_ranks, train_rank, order, ranks.device, quiet)
        return
    with join_world(ranks.device) as world:
        _train(order, world, progress)


def train_rank(order: "TrainingJob", device: str, quiet: bool) -> None:  # noqa: FBT001 - by position
    """Be one of the ranks that `train_on` starts."""
    from omnimouse_cli.train.parallel.world import join_world

    with join_world(device) as world, reporter(quiet=quiet or not world.is_first) as progress:
        _train(order, world, progress)


def _train(job: "TrainingJob", world: "World", progress: Reporter) -> None:
    """Train in this process, on a CPU with the allocator set for it."""
    from omnimouse_cli.train.run import train

    if world.device.type == "cpu":
        keep_freed_memory()
    train(job, world, progress)


def train_where_launched(wish: Wish, ranks: Ranks, *, quiet: bool) -> Path | None:
    """Train as one of the ranks that torchrun or Slurm has started.

    Returns:
        The run on the first rank, which tells the result; None on the others.
    """
    from omnimouse_cli.train.parallel.world import join_world

    with join_world(ranks.device) as world, reporter(quiet=quiet or not world.is_first) as told:
        # Names of new runs hold the time: one rank decides.
        order = world.on_first_rank(lambda: order_of(wish, told))
        told.say(f"training in {order.run}")
        try:
            _train(order, world, told)
        except KeyboardInterrupt:
            if world.is_first:
                raise
            sys.exit(130)
        return order.run if world.is_first else None
