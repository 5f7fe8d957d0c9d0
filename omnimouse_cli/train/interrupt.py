"""Ctrl-C and SIGTERM as a request that training notices between two steps."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether a signal has requested the end of training."""

    def __init__(self) -> None:
        self.is_requested = False


@contextmanager
def catch_interrupts() -> Iterator[Interrupt]:
    """Catch signals for as long as the block; the second one raises.

    Raises:
        KeyboardInterrupt: A second signal arrived.
    """
    interrupt = Interrupt()
    # The terminal and the launcher both send signals to the ranks that the launcher starts; the
    # launcher decides how long to wait, and ends the others with SIGTERM when one rank fails.
    is_launched = "TORCHELASTIC_RUN_ID" in os.environ

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal's signature
        if interrupt.is_requested and not is_launched:
            raise KeyboardInterrupt
        interrupt.is_requested = True

    signals = [signal.SIGINT] if is_launched else [signal.SIGINT, signal.SIGTERM]
    if threading.current_thread() is not threading.main_thread():
        # Python delivers signals to the main thread, which is not this one.
        signals = []
    previous = {number: signal.signal(number, handle) for number in signals}
    try:
        yield interrupt
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
