"""`omnimouse scaling-report`: scaling laws of finished runs or a CSV file, a verdict, a page."""

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnimouse_cli.api.scaling_report import DEFAULT_FOLDER, scaling_report
from omnimouse_cli.cli.console import print_document, print_line, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption, SeedOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.text import format_count, format_number, pluralize

if TYPE_CHECKING:
    from omnimouse_cli.report.analysis import ScalingReport
    from omnimouse_cli.report.law import JointLaw

MAX_SHOWN_ROWS = 60


def command_scaling_report(
    *,
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders, or folders of them; by default all of runs/."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", help="A CSV file instead of runs.")
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            "--columns", help="Its names: parameters=COLUMN,tokens=COLUMN,loss=COLUMN,..."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", help="Which rows: column==value or column!=value; repeatable."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for report.html and report.json.")
    ] = DEFAULT_FOLDER,
    count: Annotated[
        str, typer.Option("--parameters", help="What counts in runs: core (shared) or total.")
    ] = "core",
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=10, help="Resamples of whole runs.")
    ] = 1000,
    seed: SeedOption = 0,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Fit scaling laws to finished runs: intervals, alternatives, a verdict, one page.

    Loss as a function of parameters and unique tokens; where the verdict is undetermined, the runs
    that would decide. Example: omnimouse scaling-report --table runs.csv --columns loss=c4_loss
    """
    _check_usage(runs, table, columns, count)
    with reporter(quiet=quiet) as talk:
        report = scaling_report(
            runs,
            table=table,
            columns=columns,
            where=where or (),
            out=out,
            parameters="total" if count == "total" else "core",
            bootstrap=bootstrap,
            seed=seed,
            progress=talk,
        )
        for warning in report.warnings:
            talk.warn(warning)
    if json_output:
        from omnimouse_cli.report.analysis import build_document

        print_document("scaling-report", build_document(report))
    else:
        _print(report)


def _check_usage(
    runs: list[Path] | None,
    table: Path | None,
    columns: str | None,
    count: str,
) -> None:
    if count not in ("core", "total"):
        raise typer.BadParameter(f"it is core or total: {count}", param_hint="--parameters")
    if table is not None and runs:
        raise typer.BadParameter("give runs or --table, not both", param_hint="--table")
    if table is None and columns:
        raise typer.BadParameter("it goes with --table", param_hint="--columns")


def _print(report: "ScalingReport") -> None:
    print_table(_build_run_table(report))
    for one in report.table.excluded:
        print_line(f"excluded: {one.run}: {one.reason}")
    if report.law is not None:
        print_table(_build_law_table(report.law))
    if report.tasks:
        print_table(_build_task_table(report))
    for fact in report.facts:
        print_line(fact)
    if any(one.aicc is not None for one in report.alternatives):
        print_table(_build_alternative_table(report))
    print_line(f"verdict: {report.verdict.limit}")
    for reason in report.verdict.reasons:
        print_line(f"  - {reason}")
    if report.proposals:
        print_line("runs that would decide:")
        for runs in report.proposals:
            sizes = ", ".join(format_count(value) for value in runs.parameters)
            tokens = ", ".join(format_count(value) for value in runs.tokens)
            seeds = pluralize(runs.seeds, "seed")
            print_line(f"  - N = {sizes}; D = {tokens}; {seeds} each: {runs.why}")


def _build_run_table(report: "ScalingReport") -> ResultTable:
    rows = report.table.rows
    columns = {
        "N": [format_count(row.parameters) for row in rows],
        "tables": [format_count(row.parameters_tables) for row in rows],
        "D": [format_count(row.tokens) for row in rows],
        "seen": [format_count(row.tokens_seen) for row in rows],
        "epochs": [format_number(row.epochs) for row in rows],
        "seed": ["-" if row.seed is None else str(row.seed) for row in rows],
        "split": [row.split or "-" for row in rows],
        "loss": [format_number(row.loss) for row in rows],
        "fitted": [format_number(value) for value in report.list_fitted()],
    }
    shown = {name: cells for name, cells in columns.items() if set(cells) != {"-"}}
    table = ResultTable(
        report.table.title,
        *name_columns("run"),
        *number_columns(*shown),
        omit=[one for one in ("split", "seed", "tables", "epochs", "seen") if one in shown],
    )
    for row, *cells in itertools.islice(zip(rows, *shown.values(), strict=True), MAX_SHOWN_ROWS):
        table.add_row(row.run, *cells)
    if len(rows) > MAX_SHOWN_ROWS:
        table.add_row(f"and {len(rows) - MAX_SHOWN_ROWS} more: report.json has all")
    return table


def _build_law_table(law: "JointLaw") -> ResultTable:
    from omnimouse_cli.report.page import MEANINGS

    table = ResultTable(
        f"E + A / N^alpha + B / D^beta; {law.fit.agreeing:.0%} of the starts reached this optimum",
        *name_columns(""),
        *number_columns("value", "95 % interval"),
        *text_columns("meaning"),
    )
    for parameter, one in law.estimates.items():
        interval = f"{format_number(one.low)} to {format_number(one.high)}"
        table.add_row(parameter, format_number(one.value), interval, MEANINGS[parameter])
    return table


def _build_task_table(report: "ScalingReport") -> ResultTable:
    notes = list(dict.fromkeys("; ".join(one.reasons) for one in report.tasks))
    shared = notes[0] if len(notes) == 1 else ""
    table = ResultTable(
        f"a law per task: {shared}" if shared else "a law per task",
        *name_columns("task"),
        *number_columns("alpha", "beta", "variance explained"),
        *text_columns(*["note"] * (not shared)),
    )
    for one in report.tasks:
        cells = ["-"] * 3
        if one.law is not None:
            found = [one.law.estimates[name] for name in ("alpha", "beta")]
            cells = [
                f"{format_number(each.value)} ({format_number(each.low)} to "
                f"{format_number(each.high)})"
                for each in found
            ]
            cells.append(f"{one.law.goodness.r2:.1%}")
        table.add_row(one.task, *cells, *["; ".join(one.reasons)] * (not shared))
    return table


def _build_alternative_table(report: "ScalingReport") -> ResultTable:
    table = ResultTable(
        "forms of the law",
        *name_columns("form"),
        *number_columns("k", "AICc", "BIC", "variance explained", "held-out error"),
        *text_columns("note"),
        omit=("k", "BIC"),
    )
    for one in report.alternatives:
        error = "-" if one.heldout_error is None else f"{one.heldout_error:.2%}"
        mark = "clearly the best" if one.form.name == report.winner else one.explain() or ""
        k = str(one.form.num_fitted)
        criteria = (format_number(one.aicc), format_number(one.bic))
        table.add_row(one.form.name, k, *criteria, one.r2, error, mark)
    return table
