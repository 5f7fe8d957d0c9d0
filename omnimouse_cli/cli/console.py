"""Results on stdout (tables, JSON documents); progress, warnings and errors on stderr."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import format_document

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def print_document(kind: str, content: Mapping[str, Any]) -> None:
    """Print the JSON document `omnimouse-<kind>` on stdout."""
    sys.stdout.write(format_document(kind, content))


def print_table(table: Table) -> None:
    """Print a table on stdout; without a terminal it is 200 columns wide."""
    console = Console(file=sys.stdout)
    if not console.is_terminal:
        console = Console(file=sys.stdout, width=200, color_system=None)
    console.print(table)


def print_line(text: str) -> None:
    """Print one line of the result on stdout."""
    sys.stdout.write(text + "\n")


def print_error(error: OmniMouseError) -> None:
    """Print `error: ...`, a blank line and `hint: ...` on stderr."""
    sys.stderr.write(f"error: {error.message}\n")
    if error.hint:
        sys.stderr.write(f"\nhint: {error.hint}\n")


class RichReporter:
    """Shows progress and messages on stderr; without a terminal there are no progress bars."""

    def __init__(self, progress: "Progress | None", *, quiet: bool) -> None:
        self._progress = progress
        self._quiet = quiet
        self._tasks: dict[str, TaskID] = {}

    def start(self, task: str, total: float | None = None) -> None:
        """Add a progress bar."""
        if self._progress is not None:
            self._tasks[task] = self._progress.add_task(task, total=total, note="")

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Advance a progress bar."""
        if self._progress is not None and task in self._tasks:
            self._progress.update(self._tasks[task], advance=amount, note=note)

    def finish(self, task: str) -> None:
        """Remove a progress bar."""
        if self._progress is not None and task in self._tasks:
            self._progress.remove_task(self._tasks.pop(task))

    def say(self, message: str) -> None:
        """Print a line on stderr."""
        if not self._quiet:
            self._write(message)

    def warn(self, message: str) -> None:
        """Print a warning on stderr, also when quiet."""
        self._write(f"warning: {message}")

    def _write(self, line: str) -> None:
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            sys.stderr.write(line + "\n")


@contextmanager
def reporter(*, quiet: bool = False) -> Iterator[RichReporter]:
    """Yield the reporter of a command; its progress bars are removed when the block ends."""
    console = Console(file=sys.stderr)
    if quiet or not console.is_terminal:
        yield RichReporter(None, quiet=quiet)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield RichReporter(progress, quiet=quiet)
