"""`omnimouse inspect` on runs: their state, and whether weights and checkpoints are undamaged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omnimouse_cli.cli.console import print_document, print_line, print_table
from omnimouse_cli.cli.inspect_raw import is_raw
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.errors import CheckpointError, OmniMouseError, RecordingError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import (
    CONFIG,
    EVALUATIONS,
    find_runs,
    is_finished,
    is_run,
    read_config,
    read_summary,
)
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
    records = []
    for run in runs:
        record: dict[str, Any] = {
            "run": run.name if run == folder else str(run.relative_to(folder))
        }
        try:
            record |= _describe(run)
        except OmniMouseError as error:
            record |= {"state": "damaged"}
            errors.append(error)
        if verify:
            record["verified"] = _verify(run, errors, progress)
        records.append(record)
    if json_output:
        # A run alone has what was verified at the top, too.
        own = {"verified": records[0]["verified"]} if verify and runs[0] == folder else {}
        print_document("inspect", {"runs": records, **own})
    else:
        print_table(_table(folder, records))
    if errors:
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        raise CheckpointError(
            "; ".join(error.message for error in errors), hint=next(iter(hints), None)
        )
    if verify and not json_output:
        files = [file for record in records for file in record["verified"]["run"]]
        num_checkpoints = sum(file.startswith("checkpoints") for file in files)
        weights = pluralize(len(files) - num_checkpoints, "file")
        print_line(
            f"every byte of {weights} of weights and of {pluralize(num_checkpoints, 'checkpoint')} "
            "matches its checksum"
        )


def _describe(run: Path) -> dict[str, Any]:
    """Return what the files of a run say of it.

    Raises:
        OmniMouseError: A file is damaged.
    """
    from omnimouse_cli.run.checkpoints import complete_checkpoints

    config = read_config(run)
    summary = read_summary(run) if is_finished(run) else {}
    checkpoints = complete_checkpoints(run)
    step = int(checkpoints[-1].name.removeprefix("step-")) if checkpoints else None
    return {
        "state": "finished" if summary else "unfinished",
        "model": config.model.size,
        "seed": config.seed,
        "sessions": summary.get("sessions"),
        "step": summary.get("steps", step),
        "neural_loss": summary.get("validation", {}).get("neural_loss"),
        "checkpoints": len(checkpoints),
        "evaluations": sorted(path.parent.name for path in run.glob(f"{EVALUATIONS}/*/eval.json")),
    }


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


def _table(folder: Path, records: Sequence[dict[str, Any]]) -> ResultTable:
    table = ResultTable(
        f"{folder}: {pluralize(len(records), 'run')}",
        *name_columns("run", "model", "state"),
        *number_columns("step", "checkpoints", "validation loss"),
        *text_columns("evaluations"),
        omit=("checkpoints", "evaluations"),
    )
    for record in records:
        if record["state"] == "damaged":
            table.add_row(record["run"], "-", record["state"])
            continue
        loss = record["neural_loss"]
        table.add_row(
            record["run"],
            record["model"],
            record["state"],
            "-" if record["step"] is None else f"{record['step']:,}",
            str(record["checkpoints"]),
            "-" if loss is None else f"{loss:.4f}",
            ", ".join(record["evaluations"]) or "-",
        )
    return table
