"""The header and the bytes of an array in NumPy's file format."""

import math
import os
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.text import pluralize


@dataclass(frozen=True, slots=True, kw_only=True)
class NpyHeader:
    """The header of a `.npy` file.

    Args:
        shape: Shape of the array.
        dtype: Its dtype.
        column_major: Whether the first of several indices runs fastest (Fortran order).
        offset_bytes: Position of the first value.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    column_major: bool
    offset_bytes: int


def parse_npy_header(stream: IO[bytes]) -> NpyHeader:
    """Read the header of a stream, of which the values are what follows.

    Raises:
        ValueError: The stream holds no array, or its header is damaged.

    Example:
        >>> import io
        >>> stream = io.BytesIO()
        >>> np.save(stream, np.zeros((2, 3), np.float32))
        >>> _ = stream.seek(0)
        >>> parse_npy_header(stream).shape
        (2, 3)
    """
    # Only version 1.0 has a short field for the header's length.
    is_first = npy.read_magic(stream) == (1, 0)
    read = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
    try:
        shape, column_major, dtype = read(stream)
    # NumPy reads a header that is no Python literal once more as Python 2 wrote it.
    except tokenize.TokenError as error:
        raise ValueError(f"its header is damaged: {error.args[0]}") from error
    return NpyHeader(
        shape=tuple(shape),
        dtype=dtype,
        column_major=bool(column_major) and len(shape) > 1,
        offset_bytes=stream.tell(),
    )


def read_npy_header(path: Path) -> NpyHeader:
    """Read the header of a `.npy` file, and check the file's length.

    Raises:
        ValueError: The file is no `.npy` file, or truncated.
        OSError: The file cannot be read.
    """
    with path.open("rb") as stream:
        header = parse_npy_header(stream)
    end = header.offset_bytes + math.prod(header.shape) * header.dtype.itemsize
    missing = end - path.stat().st_size
    # NumPy pickles objects, whose size the header does not give.
    if missing > 0 and not header.dtype.hasobject:
        raise ValueError(
            f"it is truncated: {pluralize(missing, 'byte is', 'bytes are')} missing at its end"
        )
    return header


def require_numbers(source: str, dtype: np.dtype[Any]) -> None:
    """Raise RecordingError unless values are real numbers.

    Args:
        source: File and array, for the message.
        dtype: Dtype of the values.
    """
    if dtype.hasobject:
        raise RecordingError(
            f"{source} holds pickled Python objects, which are not read",
            hint="save plain numbers: np.save(path, np.asarray(values, dtype=float))",
        )
    if dtype.kind not in "biuf":
        raise RecordingError(
            f"{source} must hold numbers: its dtype is {dtype}",
            hint="save plain numbers: np.save(path, np.asarray(values, dtype=float))",
        )


def read_bytes(stream: BinaryIO, target: memoryview, at: int) -> None:
    """Fill `target` with the bytes of a file from position `at` on.

    Raises:
        ValueError: The file is shorter.
        OSError: The file cannot be read.
    """
    done = 0
    while done < len(target):
        # A single read ends at 2 GB, and where a network file system says so.
        num_read = os.preadv(stream.fileno(), [target[done:]], at + done)
        if num_read == 0:
            raise ValueError(
                f"it was cut short while it was read: it ends at byte {at + done:,}, "
                f"{len(target) - done:,} bytes early"
            )
        done += num_read
