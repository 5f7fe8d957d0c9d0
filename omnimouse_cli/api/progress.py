"""Progress without a progress bar: lines now and then; of a library call, only where wanted."""

import sys
import threading
import time
import warnings

from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.text import format_duration

# A library call that reports progress writes a line about a task this often.
CALL_SECONDS = 10.0
# A command without a progress bar does so every minute, and after ten minutes every five.
LINE_SECONDS, LATER_LINE_SECONDS, EARLY_SECONDS = 60.0, 300.0, 600.0


class ProgressLines:
    """Lines about tasks where no progress bar is shown, as in the log of a job queue.

    Args:
        seconds: Least time between two lines of a task; None is a minute in the first ten, then
            five.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._seconds = seconds
        self._tasks: dict[str, _Task] = {}
        self._lock = threading.Lock()

    def start(self, task: str, total: float | None) -> None:
        """Begin a task."""
        self._tasks[task] = _Task(total)

    def finish(self, task: str) -> None:
        """End a task."""
        self._tasks.pop(task, None)

    def advance(self, task: str, amount: float, note: str) -> str | None:
        """Add to a task and return its line, where one is due: share, time left and note."""
        with self._lock:
            state = self._tasks.setdefault(task, _Task(None))
            now = time.monotonic()
            state.add(amount, now)
            seconds = self._seconds
            if seconds is None:
                is_early = now - state.start_time <= EARLY_SECONDS
                seconds = LINE_SECONDS if is_early else LATER_LINE_SECONDS
            if now - state.line_time < seconds:
                return None
            state.line_time = now
            return f"{task}: {state.describe(now)}{f' · {note}' if note else ''}"


class _Task:
    """How much of a task is done, and since when."""

    def __init__(self, total: float | None) -> None:
        self._total = total
        self._done = 0.0
        # What the first call adds was done before, as when a training is continued.
        self._first: float | None = None
        self.start_time = self.line_time = time.monotonic()

    def add(self, amount: float, now: float) -> None:
        self._done += amount
        if self._first is None:
            self._first, self._first_time = self._done, now

    def describe(self, now: float) -> str:
        """Return the share that is done and the time left, as far as they are known."""
        if self._total is None or self._total <= 0:
            return f"{self._done:,.0f} done"
        share = f"{self._done / self._total:.0%}".replace("%", " %")
        assert self._first is not None, "described after it was advanced"
        since_first = self._done - self._first
        if since_first <= 0:
            return share
        seconds = (now - self._first_time) * (self._total - self._done) / since_first
        return f"{share}, {format_duration(max(seconds, 0.0))} left"


class _Quiet(Silent):
    """Turns warnings into Python warnings; everything else is not shown."""

    def warn(self, message: str) -> None:
        """Issue a `UserWarning`."""
        warnings.warn(message, UserWarning, stacklevel=2)


class _Lines(_Quiet):
    """Writes lines on stderr."""

    def __init__(self) -> None:
        self._lines = ProgressLines(CALL_SECONDS)

    def start(self, task: str, total: float | None = None) -> None:
        """Begin a task."""
        self._lines.start(task, total)

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Write a line about the task, every ten seconds."""
        line = self._lines.advance(task, amount, note)
        if line is not None:
            self.say(line)

    def finish(self, task: str) -> None:
        """End a task."""
        self._lines.finish(task)

    def say(self, message: str) -> None:
        """Write a line."""
        sys.stderr.write(f"{message}\n")


def choose_reporter(progress: bool | Reporter) -> Reporter:  # noqa: FBT001 - as the public functions
    """Return the reporter of a call.

    Args:
        progress: True writes lines on stderr, False nothing; warnings become Python warnings in
            both. A reporter is returned as it is.
    """
    if isinstance(progress, bool):
        return _Lines() if progress else _Quiet()
    return progress
