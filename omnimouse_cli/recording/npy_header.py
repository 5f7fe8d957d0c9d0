"""The header of an array in NumPy's file format."""

import tokenize
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy


def read_npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the first index runs fastest, and dtype; the data follow in the stream.

    Raises:
        ValueError: The stream holds no array, or its header is damaged.

    Example:
        >>> import io
        >>> stream = io.BytesIO()
        >>> np.save(stream, np.zeros((2, 3), np.float32))
        >>> _ = stream.seek(0)
        >>> read_npy_header(stream)
        ((2, 3), False, dtype('float32'))
    """
    # Only version 1.0 has a short field for the header's length.
    is_first = npy.read_magic(stream) == (1, 0)
    read = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
    try:
        shape, column_major, dtype = read(stream)
    # NumPy reads a header that is no Python literal once more as Python 2 wrote it.
    except tokenize.TokenError as error:
        raise ValueError(f"its header is damaged: {error.args[0]}") from error
    return tuple(shape), bool(column_major), dtype
