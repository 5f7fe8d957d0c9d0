"""Checksums of a shard, written `algorithm:hex`; older shards have another algorithm."""

import hashlib
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from omnimouse_cli._native import Checksum
from omnimouse_cli.errors import LaterVersionError, ShardError

# BLAKE3, the first 128 bits of its output.
CHECKSUM_ALGORITHM = "blake3-128"
NO_DIGITS = "0" * 32


class RunningChecksum(Protocol):
    """A checksum that is fed bytes."""

    def update(self, data: bytes, /) -> None:
        """Add bytes."""

    def hexdigest(self) -> str:
        """Give the digits of all bytes until now."""


# How each is started.
ALGORITHMS: Mapping[str, Callable[[], RunningChecksum]] = {
    CHECKSUM_ALGORITHM: Checksum,
    "blake2b-128": partial(hashlib.blake2b, digest_size=16),
}

_WRITTEN = re.compile(r"([a-z0-9-]{1,32}):[0-9a-f]+")


def checksum_text(digits: str, algorithm: str = CHECKSUM_ALGORITHM) -> str:
    """Give a checksum as it is written: `algorithm:hex`."""
    return f"{algorithm}:{digits}"


def checksum_of(data: bytes, algorithm: str = CHECKSUM_ALGORITHM) -> str:
    """Give the checksum of `data` as it is written."""
    checksum = ALGORITHMS[algorithm]()
    checksum.update(data)
    return checksum_text(checksum.hexdigest(), algorithm)


def algorithm_of(text: str, path: Path) -> str:
    """Name the algorithm of a checksum that stands in the shard at `path`.

    Raises:
        LaterVersionError: This omnimouse has no such algorithm.
        ShardError: The text is no checksum.
    """
    written = _WRITTEN.fullmatch(text)
    if written is None:
        raise ShardError(
            f"{path} is damaged: it has a checksum that is not written `algorithm:hex`",
            hint="copy it again, or preprocess the recording again",
        )
    algorithm = written[1]
    if algorithm not in ALGORITHMS:
        raise LaterVersionError(
            f"{path} has a checksum of the kind `{algorithm}`; this omnimouse knows "
            f"{' and '.join(ALGORITHMS)}",
            hint="install a newer omnimouse, or preprocess into another folder",
        )
    return algorithm
