"""`omnimouse inspect RUN --verify`: whether weights and checkpoints match their checksums."""

from pathlib import Path

from omnimouse_cli.cli.console import print_document, print_line
from omnimouse_cli.errors import CheckpointError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize


def inspect_run(run: Path, *, json_output: bool, progress: Reporter) -> None:
    """Verify a run and print how much of it matches.

    Raises:
        CheckpointError: Weights or a checkpoint are damaged.
    """
    from omnimouse_cli.run.verify import verify_run

    result = verify_run(run, progress)
    if result.errors:
        lines = "; ".join(error.message for error in result.errors)
        raise CheckpointError(lines, hint=result.errors[0].hint)
    for path in result.without_checksums:
        progress.warn(f"{path} has no checksums: an earlier version of omnimouse wrote it")
    names = [str(path.relative_to(run)) for path in result.verified]
    if json_output:
        without = [str(path.relative_to(run)) for path in result.without_checksums]
        print_document("inspect", {"verified": {"run": names, "without_checksums": without}})
    else:
        count = pluralize(sum(name.startswith("checkpoints") for name in names), "checkpoint")
        weights = "model.safetensors and " if "model.safetensors" in names else ""
        print_line(f"every byte of {weights}{count} of {run} matches its checksum")
