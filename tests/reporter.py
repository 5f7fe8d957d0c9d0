"""A reporter that keeps its messages, for assertions about what a user is shown."""

from omnimouse_cli.reporter import Silent


class MessageReporter(Silent):
    """Keeps the messages: `said` and `warnings`."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warnings: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)
