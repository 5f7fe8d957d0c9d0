"""The bytes of a shard: a safetensors header, and data that start on a page.

Layout: 8 bytes with the length of the header (little endian), the header (JSON, padded with
spaces so that the data starts at a multiple of 4096), the tensors without gaps. The header's
`__metadata__` holds `format`, `version`, `description` (JSON text) and `checksum`: of all bytes
before the data, taken while the checksum's own digits are zeros. Checksums name their algorithm
(`checksum.py`); a shard with another one is refused.
"""

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from omnimouse_cli import _native
from omnimouse_cli.errors import LaterVersionError, ShardError
from omnimouse_cli.shard.checksum import (
    NO_DIGITS,
    compute_checksum,
    format_checksum,
    require_known_algorithm,
)

FORMAT = "omnimouse-shard"
VERSION = 1
DATA_ALIGNMENT_BYTES = 4096
_LENGTH = struct.Struct("<Q")
_NO_CHECKSUM = format_checksum(NO_DIGITS)
_DAMAGE_HINT = (
    "copy the file again, or make it again with `omnimouse preprocess --force`; "
    "`omnimouse inspect --verify` checks all shards"
)

# bfloat16 does not exist in NumPy: its bits are read as uint16.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "I32": np.dtype("<i4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorEntry:
    """Type, shape, first and last (exclusive) byte of a tensor, counted from the data's start."""

    dtype: str
    shape: tuple[int, ...]
    first_byte: int
    last_byte: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Content of the header: the tensors' positions and the description's JSON text."""

    tensors: Mapping[str, TensorEntry]
    description: str
    data_start: int

    @property
    def file_bytes(self) -> int:
        """Length of the whole file."""
        return self.data_start + max((t.last_byte for t in self.tensors.values()), default=0)


def aligned(num_bytes: int) -> int:
    """Return `num_bytes` rounded up to the alignment of the data."""
    return -(-num_bytes // DATA_ALIGNMENT_BYTES) * DATA_ALIGNMENT_BYTES


def build_header(
    tensors: Mapping[str, TensorEntry], description: str, *, header_bytes: int
) -> bytes:
    """Return the `header_bytes` bytes before the data, including the length field."""
    assert header_bytes == aligned(header_bytes), "data must start on a page"
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "checksum": _NO_CHECKSUM,
        "description": description,
    }
    table: dict[str, object] = {"__metadata__": metadata}
    for name, entry in tensors.items():
        table[name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [entry.first_byte, entry.last_byte],
        }
    text = json.dumps(table, separators=(",", ":")).encode()
    length = header_bytes - _LENGTH.size
    assert len(text) <= length, f"a header of {len(text)} bytes does not fit into {length}"
    plain = _LENGTH.pack(length) + text.ljust(length)
    return plain.replace(_NO_CHECKSUM.encode(), compute_checksum(plain).encode(), 1)


def reserved_header_bytes(description: str, *, num_tensors: int) -> int:
    """Return the bytes to reserve for a header whose description may still change its numbers."""
    # Quotes are escaped once more in the header; numbers and checksums grow by less than this.
    quoted = len(json.dumps(description))
    return aligned(quoted + 512 * num_tensors + 16384)


@contextmanager
def native_errors_as_shard_errors() -> Iterator[None]:
    """Raise errors of the Rust extension about a file as `ShardError`; their text names the file.

    Raises:
        LaterVersionError: The file is a shard of a later version.
        ShardError: The file is missing, unreadable, no shard, damaged or cut short.
    """
    try:
        yield
    except _native.LaterVersionError as error:
        raise LaterVersionError(
            str(error), hint="install a newer omnimouse, or preprocess into another folder"
        ) from error
    except _native.ShardFormatError as error:
        raise ShardError(str(error), hint=_DAMAGE_HINT) from error
    except OSError as error:
        raise ShardError(
            str(error), hint="put the shard back, or make it with `omnimouse preprocess`"
        ) from error


def is_foreign(path: Path) -> bool:
    """Return whether a file is a safetensors file of another program, as weights are.

    A shard that is damaged or cut short is not foreign.
    """
    # `build_header` writes this first; a shard that is cut short has a part of it.
    first = f'{{"__metadata__":{{"format":"{FORMAT}"'.encode()
    with path.open("rb") as stream:
        stream.seek(_LENGTH.size)
        # Another writer of JSON may put spaces after colons.
        start = stream.read(2 * len(first)).replace(b" ", b"")[: len(first)]
    return start.startswith(b"{") and not first.startswith(start)


def read_header(path: Path) -> Header:
    """Read and check everything before the data of a shard, and the length of the file.

    Raises:
        LaterVersionError: The file is a shard of a later version, or has a later checksum.
        ShardError: The file is missing, no shard, damaged or cut short.
    """
    with native_errors_as_shard_errors():
        metadata, entries, head = _native.read_header(path)
    checksum = metadata.get("checksum", "")
    require_known_algorithm(checksum, path)
    plain = head.replace(checksum.encode(), _NO_CHECKSUM.encode(), 1)
    if compute_checksum(plain) != checksum or "description" not in metadata:
        raise ShardError(
            f"{path} is damaged: its header does not match its checksum", hint=_DAMAGE_HINT
        )
    tensors = {
        name: TensorEntry(dtype=dtype, shape=tuple(shape), first_byte=first, last_byte=last)
        for name, dtype, shape, first, last in entries
    }
    return Header(tensors=tensors, description=metadata["description"], data_start=len(head))
