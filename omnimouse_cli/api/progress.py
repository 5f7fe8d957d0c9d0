"""Progress of a library call: lines on stderr where they are wanted, warnings as Python's own."""

import sys
import time
import warnings

from omnimouse_cli.reporter import Reporter, Silent

# A task that goes on writes a line this often.
LINE_SECONDS = 10.0


class _Quiet(Silent):
    """Turns warnings into Python warnings; everything else is not shown."""

    def warn(self, message: str) -> None:
        """Issue a `UserWarning`."""
        warnings.warn(message, UserWarning, stacklevel=2)


class _Lines(_Quiet):
    """Writes lines on stderr."""

    def __init__(self) -> None:
        self._totals: dict[str, float | None] = {}
        self._done: dict[str, float] = {}
        self._line_time = time.monotonic()

    def start(self, task: str, total: float | None = None) -> None:
        """Remember the length of a task."""
        self._totals[task], self._done[task] = total, 0.0

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Write the share that is done, every ten seconds."""
        self._done[task] = self._done.get(task, 0.0) + amount
        now = time.monotonic()
        if now - self._line_time < LINE_SECONDS:
            return
        self._line_time = now
        total = self._totals.get(task)
        share = f"{self._done[task]:.0f}" if total is None else f"{self._done[task] / total:.0%}"
        self.say(f"{task}: {share} {note}".rstrip())

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
