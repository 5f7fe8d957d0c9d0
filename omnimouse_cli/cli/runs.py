"""`omnimouse runs`: the runs of a folder, and the tags and notes that the user gives them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from omnimouse_cli.api.arguments import as_words
from omnimouse_cli.api.folders import folder
from omnimouse_cli.cli.console import print_document, print_line, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.errors import CheckpointError, OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import find_runs, is_run
from omnimouse_cli.text import format_bytes, pluralize, suggest_name


def command_runs(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FOLDER...", help="Folders of runs, or runs; by default all of runs/."
        ),
    ] = None,
    *,
    tag: Annotated[
        str | None,
        typer.Option("--tag", help="Give the named runs these tags, separated by commas."),
    ] = None,
    untag: Annotated[
        str | None,
        typer.Option("--untag", help="Take these tags from the named runs."),
    ] = None,
    note: Annotated[
        str | None,
        typer.Option("--note", help="Give the named runs this note; an empty one removes it."),
    ] = None,
    tagged: Annotated[
        str | None,
        typer.Option("--tagged", help="List only runs that have all of these tags."),
    ] = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List runs: model, step, sessions, validation, last evaluation, size, tags and note.

    Example: omnimouse runs runs/demo --tag baseline --note "before the new masking"
    """
    from omnimouse_cli.run.labels import change_labels

    named = runs or []
    with reporter(quiet=quiet) as progress:
        if not (tag is None and untag is None and note is None):
            _require_runs(named)
            for run in named:
                change_labels(run, add=as_words(tag or ""), remove=as_words(untag or ""), note=note)
        found = find_named_runs(named, progress)
        root = named[0] if len(named) == 1 else folder("runs") if not named else Path()
        errors: list[OmniMouseError] = []
        records = describe_runs(root, found, errors, progress)
        if tagged is not None:
            records = _select(records, as_words(tagged))
    if json_output:
        print_document("runs", {"runs": records})
    else:
        print_table(runs_table(str(root) if root != Path() else "named", records))
        for record in records:
            if record.get("note"):
                print_line(f"note of {record['run']}: {record['note']}")
    raise_damage(errors)
    evaluated = [record["path"] for record in records if record.get("evaluations")]
    if len(evaluated) > 1:
        print_next("compare", *evaluated[-2:], quiet=quiet, json_output=json_output)


def find_named_runs(paths: Sequence[Path], progress: Reporter) -> list[Path]:
    """Return runs, and the runs below folders; by default those of runs/, which is reported.

    Args:
        paths: Runs or folders of runs.
        progress: Is told which folder was taken by default.

    Raises:
        OmniMouseError: A path does not exist, or holds no run.
    """
    if not paths:
        progress.say(f"taking {folder('runs')}/ (default)")
    found: dict[Path, None] = {}
    for path in paths or [folder("runs")]:
        runs = find_runs(path)
        if not runs:
            what = "holds no run" if path.is_dir() else "is not a folder of runs"
            raise OmniMouseError(
                f"{path} {what}" if path.exists() else f"{path} does not exist",
                hint="train one: omnimouse train; omnimouse runs lists those of runs/",
            )
        found.update(dict.fromkeys(runs))
    return list(found)


def describe_runs(
    root: Path, runs: Sequence[Path], errors: list[OmniMouseError], progress: Reporter
) -> list[dict[str, Any]]:
    """Return a record of each run, as `runs --json` and `inspect RUNS --json` have them.

    Args:
        root: Folder below which runs are named.
        runs: The runs.
        errors: Damages that make a run unusable are added; its record says `damaged`.
        progress: Is warned of other files that cannot be read.
    """
    from omnimouse_cli.report.run_list import describe_run

    records = []
    for run in runs:
        name = run.name if run == root else str(run)
        if run != root and run.is_relative_to(root):
            name = str(run.relative_to(root))
        try:
            entry = describe_run(run, name)
        except OmniMouseError as error:
            records.append({"run": name, "path": run, "state": "damaged", "finished": False})
            errors.append(error)
            continue
        records.append(entry.to_dict())
        for problem in entry.problems:
            progress.warn(problem)
    return records


def raise_damage(errors: Sequence[OmniMouseError]) -> None:
    """Raise one error for all damages, if there are any.

    Raises:
        CheckpointError: There are.
    """
    if errors:
        hints = dict.fromkeys(error.hint for error in errors if error.hint)
        raise CheckpointError(
            "; ".join(error.message for error in errors), hint=next(iter(hints), None)
        )


def runs_table(title: str, records: Sequence[dict[str, Any]]) -> ResultTable:
    """Return the table of runs.

    Args:
        title: The folder that is listed.
        records: From `describe_runs`.
    """
    table = ResultTable(
        f"{title}: {pluralize(len(records), 'run')}",
        *name_columns("run", "model", "state"),
        *number_columns("step", "sessions", "validation loss"),
        *text_columns("last evaluation"),
        *number_columns("size"),
        *text_columns("tags"),
        omit=("sessions", "size", "step", "last evaluation", "tags"),
    )
    for record in records:
        if record["state"] == "damaged":
            table.add_row(record["run"], "-", record["state"])
            continue
        loss = record["validation"]
        table.add_row(
            record["run"],
            record["model"],
            record["state"],
            "-" if record["step"] is None else f"{record['step']:,}",
            "-" if record["sessions"] is None else f"{record['sessions']:,}",
            "-" if loss is None else f"{loss:.4f}",
            _last_evaluation(record),
            format_bytes(record["bytes"]),
            ", ".join(record["tags"]),
        )
    return table


def _last_evaluation(record: dict[str, Any]) -> str:
    """Return an evaluation with a score; the same strategy for all runs that have it."""
    if record["shown"] is not None:
        evaluation, strategy, value = record["shown"]
        return f"{evaluation}: {strategy} {value:.3f}"
    return record["evaluations"][-1] if record["evaluations"] else "-"


def _require_runs(paths: Sequence[Path]) -> None:
    others = [path for path in paths if not is_run(path)]
    if not paths or others:
        raise OmniMouseError(
            f"{others[0]} is not a run" if others else "--tag, --untag and --note need a run",
            hint="name runs: omnimouse runs RUN --tag NAME --note TEXT; --tagged NAME lists runs "
            "with a tag",
        )


def _select(records: Sequence[dict[str, Any]], tags: Sequence[str]) -> list[dict[str, Any]]:
    """Return the records that have all tags.

    Raises:
        OmniMouseError: No run has one of the tags.
    """
    known = {tag for record in records for tag in record.get("tags", ())}
    for tag in tags:
        if tag not in known:
            raise OmniMouseError(f"no run has the tag {tag!r}", hint=suggest_name(tag, known))
    return [record for record in records if set(tags) <= set(record.get("tags", ()))]
