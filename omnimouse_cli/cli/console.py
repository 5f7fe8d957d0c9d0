"""Results on stdout (tables, JSON documents); progress, warnings and errors on stderr."""

import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import format_document
from omnimouse_cli.training.interrupt import exit_code, signal_of

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


# Control characters but the line feed and the tab, as names inside of raw files may hold: a
# terminal would obey them.
_CONTROL = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in (9, 10)
}


class _PlainConsole(Console):
    """A console that prints texts as they are: no markup, control characters by their code."""

    def __init__(self, file: TextIO, width: int | None = None) -> None:
        super().__init__(
            file=file,
            width=width,
            markup=False,
            emoji=False,
            color_system="auto" if width is None else None,
        )

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401 - as in the base class
        """Return a text with control characters replaced by their codes."""
        return super().render_str(text.translate(_CONTROL), **options)


def print_document(kind: str, content: Mapping[str, Any]) -> None:
    """Print the JSON document `omnimouse-<kind>` on stdout."""
    sys.stdout.write(format_document(kind, content))


def print_table(table: Table) -> None:
    """Print a table on stdout; without a terminal it is 200 columns wide."""
    console = _PlainConsole(sys.stdout)
    if not console.is_terminal:
        console = _PlainConsole(sys.stdout, width=200)
    console.print(table)


def print_line(text: str) -> None:
    """Print one line of the result on stdout."""
    sys.stdout.write(text.translate(_CONTROL) + "\n")


def print_error(error: OmniMouseError) -> None:
    """Print `error: ...`, a blank line and `hint: ...` on stderr."""
    sys.stderr.write(f"error: {error.message}\n".translate(_CONTROL))
    if error.hint:
        sys.stderr.write(f"\nhint: {error.hint}\n".translate(_CONTROL))


def report_interruption(stop: KeyboardInterrupt) -> int:
    """Print on stderr what was kept after Ctrl-C or another signal; return the exit code."""
    message = str(stop) or "run the same command again to continue"
    number = signal_of(stop)
    by = "" if number == signal.SIGINT else f" by {signal.Signals(number).name}"
    sys.stderr.write(f"interrupted{by}: {message}\n".translate(_CONTROL))
    return exit_code(stop)


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
        line = line.translate(_CONTROL)
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
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield RichReporter(progress, quiet=quiet)
