"""Checksums of a data set's shards, compared in the background while batches are drawn."""

import threading

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.errors import ShardError
from omnimouse_cli.shard.verify import verify_shard


class Verification:
    """A thread that reads every byte of every shard once.

    Args:
        dataset: Its shards are compared with their checksums, one after the other.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._paths = [session.path for session in dataset.sessions]
        self._error: ShardError | None = None
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="omnimouse-verify", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Say so if a shard was found that is damaged.

        Raises:
            ShardError: The first one; the text names the tensor.
        """
        if self._error is not None:
            raise self._error

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end; give whether it came in time."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End the thread, after the block that it reads."""
        self._is_stopped.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for path in self._paths:
                verify_shard(path, self._advance)
        except ShardError as error:
            self._error = error
        except OSError as error:
            self._error = ShardError(f"a shard cannot be read again: {error}")
        except _StoppedError:
            return

    def _advance(self, _num_bytes: float) -> None:
        if self._is_stopped.is_set():
            raise _StoppedError


class _StoppedError(Exception):
    """Nobody wants to know any more."""
