"""Progress and messages of long work; the command line shows them, library calls ignore them."""

from typing import Protocol


class Reporter(Protocol):
    """Receives progress and messages. `task` is a task's name and the text that is shown for it.

    Where several recordings or sessions are worked on at once, several threads call it.
    """

    def start(self, task: str, total: float | None = None) -> None:
        """Begin a task of `total` units; None when its length is not known."""

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Add `amount` units to a task; `note` (losses, rates) is shown beside it."""

    def finish(self, task: str) -> None:
        """End a task."""

    def say(self, message: str) -> None:
        """Show one line of information (which default was taken, where a file was written)."""

    def warn(self, message: str) -> None:
        """Show one line about a problem that does not stop the work."""


class Silent:
    """A reporter that shows nothing, for library calls and tests."""

    def start(self, task: str, total: float | None = None) -> None:
        """Ignore the task."""

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Ignore the step."""

    def finish(self, task: str) -> None:
        """Ignore the end."""

    def say(self, message: str) -> None:
        """Ignore the line."""

    def warn(self, message: str) -> None:
        """Ignore the warning."""
