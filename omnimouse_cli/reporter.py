"""What long work tells whoever waits for it: the command line draws it, others may ignore it."""

from typing import Protocol


class Reporter(Protocol):
    """Receives progress and warnings. `task` is the text that is shown, and the task's name."""

    def start(self, task: str, total: float | None = None) -> None:
        """Begin a task; `total` is None when its length is not known."""

    def advance(self, task: str, amount: float = 1.0, note: str = "") -> None:
        """Add to a task; `note` is shown beside it (losses, rates)."""

    def finish(self, task: str) -> None:
        """End a task."""

    def say(self, message: str) -> None:
        """Tell one line that is worth keeping (what was taken by default, where a file lies)."""

    def warn(self, message: str) -> None:
        """Tell something that the user should know although the work goes on."""


class Silent:
    """The reporter of library calls and tests: says nothing."""

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
