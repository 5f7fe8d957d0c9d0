"""Tables with a name and a unit in each column, from a CSV file or from arrays in an `.npz`."""

import array
import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.text import pluralize

Column = NDArray[np.float64] | tuple[str, ...]
# Number of each line and its cells.
_Lines = Iterator[tuple[int, list[str]]]

# End of a column's name -> unit. The longest end that fits counts.
_UNITS = {
    "_cm_per_s": "cm/s",
    "_m_per_s": "m/s",
    "_mm_per_s": "mm/s",
    "_cm_s": "cm/s",
    "_m_s": "m/s",
    "_mm_s": "mm/s",
    "_degrees": "degrees",
    "_deg": "degrees",
    "_px2": "px^2",
    "_mm2": "mm^2",
    "_cm2": "cm^2",
    "_px": "px",
    "_mm": "mm",
    "_cm": "cm",
    "_um": "um",
    "_seconds": "s",
    "_s": "s",
    "_milliseconds": "ms",
    "_ms": "ms",
}
_MISSING = frozenset(("", "nan", "na", "n/a", "null", "none"))
SECONDS = {"s": 1.0, "ms": 1e-3, None: 1.0}
_HINT = "columns need a name with a unit in the first line, as `seconds,speed_cm_s`"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """Columns of equal length.

    Args:
        source: The file, for messages.
        columns: Columns by lower-case name: float64 `(rows,)` with NaN where a cell is empty, or
            texts.
        lines: Line in the file of each row, int64 `(rows,)`.
        no_numbers: Line and text of the first cell that is no number, by column of numbers.
    """

    source: str
    columns: Mapping[str, Column]
    lines: NDArray[np.int64]
    no_numbers: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.lines)

    def row_name(self, row: int) -> str:
        """Return file and line of a row, for messages."""
        return f"{self.source}, line {self.lines[row]}"

    def find(self, quantities: Sequence[str]) -> str | None:
        """Return the first column that holds one of the quantities, whatever its unit."""
        for quantity in quantities:
            for name in self.columns:
                if split_unit(name)[0] == quantity or name == quantity:
                    return name
        return None

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, float64 `(rows,)`.

        Raises:
            RecordingError: A cell is no number.
        """
        column = self.columns[name]
        if name in self.no_numbers:
            line, cell = self.no_numbers[name]
            raise RecordingError(
                f"{self.source}, line {line}: `{name}` must be a finite number: {cell!r}",
                hint="write numbers with a decimal point, and leave a missing value empty",
            )
        if isinstance(column, tuple):
            raise RecordingError(
                f"{self.source}: `{name}` must hold numbers, but it holds texts",
                hint="write the column as numbers",
            )
        return column

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a column as texts; a whole number has no decimal point."""
        column = self.columns[name]
        if isinstance(column, tuple):
            return column
        return tuple("" if np.isnan(value) else f"{value:.15g}" for value in column.tolist())

    def seconds(self, quantities: Sequence[str]) -> NDArray[np.float64] | None:
        """Return a column of times in seconds, float64 `(rows,)`; None if there is none.

        Args:
            quantities: Names that the column may have before its unit.

        Raises:
            RecordingError: The unit is not one of time.
        """
        name = self.find(quantities)
        if name is None:
            return None
        unit = split_unit(name)[1]
        if unit not in SECONDS:
            raise RecordingError(
                f"{self.source}: column `{name}` must be in seconds, but its name says {unit}",
                hint=f"name it {quantities[0] or 'time'}_seconds",
            )
        return self.numbers(name) * SECONDS[unit]

    def times(self) -> NDArray[np.float64]:
        """Return the time of each row in seconds, float64 `(rows,)`.

        Raises:
            RecordingError: No column holds times.
        """
        times = self.seconds(TIME_NAMES)
        if times is None:
            raise RecordingError(
                f"{self.source} has no column of times: looked for `seconds` or `time_s`, found "
                f"{', '.join(self.columns)}",
                hint="add the time of each row, on the clock of the responses, as `seconds`",
            )
        return times


TIME_NAMES = ("", "seconds", "time", "times", "timestamp", "timestamps", "t")


def split_unit(name: str) -> tuple[str, str | None]:
    """Return the quantity and the unit of a column's name; None where the name has no unit.

    Example:
        >>> split_unit("speed_cm_s"), split_unit("time_ms"), split_unit("seconds"), split_unit("x")
        (('speed', 'cm/s'), ('time', 'ms'), ('', 's'), ('x', None))
    """
    for ending in sorted(_UNITS, key=len, reverse=True):
        if f"_{name}".endswith(ending):
            return f"_{name}"[: -len(ending)].removeprefix("_"), _UNITS[ending]
    return name, None


