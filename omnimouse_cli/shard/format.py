"""The bytes of a shard: a safetensors header, and data that starts on a page.

Layout: 8 bytes with the length of the header (little endian), the header (JSON, padded with
spaces so that the data starts at a multiple of 4096), the tensors without gaps. The header's
`__metadata__` holds `format`, `version`, `description` (JSON text) and `checksum`: of all bytes
before the data, taken while the checksum's own digits are zeros. Checksums name their algorithm
(`checksum.py`); a shard with another one is refused.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

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
# safetensors itself refuses longer headers.
MAX_HEADER_BYTES = 100_000_000
_LENGTH = struct.Struct("<Q")
_NO_CHECKSUM = format_checksum(NO_DIGITS)

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


def read_header(path: Path) -> Header:
    """Read and check everything before the data of a shard, and the length of the file.

    Raises:
        LaterVersionError: The file is a shard of a later version, or has a later checksum.
        ShardError: The file is missing, no shard, damaged or cut short.
    """
    try:
        file_bytes = path.stat().st_size
        with path.open("rb") as stream:
            length_field = stream.read(_LENGTH.size)
            length = _length_of(length_field, path, file_bytes)
            raw = length_field + stream.read(length)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise ShardError(
            f"{path} is not a file", hint="`omnimouse preprocess` writes shards"
        ) from error
    header = _parse(raw, path)
    _check_layout(header, path)
    _check_length(header, path, file_bytes)
    return header


def _length_of(field: bytes, path: Path, file_bytes: int) -> int:
    if len(field) < _LENGTH.size:
        raise _cut_short(path, f"it has {file_bytes} bytes, which is no header")
    length: int = _LENGTH.unpack(field)[0]
    if length > MAX_HEADER_BYTES:
        raise _damaged(path, f"its header would have {length} bytes")
    if _LENGTH.size + length > file_bytes:
        raise _cut_short(
            path, f"its header ends at byte {_LENGTH.size + length}, the file at {file_bytes}"
        )
    return length


def _parse(raw: bytes, path: Path) -> Header:
    try:
        table = json.loads(raw[_LENGTH.size :])
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, f"its header is not JSON ({error})") from error
    metadata = table.pop("__metadata__", None) if isinstance(table, dict) else None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ShardError(
            f"{path} is not an omnimouse shard: its header does not say `{FORMAT}`",
            hint="give the folder that `omnimouse preprocess` wrote",
        )
    _check_version(metadata.get("version"), path)
    checksum = str(metadata.get("checksum"))
    require_known_algorithm(checksum, path)
    plain = raw.replace(checksum.encode(), _NO_CHECKSUM.encode(), 1)
    if compute_checksum(plain) != checksum:
        raise _damaged(path, "its header does not match its checksum")
    tensors = {
        name: TensorEntry(
            dtype=entry["dtype"],
            shape=tuple(entry["shape"]),
            first_byte=entry["data_offsets"][0],
            last_byte=entry["data_offsets"][1],
        )
        for name, entry in table.items()
    }
    return Header(tensors=tensors, description=metadata["description"], data_start=len(raw))


def _check_version(version: object, path: Path) -> None:
    if version == str(VERSION):
        return
    if isinstance(version, str) and version.isdecimal() and int(version) > VERSION:
        raise LaterVersionError(
            f"{path} has shard version {version}; this omnimouse reads version {VERSION}",
            hint="install a newer omnimouse, or preprocess into another folder",
        )
    raise _damaged(path, f"its version is {version!r}")


def _check_layout(header: Header, path: Path) -> None:
    position = 0
    for name, entry in sorted(
        header.tensors.items(), key=lambda item: (item[1].first_byte, item[1].last_byte)
    ):
        if entry.dtype not in NUMPY_DTYPES:
            raise _damaged(path, f"tensor `{name}` has the unknown type {entry.dtype}")
        size = math.prod(entry.shape) * NUMPY_DTYPES[entry.dtype].itemsize
        if entry.first_byte != position or entry.last_byte != position + size:
            raise _damaged(path, f"tensor `{name}` does not lie where its shape says")
        position = entry.last_byte


def _check_length(header: Header, path: Path, file_bytes: int) -> None:
    if file_bytes > header.file_bytes:
        raise _damaged(path, f"it has {file_bytes} bytes, its tensors end at {header.file_bytes}")
    if file_bytes < header.file_bytes:
        held = file_bytes - header.data_start
        name, entry = min(
            ((n, t) for n, t in header.tensors.items() if t.last_byte > held),
            key=lambda item: item[1].last_byte,
        )
        last_byte = header.data_start + entry.last_byte
        raise _cut_short(
            path, f"tensor `{name}` ends at byte {last_byte}, the file at {file_bytes}"
        )


def _cut_short(path: Path, reason: str) -> ShardError:
    return ShardError(
        f"{path} is cut short: {reason}", hint="copy it again, or preprocess the recording again"
    )


def _damaged(path: Path, reason: str) -> ShardError:
    return ShardError(
        f"{path} is damaged: {reason}", hint="copy it again, or preprocess the recording again"
    )
