"""stdout and stderr where they are closed, full, or no longer read."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from omnimouse_cli.errors import OmniMouseError


class TolerantStream:
    """A text stream that drops what cannot be written.

    Messages whose reader has ended (`2>&1 | head`), or whose terminal is gone, stop no work.

    Args:
        stream: The stream; None, as Python has it for a closed one, drops everything.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text if possible; return its length."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if possible."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        """Return an attribute of the stream itself."""
        return getattr(self._stream, name)


@contextmanager
def write_results() -> Iterator[None]:
    """Flush what the block writes to stdout.

    When the program that reads stdout (head, less) has ended, the rest is dropped and the command
    goes on, so that its files are complete and its exit code is the usual one.

    Raises:
        OmniMouseError: stdout cannot be written: its disk is full, or it is closed.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Python flushes stdout again at its end: what is left in its buffer goes nowhere then.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if isinstance(error, BrokenPipeError):
            return
        raise OmniMouseError(
            f"the results could not be written to stdout: {error.strerror}",
            hint="free some space, or send them elsewhere; files that the command wrote are kept",
        ) from error


def prepare_streams() -> None:
    """Make stdout and stderr usable where the shell closed them; messages then never fail.

    Writing to a closed stdout fails as it does in other programs, but when it is flushed and not
    because there is no stream; nothing else that the program opens is taken for it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # Only stderr can be written, and drops everything.
            mode = os.O_WRONLY if number == 2 else os.O_RDONLY
            os.set_inheritable(os.open(os.devnull, mode), True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    # Names in files may have letters that the terminal's encoding lacks.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr = TolerantStream(sys.stderr)
