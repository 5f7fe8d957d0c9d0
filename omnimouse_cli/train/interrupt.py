"""Ctrl-C and SIGTERM as a wish that is noticed between steps instead of a sudden end."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Remembers whether somebody asked to stop."""

    def __init__(self) -> None:
        self.is_asked = False


@contextmanager
def noticed_interrupts() -> Iterator[Interrupt]:
    """Notice interruptions for as long as the block; a second one ends it at once.

    Raises:
        KeyboardInterrupt: The user asked twice.
    """
    interrupt = Interrupt()
    # A terminal and the launcher both tell the ranks that they start; the launcher decides when
    # patience is over, and it ends the others with SIGTERM when one rank fails.
    launched = "TORCHELASTIC_RUN_ID" in os.environ

    def notice(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - signal calls it so
        if interrupt.is_asked and not launched:
            raise KeyboardInterrupt
        interrupt.is_asked = True

    signals = [signal.SIGINT] if launched else [signal.SIGINT, signal.SIGTERM]
    if threading.current_thread() is not threading.main_thread():
        # Python hands signals to the main thread only, which is then not ours to guard.
        signals = []
    before = {number: signal.signal(number, notice) for number in signals}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
