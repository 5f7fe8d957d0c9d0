"""Whether the disk of a run has room for the checkpoints and weights that it will write."""

import shutil
from pathlib import Path

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.checkpoints import complete_checkpoints
from omnimouse_cli.text import format_bytes, pluralize
from omnimouse_cli.training.checkpoint_writer import own_part
from omnimouse_cli.training.parallel.world import World
from omnimouse_cli.training.state import TrainState

# Overhead of each tensor in a checkpoint: torch.save writes it as a zip archive.
_BYTES_PER_TENSOR = 2048


def check_disk_space(
    run: Path, state: TrainState, *, config: RunConfig, world: World, reporter: Reporter
) -> None:
    """Warn if the disk is too small for all checkpoints that are kept; every rank calls this.

    Args:
        run: Folder of the run; checkpoints in it are replaced by new ones.
        state: State of the training.
        config: Resolved configuration; `train.keep_checkpoints` is used.
        world: The ranks.
        reporter: Shows the warning.

    Raises:
        OmniMouseError: Not even one checkpoint fits.
    """
    part = own_part(state.tensors(), world)
    own_bytes = sum(value.nbytes + _BYTES_PER_TENSOR for value in part.values())
    own_weights = sum(
        value.nbytes for name, value in part.items() if name.startswith(("core.", "tables."))
    )
    sizes = world.all_gather((own_bytes, own_weights))
    checkpoint_bytes, weight_bytes = (sum(column) for column in zip(*sizes, strict=True))
    world.on_first_rank(
        lambda: _compare_with_disk(
            run, checkpoint_bytes, weight_bytes, config.train.keep_checkpoints, reporter
        )
    )


def existing_parent(run: Path) -> Path:
    """Return a path, or the nearest one above it that exists."""
    return next(path for path in (run, *run.absolute().parents) if path.exists())


def _compare_with_disk(
    run: Path, checkpoint_bytes: int, weight_bytes: int, num_kept: int, reporter: Reporter
) -> None:
    free_bytes = shutil.disk_usage(existing_parent(run)).free
    if free_bytes < checkpoint_bytes:
        raise OmniMouseError(
            f"the disk of {run} has {format_bytes(free_bytes)} free, and a checkpoint takes "
            f"{format_bytes(checkpoint_bytes)}",
            hint="free some space, or train on another disk with --out",
        )
    # The next checkpoint is complete before the oldest one is removed.
    num_missing = max(num_kept - len(complete_checkpoints(run)), 0) + 1
    needed_bytes = num_missing * checkpoint_bytes + weight_bytes
    if free_bytes < needed_bytes:
        reporter.warn(
            f"the disk of {run} has {format_bytes(free_bytes)} free, and the run will need "
            f"{format_bytes(needed_bytes)}: {pluralize(num_missing, 'checkpoint')} of "
            f"{format_bytes(checkpoint_bytes)} (train.keep_checkpoints={num_kept}, and one that is "
            "being written), and the weights"
        )
