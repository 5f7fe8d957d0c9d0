"""Reading run folders as a table of runs, from the summary of each finished run."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.table import Condition, ExcludedRow, RunRow, RunTable, require_column
from omnimouse_cli.report.tasks import read_tasks
from omnimouse_cli.run.folder import CONFIG, SUMMARY, find_runs, is_finished, read_summary
from omnimouse_cli.text import pluralize

Value = TypeVar("Value")
Count = Literal["core", "total"]
COUNTED = {
    "core": "parameters of the shared core, without session embeddings",
    "total": "all parameters, session embeddings included",
}


def read_run_table(
    folders: Sequence[Path], *, count: Count = "core", where: Sequence[Condition] = ()
) -> RunTable:
    """Read run folders, or folders that hold run folders.

    Args:
        folders: The folders.
        count: Which parameters are counted.
        where: Conditions on the columns of a row (run, split, seed, ...) that all must hold.

    Returns:
        One row per finished run; other runs are excluded with the reason.

    Raises:
        OmniMouseError: A folder does not exist, or none of the runs can be used.
    """
    runs: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise OmniMouseError(
                f"{folder} is not a folder of runs: it does not exist or is a file",
                hint="a CSV file is read by: omnimouse scaling-report --table FILE.csv",
            )
        runs.update(dict.fromkeys(path.resolve() for path in find_runs(folder)))
    columns = [field.name for field in fields(RunRow)]
    for condition in where:
        require_column("a run", columns, condition.column, "--where")
    rows, excluded = [], []
    for run in runs:
        try:
            row = _read_row(run, count)
            cells = {name: str(value) for name, value in asdict(row).items()}
            if all(condition.holds(cells) for condition in where):
                rows.append(row)
        except (OmniMouseError, ValueError) as error:
            excluded.append(ExcludedRow(run=run.name, source=str(run), reason=str(error)))
    if not rows:
        raise _no_rows_error(folders, excluded, num_usable=len(runs) - len(excluded))
    rows.sort(key=lambda row: (row.parameters, row.tokens, row.seed or 0, row.run))
    # Rows are resampled by name, so runs of the same folder name also get their parents' names.
    names = [row.run for row in rows]
    rows = [
        replace(row, run="/".join(Path(row.source).parts[-2:])) if names.count(row.run) > 1 else row
        for row in rows
    ]
    return RunTable(
        title=f"{pluralize(len(rows), 'run')} of {', '.join(map(str, folders[:3]))}"
        + (" and others" if len(folders) > 3 else ""),
        rows=tuple(rows),
        excluded=tuple(excluded),
        parameters_counted=COUNTED[count],
    )


def _read_row(run: Path, count: Count) -> RunRow:
    if not is_finished(run):
        raise OmniMouseError(f"it has not finished: there is no {SUMMARY}")
    summary = read_summary(run)
    if summary.get("adapted_from"):
        raise OmniMouseError("it adapts the core of another run, which learned on other data")
    if summary.get("model_kind") == "cnn-twin":
        raise OmniMouseError("it is a cnn-twin, whose loss is that of the regime predict alone")
    parameters = _get_section(summary, "parameters")
    return RunRow(
        run=run.name,
        source=str(run),
        parameters=_get_number(parameters, f"parameters.{count}"),
        tokens=_get_number(summary, "unique_tokens"),
        loss=_get_number(_get_section(summary, "validation"), "validation.neural_loss"),
        seed=_get_optional(summary, "seed", int),
        subset=_get_optional(summary, "subset", str),
        split=_get_optional(summary, "split", str),
        metric=f"{_get_response_loss(run, summary)} loss",
        compute=_get_optional(summary, "flops", float) or None,
        tokens_seen=_get_optional(summary, "tokens_seen", float) or None,
        epochs=_get_optional(summary, "epochs", float) or None,
        steps=_get_optional(summary, "steps", float),
        neuron_hours=_get_optional(summary, "unique_neuron_hours", float),
        learning_rate=_get_optional(summary, "learning_rate", float),
        tasks=read_tasks(_get_section(summary, "validation").get("records") or ()),
        parameters_core=_get_optional(parameters, "core", float),
        parameters_tables=_get_optional(parameters, "tables", float),
    )


def _get_section(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = summary.get(name)
    if not isinstance(section, Mapping):
        raise OmniMouseError(f"{SUMMARY} has no section `{name}`")
    return section


def _get_number(section: Mapping[str, Any], name: str) -> float:
    """Return a number of a section, by its dotted name in the summary."""
    value = section.get(name.rpartition(".")[2])
    if value is None:
        raise OmniMouseError(f"{SUMMARY} has no number `{name}`")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OmniMouseError(f"`{name}` of {SUMMARY} must be a number: {value!r}")
    return float(value)


def _get_optional(section: Mapping[str, Any], name: str, kind: type[Value]) -> Value | None:
    """Return a value of a section; None where it is absent or null."""
    value = section.get(name)
    kinds = (int, float) if kind is float else (kind,)
    if value is not None and type(value) not in kinds:
        raise OmniMouseError(f"`{name}` of {SUMMARY} has the wrong type: {value!r}")
    return cast("Value | None", value)


def _get_response_loss(run: Path, summary: Mapping[str, Any]) -> str:
    if isinstance(summary.get("response_loss"), str):
        return str(summary["response_loss"])
    try:
        config = tomllib.loads((run / CONFIG).read_text())
    except (FileNotFoundError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "neural"
    return str(config.get("model", {}).get("response_loss") or "neural")


def _no_rows_error(
    folders: Sequence[Path], excluded: Sequence[ExcludedRow], *, num_usable: int
) -> OmniMouseError:
    where = ", ".join(map(str, folders))
    if num_usable:
        return OmniMouseError(f"--where selects none of {pluralize(num_usable, 'run')} in {where}")
    if not excluded:
        return OmniMouseError(
            f"{where} holds no run: no {SUMMARY} and no {CONFIG} was found",
            hint="train some: omnimouse train, or a grid of sizes and sessions: omnimouse sweep",
        )
    return OmniMouseError(
        f"none of {pluralize(len(excluded), 'run')} in {where} can be used; "
        f"{excluded[0].run}: {excluded[0].reason}",
        hint="a run is used once its training has finished: omnimouse train --resume continues it",
    )
