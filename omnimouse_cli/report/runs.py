"""Run folders to rows: what each finished run's summary.json says."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.conditions import Condition, require_column
from omnimouse_cli.report.table import LeftOut, Row, RunTable
from omnimouse_cli.run.folder import CONFIG, SUMMARY, find_runs, is_finished, read_summary
from omnimouse_cli.text import pluralize

Count = Literal["core", "total"]
COUNTED = {
    "core": "parameters of the shared core, without neuron tables",
    "total": "all parameters, neuron tables included",
}


def table_of_runs(
    places: Sequence[Path], *, count: Count = "core", where: Sequence[Condition] = ()
) -> RunTable:
    """Read the runs in `places`: run folders, or folders that hold run folders.

    Args:
        places: Folders.
        count: Which parameters the law counts.
        where: Conditions on the columns of a row (run, split, seed, ...) that all must hold.

    Returns:
        One row per finished run; the others are left out with the reason.

    Raises:
        OmniMouseError: A place does not exist, or none of the runs can be used.
    """
    runs: dict[Path, None] = {}
    for place in places:
        if not place.is_dir():
            raise OmniMouseError(
                f"{place} is not a folder of runs: it does not exist or is a file",
                hint="a CSV file is read by: omnimouse scaling-report --table FILE.csv",
            )
        runs.update(dict.fromkeys(path.resolve() for path in find_runs(place)))
    for condition in where:
        require_column("a run", [field.name for field in fields(Row)], condition.column, "--where")
    rows, left_out = [], []
    for run in runs:
        try:
            row = _row(run, count)
            if all(condition.holds(_cells(row)) for condition in where):
                rows.append(row)
        except (OmniMouseError, ValueError) as error:
            left_out.append(LeftOut(run=run.name, source=str(run), reason=str(error)))
    if not rows:
        raise _nothing(places, left_out, num_selected_from=len(runs) - len(left_out))
    rows.sort(key=lambda row: (row.parameters, row.tokens, row.seed or 0, row.run))
    return RunTable(
        title=f"{pluralize(len(rows), 'run')} of {', '.join(str(place) for place in places[:3])}"
        + (" and others" if len(places) > 3 else ""),
        rows=_named_apart(rows),
        left_out=tuple(left_out),
        counted=COUNTED[count],
    )


def _row(run: Path, count: Count) -> Row:
    if not is_finished(run):
        raise OmniMouseError(f"it has not finished: there is no {SUMMARY}")
    summary = read_summary(run)
    if summary.get("adapted_from"):
        raise OmniMouseError("it adapts the core of another run, which learned on other data")
    parameters = _section(summary, "parameters")
    return Row(
        run=run.name,
        source=str(run),
        parameters=_number(parameters, f"parameters.{count}"),
        tokens=_number(summary, "unique_tokens"),
        loss=_number(_section(summary, "validation"), "validation.neural_loss"),
        seed=summary.get("seed"),
        split=summary.get("split"),
        metric=f"{_response_loss(run, summary)} loss",
        compute=summary.get("flops") or None,
        tokens_seen=summary.get("tokens_seen") or None,
        epochs=summary.get("epochs") or None,
        parameters_core=parameters.get("core"),
        parameters_tables=parameters.get("tables"),
    )


def _cells(row: Row) -> dict[str, str]:
    return {field.name: str(getattr(row, field.name)) for field in fields(Row)}


def _section(summary: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = summary.get(name)
    if not isinstance(section, Mapping):
        raise OmniMouseError(f"{SUMMARY} has no section `{name}`")
    return section


def _number(section: Mapping[str, Any], name: str) -> float:
    value = section.get(name.rpartition(".")[2])
    if value is None:
        raise OmniMouseError(f"{SUMMARY} has no number `{name}`")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OmniMouseError(f"`{name}` of {SUMMARY} must be a number: {value!r}")
    return float(value)


def _response_loss(run: Path, summary: Mapping[str, Any]) -> str:
    if isinstance(summary.get("response_loss"), str):
        return str(summary["response_loss"])
    try:
        config = tomllib.loads((run / CONFIG).read_text())
    except (FileNotFoundError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return "neural"
    return str(config.get("model", {}).get("response_loss") or "neural")


def _named_apart(rows: Sequence[Row]) -> tuple[Row, ...]:
    """Name runs of the same folder name by their parents too: runs are resampled by name."""
    names = [row.run for row in rows]
    return tuple(
        replace(row, run="/".join(Path(row.source).parts[-2:])) if names.count(row.run) > 1 else row
        for row in rows
    )


def _nothing(
    places: Sequence[Path], left_out: Sequence[LeftOut], *, num_selected_from: int
) -> OmniMouseError:
    where = ", ".join(str(place) for place in places)
    if num_selected_from:
        return OmniMouseError(
            f"--where selects none of {pluralize(num_selected_from, 'run')} in {where}"
        )
    if not left_out:
        return OmniMouseError(
            f"{where} holds no run: no {SUMMARY} and no {CONFIG} was found",
            hint="train some: omnimouse train, or a grid of sizes and sessions: omnimouse sweep",
        )
    first = left_out[0]
    return OmniMouseError(
        f"none of {pluralize(len(left_out), 'run')} in {where} can be used; "
        f"{first.run}: {first.reason}",
        hint="a run is used once its training has finished: omnimouse train --resume goes on",
    )
