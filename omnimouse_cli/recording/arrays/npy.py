"""One array of numbers on disk, in a `.npy` file or inside an `.npz`, read in parts."""

import contextlib
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.npy_header import (
    parse_npy_header,
    read_bytes,
    read_npy_header,
    require_numbers,
)

# A compressed array has to be unpacked as a whole, so only a small one is read.
_MAX_UNPACKED_BYTES = 256 * 2**20
# What zipfile raises for damaged, encrypted and unknown contents.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError)
# Of the local header of a file in a zip: its length without name and extra field.
_LOCAL_HEADER_BYTES = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredArray:
    """An array of numbers that stays on disk; the file is opened anew for each read.

    Plain reads instead of a memory map: mapped pages count as memory of the process, and some file
    systems have no mmap.

    Args:
        source: The file, or the file and the array in it, for messages.
        path: The file.
        shape: Shape of the array.
        dtype: Dtype of the stored values.
        offset_bytes: Position of the first value.
        column_major: Whether the first index varies fastest (Fortran order).
        values: The array itself where it had to be unpacked; None where it stays on disk.
    """

    source: str
    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset_bytes: int = 0
    column_major: bool = False
    values: NDArray[Any] | None = None

    def read(self, first: int, last: int) -> NDArray[Any]:
        """Return `array[first:last]`.

        Raises:
            RecordingError: The file has become unreadable or shorter.
        """
        assert 0 <= first <= last <= self.shape[0]
        if self.values is not None:
            return self.values[first:last]
        if self.column_major and len(self.shape) == 2:
            return self._read_runs(np.arange(self.shape[1]), first, last, self.shape[0]).T
        if self.column_major and len(self.shape) > 2:
            # Values of one index of the first axis are spread over the whole file.
            with _translate_read_errors(self.source):
                mapped = np.memmap(
                    self.path, self.dtype, "r", self.offset_bytes, self.shape, order="F"
                )
                return np.array(mapped[first:last], order="C")
        item = math.prod(self.shape[1:])
        flat = self._read_runs(np.array([0]), first * item, last * item, 0)
        return flat.reshape(last - first, *self.shape[1:])

    def read_lines(self, lines: NDArray[np.int64], first: int, last: int) -> NDArray[Any]:
        """Return `array[lines, first:last]` of an array with two axes.

        Args:
            lines: int64 `(n,)`, indices of the first axis.
            first: First index of the second axis.
            last: Index of the second axis after the last.

        Raises:
            RecordingError: The file has become unreadable or shorter.
        """
        if self.values is not None:
            return self.values[lines, first:last]
        if self.column_major:
            runs = self._read_runs(np.arange(first, last), 0, self.shape[0], self.shape[0])
            return runs.T[lines]
        return self._read_runs(lines, first, last, self.shape[1])

    def load(self) -> NDArray[Any]:
        """Return the whole array.

        Raises:
            RecordingError: The file has become unreadable or shorter.
        """
        return self.read(0, self.shape[0]) if self.shape else self.read_scalar()

    def read_scalar(self) -> NDArray[Any]:
        """Return the only value of an array without axes."""
        if self.values is not None:
            return self.values
        return self._read_runs(np.array([0]), 0, 1, 1).reshape(())

    def _read_runs(
        self, runs: NDArray[np.int64], first: int, last: int, stride: int
    ) -> NDArray[Any]:
        """Return `(len(runs), last - first)` values, of which run r begins at value r * stride."""
        result = np.empty((len(runs), last - first), self.dtype)
        if result.size == 0:
            return result
        with _translate_read_errors(self.source), self.path.open("rb", buffering=0) as stream:
            for row, run in zip(result.view(np.uint8), runs.tolist(), strict=True):
                at = self.offset_bytes + (run * stride + first) * self.dtype.itemsize
                read_bytes(stream, memoryview(row), at)
        return result


def open_npy(path: Path) -> StoredArray:
    """Read the header of a `.npy` file and check the file's length.

    Raises:
        RecordingError: It is no `.npy` file, is truncated, or holds no numbers.
    """
    with _translate_read_errors(str(path)):
        header = read_npy_header(path)
    require_numbers(str(path), header.dtype)
    return StoredArray(
        source=str(path),
        path=path,
        shape=header.shape,
        dtype=header.dtype,
        offset_bytes=header.offset_bytes,
        column_major=header.column_major,
    )


def open_npz_member(path: Path, name: str) -> StoredArray:
    """Read the header of an array in an `.npz`; numbers and texts can be read.

    Args:
        path: The `.npz`.
        name: Name of the array.

    Raises:
        RecordingError: The array is damaged, of Python objects, or compressed and large.
    """
    source = f"{path}: {name}"
    with _translate_read_errors(source), zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        is_stored = entry.compress_type == zipfile.ZIP_STORED
        if not is_stored and entry.file_size > _MAX_UNPACKED_BYTES:
            raise RecordingError(
                f"{source} is compressed and has {entry.file_size / 2**20:,.0f} MiB; compressed "
                f"arrays of more than {_MAX_UNPACKED_BYTES // 2**20} MiB cannot be read in parts",
                hint="write it by np.savez instead of np.savez_compressed, or as .npy files",
            )
        with archive.open(entry) as stream:
            header = parse_npy_header(stream)
            is_text = header.dtype.kind in "US"
            if not is_text:
                require_numbers(source, header.dtype)
            values = None
            if not is_stored or is_text:
                flat = np.frombuffer(stream.read(), header.dtype, count=math.prod(header.shape))
                values = flat.reshape(header.shape, order="F" if header.column_major else "C")
                # UnicodeDecodeError is a ValueError.
                if header.dtype.kind == "S":
                    values = np.char.decode(values, "utf-8")
    return StoredArray(
        source=source,
        path=path,
        shape=header.shape,
        dtype=header.dtype if values is None else values.dtype,
        offset_bytes=header.offset_bytes + _data_offset(path, entry.header_offset),
        column_major=header.column_major,
        values=values,
    )


def _data_offset(path: Path, header_offset: int) -> int:
    """Return where the bytes of a file begin in a zip, of which only its own header knows."""
    with path.open("rb") as stream:
        stream.seek(header_offset)
        header = stream.read(_LOCAL_HEADER_BYTES)
    name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
    return header_offset + _LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)


@contextlib.contextmanager
def _translate_read_errors(source: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, EOFError, OSError, KeyError, struct.error, *ZIP_ERRORS) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise RecordingError(
            f"{source} cannot be read as an array: {reason}", hint="copy or write the file again"
        ) from error
