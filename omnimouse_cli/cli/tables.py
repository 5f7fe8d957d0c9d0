"""Tables of results: on a narrow terminal the least important columns are omitted, names never.

Columns without any value are not printed.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from omnimouse_cli.text import escape_control

# Without a terminal every column is printed, and text folds only in tables wider than this.
FILE_WIDTH = 200
_GAP, _INDENT = 2, 2
# Columns are omitted before text folds into more lines, or into fewer characters than it may.
_MOST_LINES = 3
_LEAST_TEXT, _WIDE_TEXT = 20, 40
# The first name stands above its row where it would take more than this share of the width.
_NAME_SHARE = 1 / 4


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Args:
        heading: Its heading, unique in the table.
        kind: A `name` is never cut, folded or omitted; a `number` is never cut or folded; `text`
            folds where space is short.
    """

    heading: str
    kind: Literal["name", "number", "text"]


def name_columns(*headings: str) -> list[Column]:
    """Return columns of names: session keys, runs, strategies."""
    return [Column(heading, "name") for heading in headings]


def number_columns(*headings: str) -> list[Column]:
    """Return columns of numbers, aligned to the right."""
    return [Column(heading, "number") for heading in headings]


def text_columns(*headings: str) -> list[Column]:
    """Return columns of text."""
    return [Column(heading, "text") for heading in headings]


