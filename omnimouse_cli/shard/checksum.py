"""Checksums of a shard, written `algorithm:hex`; older shards have another algorithm."""

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from omnimouse_cli._native import Checksum
from omnimouse_cli.errors import ShardError

# BLAKE3, the first 128 bits of its output.
CHECKSUM_ALGORITHM = "blake3-128"
NO_DIGITS = "0" * 32


class RunningChecksum(Protocol):
    """A checksum that is fed bytes."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Give the digits of all bytes until now."""


_ALGORITHMS: Mapping[str, Callable[[], RunningChecksum]] = {
    CHECKSUM_ALGORITHM: Checksum,
    "blake2b-128": partial(hashlib.blake2b, digest_size=16),
}


def new_checksum() -> Checksum:
    """Start a checksum of the kind that shards are written with."""
    return Checksum()


def checksum_text(digits: str, algorithm: str = CHECKSUM_ALGORITHM) -> str:
    """Give a checksum as it is written: `algorithm:hex`."""
    return f"{algorithm}:{digits}"


def checksum_of(data: bytes, algorithm: str = CHECKSUM_ALGORITHM) -> str:
    """Give the checksum of `data` as it is written."""
    checksum = _ALGORITHMS[algorithm]()
    checksum.update(data)
    return checksum_text(checksum.hexdigest(), algorithm)


def started_again(algorithm: str) -> RunningChecksum:
    """Start a checksum of an `algorithm` that `algorithm_of` knows."""
    return _ALGORITHMS[algorithm]()


def algorithm_of(text: str, path: Path) -> str:
    """Name the algorithm of a checksum that stands in the shard at `path`.

    Raises:
        ShardError: This omnimouse has no such algorithm.
    """
    algorithm = text.partition(":")[0]
    if algorithm not in _ALGORITHMS:
        known = " and ".join(_ALGORITHMS)
        raise ShardError(
            f"{path} is damaged or newer than this omnimouse: it has a checksum of the kind "
            f"`{algorithm[:32]}`, and {known} are known",
            hint="copy it again, or install a newer omnimouse",
        )
    return algorithm
