"""Verification of shards: every byte is read again and compared with the header's checksums."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from omnimouse_cli._native import Checksum
from omnimouse_cli.errors import ShardError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.blocks import BLOCK_BYTES
from omnimouse_cli.shard.checksum import format_checksum
from omnimouse_cli.shard.read import open_shard, require_checksum

# A tenth of the rate of one disk or one client of a network file system.
MAX_BYTES_PER_SECOND = 100e6


def verify_shard(path: Path, advance: Callable[[float], None]) -> None:
    """Compare every tensor with its checksum; the header has been compared when it was opened.

    Args:
        path: The shard.
        advance: Called with the number of bytes of each block that was read.

    Raises:
        LaterVersionError: A checksum has an unknown algorithm.
        ShardError: The shard is damaged; the text names the first damaged tensor.
    """
    shard = open_shard(path)
    with path.open("rb", buffering=0) as stream:
        for name, entry in shard.header.tensors.items():
            stream.seek(shard.header.data_start + entry.first_byte)
            checksum = Checksum()
            remaining = entry.last_byte - entry.first_byte
            while remaining:
                block = stream.read(min(remaining, BLOCK_BYTES))
                if not block:
                    raise ShardError(f"{path} has become shorter while tensor `{name}` was read")
                checksum.update(block)
                remaining -= len(block)
                advance(len(block))
            require_checksum(shard, name, format_checksum(checksum.hexdigest()))


def verify_shards(paths: Sequence[Path], reporter: Reporter) -> tuple[ShardError, ...]:
    """Verify every shard, also after a damaged one, and return the errors that were found.

    Args:
        paths: The shards.
        reporter: Shows the progress.
    """
    errors = []
    for path in paths:
        task = f"verifying {path.name}"
        reporter.start(task, path.stat().st_size if path.exists() else None)
        try:
            verify_shard(path, partial(reporter.advance, task))
        except ShardError as error:
            errors.append(error)
        reporter.finish(task)
    return tuple(errors)


def find_damage(path: Path) -> ShardError | None:
    """Return the error of the first damaged tensor of a shard; None if every byte is as written."""
    try:
        verify_shard(path, lambda _num_bytes: None)
    except ShardError as error:
        return error
    return None


class BackgroundVerification:
    """A thread that verifies shards once, one after the other.

    Args:
        paths: The shards.
        max_bytes_per_second: Limit of the rate of reading, so that training can use the disk.
    """

    def __init__(
        self, paths: Sequence[Path], max_bytes_per_second: float = MAX_BYTES_PER_SECOND
    ) -> None:
        self._paths = tuple(paths)
        self._max_bytes_per_second = max_bytes_per_second
        self._start_time = time.monotonic()
        self._num_bytes = 0.0
        self._error: ShardError | None = None
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="omnimouse-verify", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the error of the first damaged shard that was found until now, if any.

        Raises:
            ShardError: A shard is damaged; the text names the tensor.
        """
        if self._error is not None:
            raise self._error

    def wait(self, timeout_seconds: float) -> bool:
        """Wait until all shards are verified; return whether that was within the timeout."""
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """End the thread after the block that it reads."""
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

    def _advance(self, num_bytes: float) -> None:
        self._num_bytes += num_bytes
        elapsed = time.monotonic() - self._start_time
        ahead = self._num_bytes / self._max_bytes_per_second - elapsed
        if self._is_stopped.wait(max(ahead, 0.0)):
            raise _StoppedError


class _StoppedError(Exception):
    """The verification was stopped."""