class ResultTable:
    """A table that is laid out for the width it is printed at.

    Args:
        title: A line above the table.
        columns: The columns from left to right, a name first.
        omit: Headings of the columns that may be omitted, the least important one first.
        has_header: Whether the headings are printed.
    """

    def __init__(
        self, title: str, *columns: Column, omit: Sequence[str] = (), has_header: bool = True
    ) -> None:
        self._title, self._columns, self._has_header = title, columns, has_header
        headings = [column.heading for column in columns]
        self._omit = [headings.index(heading) for heading in omit]
        self.rows: list[list[str]] = []
        self.footer: list[str] | None = None

    def add_row(self, *cells: str) -> None:
        """Add a row; cells that are missing at its end are empty."""
        self.rows.append(self._fill(cells))

    def set_footer(self, *cells: str) -> None:
        """Set the last line, of totals."""
        self.footer = self._fill(cells)

    def render(self, width: int | None = None, *, color: bool = False) -> str:
        """Return the lines that are printed; they are wider than `width` where names are.

        Args:
            width: Characters of a line; None shows every column.
            color: Whether headings are bold, by escape sequences.
        """
        if width is None:
            width = max(FILE_WIDTH, self._least_width(self._filled(), is_wide=True))
        shown, is_above = self._choose(width)
        width = max(width, self._least_width(shown, is_above=is_above))
        parts: list[RenderableType] = [Text(self._title, style="italic")] * bool(self._title)
        parts += self._stack(shown[1:], width) if is_above else [self._grid(shown, width)]
        omitted = [self._columns[at].heading for at in self._filled() if at not in shown]
        if omitted:
            names = ", ".join(omitted)
            parts.append(Text(f"not shown: {names} (a wider terminal or --json shows all)"))
        console = Console(
            width=width, file=io.StringIO(), color_system="standard" if color else None
        )
        with console.capture() as capture:
            console.print(Group(*parts))
        return "".join(f"{line.rstrip()}\n" for line in capture.get().split("\n"))

    def _fill(self, cells: Sequence[str]) -> list[str]:
        missing = len(self._columns) - len(cells)
        assert missing >= 0, "more cells than columns"
        return [*(escape_control(cell) for cell in cells), *([""] * missing)]

    def _filled(self) -> list[int]:
        """Return the columns that have a value in any row; every column of a table without rows."""
        every = range(len(self._columns))
        return [each for each in every if not self.rows or each == 0 or any(self._cells(each))]

    def _choose(self, width: int) -> tuple[list[int], bool]:
        """Return the columns that are shown, and whether the first stands above its row."""
        shown = self._filled()
        if not self._has_header or self._least_width(shown, is_wide=True) <= width:
            return shown, False
        for is_above in (self._least(0) > _NAME_SHARE * width, True):
            shown = self._filled()
            for column in (*(each for each in self._omit if each in shown), None):
                if self._least_width(shown, is_above=is_above, is_wide=True) <= width:
                    return shown, is_above
                if column is not None:
                    shown.remove(column)
        return shown, True

    def _least_width(
        self, shown: Sequence[int], *, is_above: bool = False, is_wide: bool = False
    ) -> int:
        """Return the width of a row; `is_wide`: with text in few lines."""
        if is_above:
            return max(
                _INDENT + self._least_width(shown[1:], is_wide=is_wide), self._most(shown[0])
            )
        least = (self._least(column, is_wide=is_wide) for column in shown)
        return sum(least) + _GAP * (len(shown) - 1)

    def _cells(self, column: int) -> list[str]:
        rows = self.rows if self.footer is None else [*self.rows, self.footer]
        return [row[column] for row in rows]

    def _most(self, column: int) -> int:
        """Return the width of a column on one line."""
        heading = [self._columns[column].heading] * self._has_header
        return max(map(cell_len, (*heading, *self._cells(column))), default=0)

    def _least(self, column: int, *, is_wide: bool = False) -> int:
        """Return the width of a column whose heading, or whose text too, is folded at words."""
        heading = self._columns[column].heading.split() * self._has_header
        cells = self._cells(column)
        if self._columns[column].kind != "text":
            return max(map(cell_len, (*heading, *cells)), default=0)
        words = [*heading, *(word for cell in cells for word in cell.split())]
        longest = max(map(cell_len, words), default=0)
        # A value of a pair may be a session key or a path, which is not cut.
        least = min(longest, _LEAST_TEXT) if self._has_header else longest
        if is_wide:
            line = max(map(cell_len, cells), default=0) // _MOST_LINES
            least = max(least, min(line, _WIDE_TEXT))
        return least

    def _grow(self, shown: Sequence[int], width: int) -> dict[int, int]:
        """Return the width of each column: space is given to what lacks most of its full width."""
        widths = {column: self._least(column) for column in shown}
        spare = width - sum(widths.values()) - _GAP * (len(shown) - 1)
        most = {column: self._most(column) for column in shown}
        while spare > 0 and (folded := [each for each in shown if widths[each] < most[each]]):
            widths[min(folded, key=lambda each: widths[each] / most[each])] += 1
            spare -= 1
        return widths

    def _stack(self, shown: Sequence[int], width: int) -> list[RenderableType]:
        """Return the headings, and each row below its name; rows of one name stand together."""
        padding, width = (0, 0, 0, _INDENT), width - _INDENT
        headings = self._grid(shown, width, rows=[])
        parts: list[RenderableType] = [Text(self._columns[0].heading, style="bold")]
        parts.append(Padding(headings, padding))
        above = None
        for row in [*self.rows, *([self.footer] if self.footer else [])]:
            if row[0] != above:
                parts.append(Text(row[0]))
            above = row[0]
            parts.append(Padding(self._grid(shown, width, rows=[row]), padding))
        return parts

    def _grid(
        self, shown: Sequence[int], width: int, rows: Sequence[Sequence[str]] | None = None
    ) -> RenderableType:
        """Return the table; or `rows` of it without headings, or for no rows the headings alone."""
        has_box = self._has_header and not rows
        grid = Table(
            box=box.SIMPLE_HEAD if has_box else None,
            show_edge=False,
            pad_edge=False,
            padding=(0, _GAP - has_box, 0, 0),
            show_header=has_box,
            show_footer=self.footer is not None and rows is None,
        )
        widths = self._grow(shown, width)
        for each in shown:
            column = self._columns[each]
            grid.add_column(
                Text(column.heading),
                Text("" if self.footer is None else self.footer[each]),
                width=widths[each],
                justify="right" if column.kind == "number" else "left",
                overflow="fold",
            )
        for row in self.rows if rows is None else rows:
            grid.add_row(*(Text(row[each]) for each in shown))
        return grid


def pair_table(title: str, pairs: Iterable[tuple[str, str]]) -> ResultTable:
    """Return a table of names and what belongs to each, without headings."""
    table = ResultTable(title, *name_columns("what"), *text_columns("value"), has_header=False)
    for pair in pairs:
        table.add_row(*pair)
    return table