def read_csv(path: Path, text_columns: Sequence[str] = ()) -> Table:
    """Read a CSV file with names in its first line, separated by comma, semicolon or tab.

    Args:
        path: The file; UTF-8, with or without byte-order mark.
        text_columns: Names of columns that hold texts; all others hold numbers with a decimal
            point. An empty cell of numbers is missing (NaN). A cell that is no number is an error
            only where its column is used.

    Raises:
        RecordingError: The file has no names, or a row has another number of cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            first_line = stream.readline()
            delimiter = max(",;\t", key=first_line.count)
            stream.seek(0)
            reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True, strict=True)
            rows = ((reader.line_num, cells) for cells in reader)
            return _read_rows(path, rows, text_columns)
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}",
            hint="save it as CSV (UTF-8)",
        ) from error
    except csv.Error as error:
        raise RecordingError(f"{path} is no CSV file: {error}", hint=_HINT) from error


def _read_rows(path: Path, rows: _Lines, text_columns: Sequence[str]) -> Table:
    names = _read_names(path, rows)
    texts: dict[int, list[str]] = {
        index: [] for index, name in enumerate(names) if name in text_columns
    }
    numbers = {
        index: array.array("d") for index, name in enumerate(names) if name not in text_columns
    }
    lines = array.array("q")
    no_numbers: dict[str, tuple[int, str]] = {}
    for line, cells in rows:
        while len(cells) > len(names) and not cells[-1].strip():
            cells.pop()
        if not "".join(cells).strip():
            continue
        if len(cells) != len(names):
            raise RecordingError(
                f"{path}, line {line}: {pluralize(len(cells), 'cell')} for "
                f"{pluralize(len(names), 'column')}",
                hint="every row needs a cell for each name of the first line; a text with commas "
                "stands in quotes",
            )
        lines.append(line)
        for index, column in texts.items():
            column.append(cells[index].strip())
        for index, values in numbers.items():
            value = _parse(cells[index])
            values.append(value)
            if math.isinf(value):
                no_numbers.setdefault(names[index], (line, cells[index].strip()))
    columns: dict[str, Column] = {}
    for index, name in enumerate(names):
        columns[name] = (
            tuple(texts[index]) if index in texts else np.array(numbers[index], np.float64)
        )
    return Table(
        source=str(path),
        columns=columns,
        lines=np.array(lines, np.int64),
        no_numbers=no_numbers,
    )


def _read_names(path: Path, rows: _Lines) -> list[str]:
    header: list[str] = next((cells for _, cells in rows if any(map(str.strip, cells))), [])
    names = [cell.strip().lower() for cell in header]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise RecordingError(f"{path} is empty", hint=_HINT)
    if "" in names:
        raise RecordingError(f"{path}: column {names.index('') + 1} has no name", hint=_HINT)
    if any(_is_number(name) for name in names):
        raise RecordingError(
            f"{path}: the first line must name the columns, but it holds numbers: "
            f"{', '.join(names[:4])}",
            hint=_HINT,
        )
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise RecordingError(f"{path}: two columns are named `{twice}`", hint=_HINT)
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text not in _MISSING


def _parse(cell: str) -> float:
    """Return a number, NaN where it is missing, infinity for what is no finite number."""
    try:
        return float(cell)
    except ValueError:
        return math.nan if cell.strip().lower() in _MISSING else math.inf


def table_of_arrays(source: str, columns: Mapping[str, NDArray[np.generic]]) -> Table:
    """Return arrays of equal length as a table.

    Args:
        source: Where the arrays are, for messages.
        columns: One-dimensional arrays of numbers or texts by name.

    Raises:
        RecordingError: Arrays have more axes than one, or different lengths.
    """
    shapes = {name: values.squeeze().shape for name, values in columns.items()}
    length = max((shape[0] for shape in shapes.values() if shape), default=1)
    converted: dict[str, Column] = {}
    for name, values in columns.items():
        if values.size != length:
            raise RecordingError(
                f"{source}: columns must have one length: `{name}` has shape {values.shape}, "
                f"another one {length} rows",
                hint="every column needs one value for each row",
            )
        flat = values.reshape(-1)
        converted[name.lower()] = (
            tuple(str(value).strip() for value in flat.tolist())
            # Large whole numbers, as ids, have no float64.
            if flat.dtype.kind == "U" or (flat.dtype.kind in "iu" and np.greater(flat, 2**53).any())
            else flat.astype(np.float64)
        )
    return Table(source=source, columns=converted, lines=np.arange(length))
