"""Verification of a run: its weights and its checkpoints are compared with their checksums."""

from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.checkpoints import complete_checkpoints, find_damage, read_checkpoint_state
from omnimouse_cli.run.folder import WEIGHTS
from omnimouse_cli.run.weights import has_checksums, read_description, read_tensors


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVerification:
    """Result of a verification.

    Args:
        verified: Weights and checkpoints that match their checksums.
        without_checksums: Those that earlier versions wrote, which cannot be verified.
        errors: What is damaged.
    """

    verified: tuple[Path, ...]
    without_checksums: tuple[Path, ...]
    errors: tuple[OmniMouseError, ...]


def verify_run(run: Path, reporter: Reporter) -> RunVerification:
    """Verify the weights and all complete checkpoints of a run, also after a damaged one.

    Args:
        run: Folder of the run.
        reporter: Shows which file or folder is being read.
    """
    weights = [run / WEIGHTS] if (run / WEIGHTS).is_file() else []
    verified: dict[Path, bool] = {}
    errors = []
    for path in (*weights, *complete_checkpoints(run)):
        task = f"verifying {path.name}"
        reporter.start(task)
        try:
            verified[path] = _verify_weights(run) if path in weights else _verify_checkpoint(path)
        except OmniMouseError as error:
            errors.append(error)
        reporter.finish(task)
    return RunVerification(
        verified=tuple(path for path, is_verified in verified.items() if is_verified),
        without_checksums=tuple(path for path, is_verified in verified.items() if not is_verified),
        errors=tuple(errors),
    )


def _verify_weights(run: Path) -> bool:
    """Read all weights; return whether they have checksums."""
    read_description(run)
    read_tensors(run)
    return has_checksums(run)


def _verify_checkpoint(path: Path) -> bool:
    """Read all files of a checkpoint; return whether it has checksums."""
    state = read_checkpoint_state(path)
    damage = find_damage(path, state)
    if damage is not None:
        raise CheckpointError(
            f"the checkpoint {path} is damaged: {damage}",
            hint="`omnimouse train --resume` continues from the checkpoint before it",
        )
    return "checksums" in state
