"""Errors that the user can correct: one sentence that names thing, rule and value, and a hint."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

NOTHING_WRITTEN = "nothing was written; run the same command again"


class OmniMouseError(Exception):
    """Input that cannot be used; the command line prints it without a traceback and exits with 1.

    Args:
        message: One sentence that names the thing, the rule it breaks and the value it has.
        hint: What the user can do about it.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGUSR1, which end a command as Ctrl-C does, with another exit code.

    Args:
        message: What was kept and how to continue; empty where the command says nothing special.
        number: Number of the signal.
    """

    def __init__(self, message: str = "", *, number: int) -> None:
        super().__init__(*([message] if message else []))
        self.number = number


class ConfigError(OmniMouseError):
    """A configuration key or value that does not exist or cannot work."""


class RecordingError(OmniMouseError):
    """A raw recording that violates its format."""


class ShardError(OmniMouseError):
    """A shard or a catalogue that is missing, damaged or of another version."""


class LaterVersionError(ShardError):
    """A shard that a newer omnimouse wrote; it is valid and must not be replaced."""


class CheckpointError(OmniMouseError):
    """A run folder or a checkpoint that is missing, incomplete or of another model."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint whose files are not those that were written; one before it may be whole."""


@contextmanager
def explain_interruption(message: str | Callable[[], str] = NOTHING_WRITTEN) -> Iterator[None]:
    """Add to a KeyboardInterrupt in the block what was kept and how to continue.

    Args:
        message: The sentence, or a function that returns it when the interruption comes.

    Raises:
        KeyboardInterrupt: Ctrl-C or a signal.
    """
    try:
        yield
    except KeyboardInterrupt as interruption:
        sentence = message if isinstance(message, str) else message()
        raise KeyboardInterrupt(sentence) from interruption
