"""`omnimouse inspect` on runs: their state, and whether weights and checkpoints are undamaged."""

from collections.abc import Sequence
from pathlib import Path

from omnimouse_cli.cli.console import print_document, print_line, print_table
from omnimouse_cli.cli.inspect_raw import is_raw
from omnimouse_cli.cli.runs import describe_runs, raise_damage, runs_table
from omnimouse_cli.errors import OmniMouseError, RecordingError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import CONFIG, find_runs, is_run
from omnimouse_cli.text import pluralize


def find_only_runs(path: Path) -> list[Path]:
    """Return a run, or the runs below a folder without shards and recordings; else none."""
    from omnimouse_cli.recording.find import find_recordings

    if is_run(path):
        return [path]
    # Two levels, as sweeps have: recordings may lie among thousands of folders.
    if is_raw(path) and any(any(path.glob(f"{above}/{CONFIG}")) for above in ("*", "*/*")):
        try:
            find_recordings([path])
        except RecordingError:
            return find_runs(path)
    return []


def inspect_runs(
    folder: Path, runs: Sequence[Path], *, verify: bool, json_output: bool, progress: Reporter
) -> None:
    """Show the state of runs; nothing is written.

    Args:
        folder: The run, or the folder of the runs.
        runs: The runs.
        verify: Whether every byte of weights and checkpoints is compared with its checksum.
        json_output: Whether one JSON document is printed instead of a table.
        progress: Receives messages.

    Raises:
        CheckpointError: Files of a run are damaged (the others are shown).
    """
    errors: list[OmniMouseError] = []
    records = describe_runs(folder, runs, errors, progress)
    if verify:
        for run, record in zip(runs, records, strict=True):
            record["verified"] = _verify(run, errors, progress)
    if json_output:
        # A run alone has what was verified at the top, too.
        own = {"verified": records[0]["verified"]} if verify and runs[0] == folder else {}
        print_document("inspect", {"runs": records, **own})
    else:
        print_table(runs_table(str(folder), records))
    raise_damage(errors)
    if verify and not json_output:
        files = [file for record in records for file in record["verified"]["run"]]
        num_checkpoints = sum(file.startswith("checkpoints") for file in files)
        weights = pluralize(len(files) - num_checkpoints, "file")
        print_line(
            f"every byte of {weights} of weights and of {pluralize(num_checkpoints, 'checkpoint')} "
            "matches its checksum"
        )


def _verify(run: Path, errors: list[OmniMouseError], progress: Reporter) -> dict[str, list[str]]:
    """Verify a run; append what is damaged to `errors` and return what is not, by its path."""
    from omnimouse_cli.run.verify import verify_run

    result = verify_run(run, progress)
    errors += result.errors
    for path in result.without_checksums:
        progress.warn(f"{path} has no checksums: an earlier version of omnimouse wrote it")
    return {
        "run": [str(path.relative_to(run)) for path in result.verified],
        "without_checksums": [str(path.relative_to(run)) for path in result.without_checksums],
    }
