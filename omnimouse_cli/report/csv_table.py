"""Anybody's CSV file to rows: columns by name, rows by condition, bad rows by line number."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.report.conditions import Condition, require_column
from omnimouse_cli.report.table import LeftOut, Row, RunTable
from omnimouse_cli.text import pluralize, suggest_name

NUMBERS = ("parameters", "tokens", "loss", "correlation", "compute", "tokens_seen", "epochs")
WORDS = ("run", "seed", "split", "metric")
NEEDED = ("parameters", "tokens", "loss")


def table_of_csv(
    path: Path, *, columns: Mapping[str, str] | None = None, where: Sequence[Condition] = ()
) -> RunTable:
    """Read a CSV file with a row of names.

    Args:
        path: The file.
        columns: Our name to the file's name, or to a number that holds for every row.
        where: Conditions that all must hold; rows they do not select are not mentioned.

    Returns:
        One row per usable line; the others are left out with line number and reason.

    Raises:
        OmniMouseError: The file cannot be read, a column is missing, no line can be used.
    """
    names, records = _read(path)
    chosen = _choose(path, names, columns or {})
    for condition in where:
        require_column(str(path), names, condition.column, "--where")
    rows, left_out = [], []
    for line, record in records:
        name = f"line {line}"
        if len(record) != len(names):
            reason = f"{name} has {len(record)} cells where the first line has {len(names)}"
            left_out.append(LeftOut(run=name, source=f"{path}:{line}", reason=reason))
            continue
        cells = dict(zip(names, record, strict=True))
        if not all(condition.holds(cells) for condition in where):
            continue
        try:
            rows.append(_row(f"{path}:{line}", name, cells, chosen))
        except ValueError as error:
            reason = f"{name}: {error}"
            left_out.append(LeftOut(run=name, source=f"{path}:{line}", reason=reason))
    if not rows:
        raise _nothing(path, left_out, bool(where))
    return RunTable(
        title=f"{pluralize(len(rows), 'row')} of {path.name}",
        rows=tuple(rows),
        left_out=tuple(left_out),
        counted=f"column `{chosen['parameters']}` of {path.name}",
        notes=_notes(chosen),
    )


def parse_columns(text: str) -> dict[str, str]:
    """Read `ours=theirs,ours=theirs`.

    Raises:
        OmniMouseError: A part has no `=`, or names no column of ours.
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
                f"--columns knows no name {ours!r}; it knows {', '.join(NUMBERS + WORDS)}",
                hint=suggest_name(ours, NUMBERS + WORDS),
            )
        chosen[ours] = theirs
    return chosen


def _read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            lines = [(reader.line_num, record) for record in reader if any(record)]
    except (FileNotFoundError, IsADirectoryError) as error:
        raise OmniMouseError(f"{path} is not a file that can be read") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise OmniMouseError(f"{path} is not a CSV file in UTF-8: {error}") from error
    if len(lines) < 2:
        raise OmniMouseError(
            f"{path} has no rows: a line of column names and at least one line below it are needed"
        )
    names = [name.strip() for name in lines[0][1]]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise OmniMouseError(f"{path} has more than one column named {doubled[0]!r}")
    return names, lines[1:]


def _choose(path: Path, names: Sequence[str], columns: Mapping[str, str]) -> dict[str, str]:
    for theirs in columns.values():
        if not _is_number(theirs):
            require_column(str(path), names, theirs, "--columns")
    chosen = {ours: ours for ours in NUMBERS + WORDS if ours in names} | dict(columns)
    if "loss" in chosen:
        chosen.pop("correlation", None)
    for ours in NEEDED:
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


def _row(source: str, line: str, cells: Mapping[str, str], chosen: Mapping[str, str]) -> Row:
    def cell(ours: str) -> str | None:
        if ours not in chosen:
            return None
        theirs = chosen[ours]
        return cells.get(theirs, theirs).strip() or None

    numbers = {ours: _number(ours, cell(ours), chosen) for ours in NUMBERS}
    correlation = numbers.pop("correlation")
    if correlation is not None:
        if not -1 <= correlation < 1:
            raise ValueError(f"`correlation` must lie between -1 and 1: {correlation:g}")
        numbers["loss"] = 1 - correlation
    seed = cell("seed")
    return Row(
        run=cell("run") or line,
        source=source,
        # A seed may be a word in somebody else's table; only being the same matters.
        seed=None if seed is None else _seed_number(seed),
        split=cell("split"),
        metric=cell("metric"),
        **numbers,  # type: ignore[arg-type] # the needed ones were found not to be None
    )


def _number(ours: str, cell: str | None, chosen: Mapping[str, str]) -> float | None:
    if cell is None:
        if ours in NEEDED and ours in chosen:
            raise ValueError(f"`{chosen[ours]}` is empty")
        return None
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"`{chosen[ours]}` must be a number: {cell!r}") from None
    if ours != "correlation" and (not math.isfinite(value) or value <= 0):
        raise ValueError(f"`{chosen[ours]}` must be a finite number above zero: {cell}")
    return value


def _seed_number(cell: str) -> int:
    try:
        return int(float(cell))
    except (ValueError, OverflowError):
        return int.from_bytes(cell.encode(), "big")


def _notes(chosen: Mapping[str, str]) -> tuple[str, ...]:
    if "loss" in chosen:
        return ()
    return (
        f"the table has correlations and no loss: 1 - `{chosen['correlation']}` was fitted, "
        "which is no likelihood",
    )


def _nothing(path: Path, left_out: Sequence[LeftOut], selected: bool) -> OmniMouseError:  # noqa: FBT001
    if left_out:
        return OmniMouseError(f"no row of {path} can be used; {left_out[0].reason}")
    reason = "no row that --where selects" if selected else "no row"
    return OmniMouseError(f"{path} has {reason}")
