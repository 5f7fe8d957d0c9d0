"""Results on stdout (tables, JSON documents); progress, warnings and errors on stderr."""

import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from omnimouse_cli.api.progress import ProgressLines
from omnimouse_cli.cli.streams import TolerantStream, write_results
from omnimouse_cli.cli.tables import ResultTable
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import format_document
from omnimouse_cli.text import escape_control
from omnimouse_cli.training.interrupt import exit_code, signal_of

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


# Narrower terminals have percentage and time left without a bar.
WIDTH_OF_BARS = 60


def print_document(kind: str, content: Mapping[str, Any]) -> None:
    """Print the JSON document `omnimouse-<kind>` on stdout."""
    with write_results():
        sys.stdout.write(format_document(kind, content))


def print_table(table: ResultTable) -> None:
    """Print a table on stdout: as wide as the terminal, or without one with every column."""
    console = Console(file=sys.stdout)
    with write_results():
        width = console.width if sys.stdout.isatty() else None
        sys.stdout.write(table.render(width, color=console.color_system is not None))


def print_line(text: str) -> None:
    """Print one line of the result on stdout."""
    with write_results():
        sys.stdout.write(_escape(text) + "\n")


def print_next(*command: str | Path, quiet: bool = False, json_output: bool = False) -> None:
    """Print on stderr the command that usually comes next.

    Args:
        command: Its words after `omnimouse`.
        quiet: Whether nothing is printed, as with `--json`.
        json_output: Whether the result is a document.
    """
    if not quiet and not json_output:
        _write_message(f"next: {shlex.join(('omnimouse', *map(str, command)))}\n")


def print_error(error: OmniMouseError) -> None:
    """Print `error: ...`, a blank line and `hint: ...` on stderr."""
    hint = f"\nhint: {error.hint}\n" if error.hint else ""
    _write_message(f"error: {error.message}\n{hint}")


def report_interruption(stop: KeyboardInterrupt) -> int:
    """Print on stderr what was kept after Ctrl-C or another signal; return the exit code."""
    message = str(stop) or "run the same command again"
    number = signal_of(stop)
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    _write_message(f"interrupted{by}: {message}\n")
    return exit_code(stop)


def _write_message(text: str) -> None:
    # Ranks have a stderr of their own, which `main` has not made tolerant.
    TolerantStream(sys.stderr).write(_escape(text))


def _escape(text: str) -> str:
    return escape_control(text, keep="\n\t")


class RichReporter:
    """Shows progress and messages on stderr: as bars, or without a terminal as lines."""

    def __init__(self, progress: "Progress | None", *, quiet: bool) -> None:
        self._progress = progress
        self._quiet = quiet
        self._tasks: dict[str, TaskID] = {}
        self._lines = ProgressLines()

    def start(self, task: str, total: float | None = None) -> None:
        """Add a progress bar."""
        if self._progress is not None:
            self._tasks[task] = self._progress.add_task(task, total=total, note="")
        else:
            self._lines.start(task, total)

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Advance a progress bar."""
        if self._progress is None:
            line = self._lines.advance(task, amount, note)
            if line is not None:
                self.say(line)
        elif task in self._tasks:
            self._progress.update(self._tasks[task], advance=amount, note=note)

    def finish(self, task: str) -> None:
        """Remove a progress bar."""
        if self._progress is None:
            self._lines.finish(task)
        elif task in self._tasks:
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
            line = _escape(line)
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            _write_message(line + "\n")


@contextmanager
def reporter(*, quiet: bool = False) -> Iterator[RichReporter]:
    """Yield the reporter of a command; its progress bars are removed when the block ends."""
    console = Console(file=TolerantStream(sys.stderr))  # type: ignore[arg-type]
    if quiet or not console.is_terminal:
        yield RichReporter(None, quiet=quiet)
        return
    with _progress_bars(console) as progress:
        yield RichReporter(progress, quiet=quiet)


def _progress_bars(console: Console) -> "Progress":
    """Return progress bars that keep percentage and time left on a narrow terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    # What does not fit is cut in the last column alone.
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    bar = [BarColumn(bar_width=20)] if console.width >= WIDTH_OF_BARS else []
    return Progress(
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(width=4)),
        TimeRemainingColumn(table_column=Column(width=8)),
        *bar,
        TextColumn("{task.description} {task.fields[note]}", markup=False, table_column=rest),
        console=console,
        expand=True,
        transient=True,
    )
