"""Ctrl-C, SIGTERM and SIGUSR1: they end a command, and training at the end of a step."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from omnimouse_cli.errors import Terminated

# What schedulers send: SIGTERM to end a job, SIGUSR1 some time before (`sbatch --signal=USR1@120`).
TERMINATING = (signal.SIGTERM, signal.SIGUSR1)
CAUGHT = (signal.SIGINT, *TERMINATING)


class Interrupt:
    """Whether a signal has requested the end of training.

    Args:
        number: Number of the first signal that arrived; 0 before.
    """

    def __init__(self) -> None:
        self.number = 0

    @property
    def is_requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.number != 0

    def request(self, number: int) -> None:
        """Take a signal that has arrived here or at another rank; the first one counts.

        Args:
            number: Number of the signal. 0 writes nothing: the handler may run inside this call,
                and what it has written must stay.
        """
        if number and not self.number:
            self.number = number


@contextmanager
def catch_interrupts(*, is_single: bool = True) -> Iterator[Interrupt]:
    """Catch signals for as long as the block; only a second Ctrl-C raises, if at all.

    Args:
        is_single: Whether this process trains alone. Ranks get a signal several times, from the
            terminal, a launcher and a scheduler: there a second Ctrl-C is not the user's.

    Raises:
        KeyboardInterrupt: Ctrl-C a second time, in a process that trains alone.
    """
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if number == signal.SIGINT and interrupt.is_requested and is_single:
            raise KeyboardInterrupt
        interrupt.request(number)

    with handle_signals(CAUGHT, handle) as previous:
        yield interrupt
        if interrupt.is_requested:
            # The process is about to end: the same signal again must not disturb that.
            for number in TERMINATING if is_single else CAUGHT:
                if callable(previous.get(number)):
                    previous[number] = signal.SIG_IGN


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM and SIGUSR1 for as long as the block, once.

    Raises:
        Terminated: One of them arrived.
    """

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        for terminating in TERMINATING:
            signal.signal(terminating, signal.SIG_IGN)
        raise Terminated(number=number)

    with handle_signals(TERMINATING, handle):
        yield


@contextmanager
def handle_signals(
    numbers: Sequence[signal.Signals], handle: Callable[[int, FrameType | None], None]
) -> Iterator[dict[signal.Signals, Any]]:
    """Handle signals for as long as the block; yield the handlers that are installed again then.

    Args:
        numbers: The signals; none outside of the main thread, to which Python delivers them.
        handle: The handler.
    """
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield previous
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def interruption(number: int, message: str) -> KeyboardInterrupt:
    """Return the exception that ends a command after a signal.

    Args:
        number: Number of the signal.
        message: What was kept and how to continue.
    """
    if number in TERMINATING:
        return Terminated(message, number=number)
    return KeyboardInterrupt(message)


def signal_of(stop: BaseException) -> int:
    """Return the number of the signal that an interruption goes back to.

    Args:
        stop: A KeyboardInterrupt, which may have been raised from another one with less to say.

    Example:
        >>> signal_of(Terminated(number=15)), signal_of(KeyboardInterrupt())
        (15, 2)
    """
    cause: BaseException | None = stop
    while cause is not None:
        if isinstance(cause, Terminated):
            return cause.number
        cause = cause.__cause__
    return int(signal.SIGINT)


def exit_code(stop: BaseException) -> int:
    """Return the exit code after an interruption: 128 and the number of the signal, as in a shell.

    Example:
        >>> exit_code(Terminated(number=15)), exit_code(KeyboardInterrupt())
        (143, 130)
    """
    return 128 + signal_of(stop)
