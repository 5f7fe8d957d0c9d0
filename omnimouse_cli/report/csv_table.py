"""Reading a CSV file as a table of runs: columns by name, rows by condition."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.csv_text import (
    has_decimal_comma,
    has_unit,
    parse_number,
    read_records,
)
from omnimouse_cli.report.table import Condition, ExcludedRow, RunRow, RunTable, require_column
from omnimouse_cli.text import pluralize, suggest_name

NUMBERS = ("parameters", "tokens", "loss", "correlation", "compute", "tokens_seen", "epochs")
WORDS = ("run", "seed", "subset", "split", "metric")
REQUIRED = ("parameters", "tokens", "loss")


def read_csv_table(
    path: Path, *, columns: Mapping[str, str] | None = None, where: Sequence[Condition] = ()
) -> RunTable:
    """Read a CSV file whose first line has the names of columns.

    Args:
        path: The file.
        columns: The file's name of each of our columns, or a number that holds for every row.
        where: Conditions that all must hold; other rows are ignored.

    Returns:
        One row per usable line; other lines are excluded with line number and reason.

    Raises:
        OmniMouseError: The file cannot be read, a column is missing, or no line can be used.
    """
    separator, names, records = _read_lines(path)
    chosen = _choose_columns(path, names, columns or {})
    places = [names.index(chosen[ours]) for ours in NUMBERS if chosen.get(ours) in names]
    numbers = [record[at] for _, record in records for at in places if at < len(record)]
    decimal_comma = has_decimal_comma(separator, numbers)
    for condition in where:
        require_column(str(path), names, condition.column, "--where")
    rows, excluded = [], []
    for line, record in records:
        run, source = f"line {line}", f"{path}:{line}"
        try:
            if len(record) != len(names):
                raise ValueError(f"{len(record)} cells where the first line has {len(names)}")
            cells = dict(zip(names, record, strict=True))
            if all(condition.holds(cells) for condition in where):
                rows.append(_parse_row(source, run, cells, chosen, decimal_comma=decimal_comma))
        except ValueError as error:
            excluded.append(ExcludedRow(run=run, source=source, reason=f"{run}: {error}"))
    if not rows:
        if excluded:
            raise OmniMouseError(f"no row of {path} can be used; {excluded[0].reason}")
        raise OmniMouseError(f"{path} has no row{' that --where selects' if where else ''}")
    return RunTable(
        title=f"{pluralize(len(rows), 'row')} of {path.name}",
        rows=tuple(rows),
        excluded=tuple(excluded),
        parameters_counted=f"column `{chosen['parameters']}` of {path.name}",
        notes=tuple(_describe_numbers(chosen, numbers, decimal_comma=decimal_comma)),
    )


def _describe_numbers(
    chosen: Mapping[str, str], numbers: Sequence[str], *, decimal_comma: bool
) -> list[str]:
    notes = []
    if "loss" not in chosen:
        notes.append(
            f"the table has correlations and no loss: 1 - `{chosen['correlation']}` was fitted, "
            "which is not a likelihood"
        )
    if decimal_comma:
        notes.append("commas in numbers of the table were read as decimal signs")
    if has_unit(numbers):
        notes.append("k, M, B or G, and T after numbers of the table were read as 1e3 to 1e12")
    return notes


def parse_columns(text: str) -> dict[str, str]:
    """Parse `ours=theirs,ours=theirs`.

    Raises:
        OmniMouseError: A part has no `=`, or its name is none of our columns.
    """
    chosen = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        ours, found, theirs = part.partition("=")
        if not found or not theirs:
            raise OmniMouseError(
                f"--columns takes name=column pairs: {part!r}",
                hint="for example: --columns parameters=params_no_embed,loss=loss_c4_val",
            )
        if ours not in NUMBERS + WORDS:
            raise OmniMouseError(
                f"--columns has no name {ours!r}; its names are {', '.join(NUMBERS + WORDS)}",
                hint=suggest_name(ours, NUMBERS + WORDS),
            )
        chosen[ours] = theirs
    return chosen


def _read_lines(path: Path) -> tuple[str, list[str], list[tuple[int, list[str]]]]:
    """Return the separator, the names of columns, and number and cells of every other line."""
    separator, lines = read_records(path)
    if len(lines) < 2:
        raise OmniMouseError(
            f"{path} has no rows: a line of column names and at least one line below it are needed"
        )
    names = [name.strip() for name in lines[0][1]]
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise OmniMouseError(f"{path} has more than one column named {doubled[0]!r}")
    return separator, names, lines[1:]


def _choose_columns(path: Path, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return the file's column, or a number, for each of our columns that it has."""
    for theirs in columns.values():
        if not _is_number(theirs):
            require_column(str(path), names, theirs, "--columns")
    chosen = {ours: ours for ours in NUMBERS + WORDS if ours in names} | dict(columns)
    if "loss" in chosen:
        chosen.pop("correlation", None)
    for ours in REQUIRED:
        if ours not in chosen and not (ours == "loss" and "correlation" in chosen):
            raise OmniMouseError(
                f"{path} has no column {ours!r}; its columns are {', '.join(names)}",
                hint=f"name it: --columns {ours}=COLUMN, or one number for all rows: "
                f"--columns {ours}=1e6",
            )
    return chosen


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parse_row(
    source: str,
    line: str,
    cells: Mapping[str, str],
    chosen: Mapping[str, str],
    *,
    decimal_comma: bool,
) -> RunRow:
    # A column that the file does not have is the number itself.
    texts = {ours: cells.get(theirs, theirs).strip() or None for ours, theirs in chosen.items()}
    numbers = {
        ours: _parse_number(ours, texts.get(ours), chosen, decimal_comma=decimal_comma)
        for ours in NUMBERS
    }
    correlation = numbers.pop("correlation")
    if correlation is not None:
        if not -1 <= correlation < 1:
            raise ValueError(f"`correlation` must lie between -1 and 1: {correlation:g}")
        numbers["loss"] = 1 - correlation
    if numbers["tokens_seen"] is not None and numbers["tokens"] is not None:
        numbers["epochs"] = numbers["tokens_seen"] / numbers["tokens"]
    seed = texts.get("seed")
    return RunRow(
        run=texts.get("run") or line,
        source=source,
        seed=None if seed is None else _parse_seed(seed),
        subset=texts.get("subset"),
        split=texts.get("split"),
        metric=texts.get("metric"),
        **numbers,  # type: ignore[arg-type] # the required ones were found not to be None
    )


def _parse_number(
    ours: str, text: str | None, chosen: Mapping[str, str], *, decimal_comma: bool
) -> float | None:
    if text is None:
        if ours in REQUIRED and ours in chosen:
            raise ValueError(f"`{chosen[ours]}` is empty")
        return None
    try:
        value = parse_number(text, decimal_comma=decimal_comma and not _is_number(chosen[ours]))
    except ValueError as error:
        raise ValueError(f"`{chosen[ours]}` must be a number: {text!r}") from error
    if ours != "correlation" and (not math.isfinite(value) or value <= 0):
        raise ValueError(f"`{chosen[ours]}` must be a finite number above zero: {text}")
    return value


def _parse_seed(text: str) -> int:
    """Return a number for a seed, which may be a word: only equality matters."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return int.from_bytes(text.encode(), "big")
