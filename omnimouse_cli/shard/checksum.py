"""Checksums of a shard: the first 128 bits of BLAKE3, written `blake3-128:hex`."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import Checksum
from omnimouse_cli.errors import LaterVersionError, ShardError

ALGORITHM = "blake3-128"
NO_DIGITS = "0" * 32

_BLOCK_BYTES = 4 * 2**20

_CHECKSUM_TEXT = re.compile(r"([a-z0-9-]{1,32}):[0-9a-f]+")


def format_checksum(digits: str) -> str:
    """Return hexadecimal digits as a checksum is written: `blake3-128:hex`."""
    return f"{ALGORITHM}:{digits}"


def compute_checksum(data: bytes | NDArray[np.uint8]) -> str:
    """Return the checksum of `data` as it is written."""
    checksum = Checksum()
    checksum.update(data)
    return format_checksum(checksum.hexdigest())


def compute_file_checksum(path: Path) -> str:
    """Return the checksum of a whole file as it is written."""
    checksum = Checksum()
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(_BLOCK_BYTES):
            checksum.update(block)
    return format_checksum(checksum.hexdigest())


def require_known_algorithm(text: str, path: Path) -> None:
    """Check that a checksum of the shard at `path` is one that this omnimouse can compute.

    Raises:
        LaterVersionError: The algorithm is not `blake3-128`.
        ShardError: The text is no checksum.
    """
    match = _CHECKSUM_TEXT.fullmatch(text)
    if match is None:
        raise ShardError(
            f"{path} is damaged: it has a checksum that is not written `algorithm:hex`",
            hint="copy it again, or preprocess the recording again",
        )
    if match[1] != ALGORITHM:
        raise LaterVersionError(
            f"{path} has a checksum of the kind `{match[1]}`; this omnimouse knows {ALGORITHM}",
            hint="install a newer omnimouse, or preprocess into another folder",
        )
