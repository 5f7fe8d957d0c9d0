"""Processes that are forked from one that has imported all of a training, which takes seconds."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["omnimouse_cli.training.run", "torch._dynamo", "pytest"])


class _Environment:
    """The environment variables of the process that pickles this, a dictionary elsewhere."""

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (dict(os.environ),)


def run_in_environment(
    environment: dict[str, str], target: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """Run a function with the environment variables that a process of its own would have."""
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def forked_process(
    *, target: Callable[..., None], args: tuple[Any, ...], name: str | None = None
) -> BaseProcess:
    """Return a process, which has the environment variables of the moment when it is started."""
    whole = (_Environment(), target, args)
    return FORKSERVER.Process(target=run_in_environment, args=whole, name=name)


def run_command(words: tuple[str, ...], streams: tuple[Path, Path]) -> None:
    """Run the command line with its streams in files, in a session of its own."""
    from omnimouse_cli.cli.app import main

    os.setsid()
    # The server that forks has signals blocked if ranks were the first that it started.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number, path in enumerate(streams, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv[1:] = words
    main()


class ForkedCommand:
    """A command in another process, with methods of `Popen`.

    Args:
        words: Its arguments; it runs in the working folder of the moment.
        folder: Folder for its streams.
    """

    def __init__(self, *words: str, folder: Path) -> None:
        folder.mkdir()
        self._streams = (folder / "stdout", folder / "stderr")
        self._process = forked_process(target=run_command, args=(words, self._streams))
        self._process.start()

    @property
    def pid(self) -> int:
        """The process, and its group."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, None while the process runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process alone."""
        os.kill(self.pid, number)

    def communicate(self, timeout: float | None = None) -> tuple[str, ...]:
        """Wait for its end and return what it wrote to stdout and stderr."""
        self._process.join(timeout)
        assert self.returncode is not None, "the process does not end"
        return tuple(path.read_text() for path in self._streams)
