"""Writing a shard as a stream: tensors first, the header last into the space kept for it."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import Checksum
from omnimouse_cli.files import PARTIAL_SUFFIX, lock, write_atomically
from omnimouse_cli.shard.checksum import compute_checksum, format_checksum
from omnimouse_cli.shard.format import NUMPY_DTYPES, TensorEntry, build_header


class ShardWriter:
    """Appends tensors to a shard; `finish` writes the header.

    Args:
        stream: The empty file.
        header_bytes: Space before the data, a multiple of 4096.
    """

    def __init__(self, stream: BinaryIO, *, header_bytes: int) -> None:
        self._stream = stream
        self._header_bytes = header_bytes
        self._position = 0
        self._tensors: dict[str, TensorEntry] = {}
        self.checksums: dict[str, str] = {}
        stream.write(bytes(header_bytes))

    def write_array(self, name: str, dtype: str, array: NDArray[Any]) -> None:
        """Append a whole tensor of a safetensors `dtype`."""
        self.write_rows(name, dtype, array.shape[1:], [array])

    def write_rows(
        self, name: str, dtype: str, row_shape: tuple[int, ...], blocks: Iterable[NDArray[Any]]
    ) -> int:
        """Append a tensor from blocks, each `(rows, *row_shape)`; return its number of rows."""
        self._begin(name, dtype)
        checksum, num_rows = Checksum(), 0
        for block in blocks:
            assert block.shape[1:] == row_shape, f"{name}: {block.shape} is not (*, {row_shape})"
            data = np.ascontiguousarray(block, dtype=NUMPY_DTYPES[dtype]).tobytes()
            checksum.update(data)
            self._stream.write(data)
            num_rows += len(block)
        self._end(name, dtype, (num_rows, *row_shape))
        self.checksums[name] = format_checksum(checksum.hexdigest())
        return num_rows

    def write_external(
        self,
        name: str,
        dtype: str,
        row_shape: tuple[int, ...],
        write: Callable[[int, int], tuple[int, str]],
    ) -> None:
        """Append a tensor whose rows the extension writes into the file.

        Args:
            name: Name of the tensor.
            dtype: A safetensors type.
            row_shape: Shape of one row.
            write: `write(descriptor, first_byte)` writes rows without gaps from a byte of the open
                file on, and returns their number and the hexadecimal digits of their checksum.
        """
        self._begin(name, dtype)
        self._stream.flush()
        num_rows, digits = write(self._stream.fileno(), self._header_bytes + self._position)
        self._end(name, dtype, (num_rows, *row_shape))
        self.checksums[name] = format_checksum(digits)

    def write_sparse(
        self, name: str, dtype: str, shape: tuple[int, ...], end: NDArray[Any]
    ) -> None:
        """Append a tensor of zeros that takes no space on disk, except for its last rows, `end`.

        It gets no checksum, because the zeros are not read.
        """
        assert end.shape[1:] == shape[1:], f"{name}: {end.shape} does not end {shape}"
        data = np.ascontiguousarray(end, dtype=NUMPY_DTYPES[dtype]).tobytes()
        self._begin(name, dtype)
        self._end(name, dtype, shape)
        self._stream.seek(-len(data), os.SEEK_CUR)
        self._stream.write(data)

    def finish(self, description: str) -> None:
        """Write the header; `description` is the JSON text, checksums included."""
        header = build_header(self._tensors, description, header_bytes=self._header_bytes)
        self._stream.seek(0)
        self._stream.write(header)

    def _begin(self, name: str, dtype: str) -> None:
        assert name not in self._tensors, f"tensor {name} is written twice"
        # Tensors are mapped in place, so they start at a multiple of their item size. The format
        # allows no gaps between tensors, so the padding is a tensor as well.
        num_bytes = -self._position % NUMPY_DTYPES[dtype].itemsize
        if num_bytes:
            padding = f"padding.{len(self._tensors)}"
            self._stream.write(bytes(num_bytes))
            self._end(padding, "U8", (num_bytes,))
            self.checksums[padding] = compute_checksum(bytes(num_bytes))

    def _end(self, name: str, dtype: str, shape: tuple[int, ...]) -> None:
        first_byte = self._position
        self._position += math.prod(shape) * NUMPY_DTYPES[dtype].itemsize
        self._tensors[name] = TensorEntry(
            dtype=dtype, shape=shape, first_byte=first_byte, last_byte=self._position
        )
        self._stream.seek(self._header_bytes + self._position)


@contextmanager
def open_shard_writer(path: Path, *, header_bytes: int) -> Iterator[ShardWriter]:
    """Open a writer on a temporary file that becomes `path` when the block succeeds."""
    with write_atomically(path) as stream:
        # `remove_abandoned` of another process leaves a file alone that is locked.
        lock(stream.fileno(), wait=True)
        yield ShardWriter(stream, header_bytes=header_bytes)


def remove_abandoned(folder: Path) -> int:
    """Delete the temporary files of processes that were killed; return their number.

    They stay on a file system without locks, where another process may still write them, and where
    they cannot be opened for writing.
    """
    num_removed = 0
    for path in sorted(folder.glob(f".*.safetensors.*{PARTIAL_SUFFIX}")):
        try:
            with path.open("r+b") as stream:
                if lock(stream.fileno(), wait=False):
                    path.unlink()
                    num_removed += 1
        except (BlockingIOError, FileNotFoundError, PermissionError):
            continue
    return num_removed
