"""The rows of a sequence device on disk, data.mem or data.npy, read block by block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.meta import Meta, read_array

_COMPARED_ROWS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """A matrix on disk, time x channel, which is opened anew for each read.

    Args:
        path: The file.
        dtype: Dtype of the stored values.
        num_rows: Number of rows.
        num_columns: Number of columns.
        offset_bytes: Position of the first value.
        column_major: Whether the file stores one column after the other.
    """

    path: Path
    dtype: np.dtype[Any]
    num_rows: int
    num_columns: int
    offset_bytes: int = 0
    column_major: bool = False

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows `first` to `last` (excluded) as float32 `(last - first, num_columns)`.

        Raises:
            RecordingError: The file has become unreadable or shorter.
        """
        assert 0 <= first <= last <= self.num_rows
        if first == last:
            return np.empty((0, self.num_columns), np.float32)
        rows = self._read_columns(first, last) if self.column_major else self._read(first, last)
        return rows.astype(np.float32, copy=False)

    def _read(self, first: int, last: int) -> NDArray[Any]:
        row_bytes = self.num_columns * self.dtype.itemsize
        rows = np.empty((last - first, self.num_columns), self.dtype)
        # No memory map: mapped pages would count as resident memory of the process.
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset_bytes + first * row_bytes)
                num_read = stream.readinto(rows.reshape(-1).view(np.uint8).data)
        except OSError as error:
            raise RecordingError(
                f"{self.path} cannot be read any more: {error.strerror}",
                hint="check the recording's disk",
            ) from error
        if num_read != rows.nbytes:
            raise RecordingError(
                f"{self.path} was cut short while it was read: rows {first} to {last} need "
                f"{rows.nbytes} bytes, {num_read} were found"
            )
        return rows

    def _read_columns(self, first: int, last: int) -> NDArray[Any]:
        mapped = np.memmap(
            self.path,
            self.dtype,
            mode="r",
            offset=self.offset_bytes,
            shape=(self.num_rows, self.num_columns),
            order="F",
        )
        return np.array(mapped[first:last], order="C")


def open_rows(folder: Path, meta: Meta) -> tuple[RowFile, list[str]]:
    """Find the rows of a device by the rules of both versions of the experanto library.

    `is_mem_mapped` selects the file; without it, data.npy is preferred to data.mem.

    Args:
        folder: The device's folder.
        meta: Its meta.yml.

    Returns:
        The rows, and notes for the user.

    Raises:
        RecordingError: There are none, they are truncated, or they disagree with meta.yml.
    """
    mem, npy = folder / "data.mem", folder / "data.npy"
    if not mem.is_file() and not npy.is_file():
        raise RecordingError(
            f"{folder} has neither data.mem nor data.npy", hint="copy the device's data again"
        )
    is_mem_mapped = meta.flag("is_mem_mapped")
    if mem.is_file() and npy.is_file():
        return _choose_file(mem, npy, meta)
    if mem.is_file():
        return _open_mem(mem, meta), []
    note = f"{folder.name}: data.npy is read, since data.mem is missing"
    return _open_npy(npy, meta), [note] if is_mem_mapped else []


def _choose_file(mem: Path, npy: Path, meta: Meta) -> tuple[RowFile, list[str]]:
    is_mem_mapped = meta.flag("is_mem_mapped")
    if is_mem_mapped is None:
        rows = _open_npy(npy, meta)
        if not _have_equal_values(rows, _open_mem(mem, meta)):
            raise RecordingError(
                f"{mem.parent} has data.mem and data.npy with different values, and meta.yml has "
                "no `is_mem_mapped` to choose",
                hint="set `is_mem_mapped` in meta.yml, or move the wrong file away",
            )
        return rows, []
    chosen, other = (mem, npy) if is_mem_mapped else (npy, mem)
    openers = {mem: _open_mem, npy: _open_npy}
    rows = openers[chosen](chosen, meta)
    try:
        is_same = _have_equal_values(rows, openers[other](other, meta))
    except RecordingError:
        is_same = False
    if is_same:
        return rows, []
    return rows, [
        f"{mem.parent.name}: {chosen.name} is read, as is_mem_mapped says; {other.name} beside it "
        "holds other values"
    ]


def _have_equal_values(one: RowFile, other: RowFile) -> bool:
    """Compare rows spread over both files; comparing whole sessions would take minutes."""
    if (one.num_rows, one.num_columns) != (other.num_rows, other.num_columns):
        return False
    rows = np.unique(np.linspace(0, max(one.num_rows - 1, 0), _COMPARED_ROWS).astype(int))
    return all(
        np.array_equal(one.read(row, row + 1), other.read(row, row + 1), equal_nan=True)
        for row in rows[: one.num_rows].tolist()
    )


def _open_mem(path: Path, meta: Meta) -> RowFile:
    name = meta.text("dtype")
    try:
        dtype = np.dtype(name)
    except TypeError as error:
        raise RecordingError(f"{meta.source}: `dtype` is not a NumPy dtype: {name}") from error
    if dtype.kind not in "biuf":
        raise RecordingError(f"{meta.source}: `dtype` must be a real number type: {dtype}")
    num_rows, num_columns = meta.count("n_timestamps"), meta.count("n_signals")
    expected = num_rows * num_columns * dtype.itemsize
    found = path.stat().st_size
    shape = f"n_timestamps {num_rows} x n_signals {num_columns} x {dtype.itemsize} bytes of {dtype}"
    if found < expected:
        raise RecordingError(
            f"{path} is truncated: {shape} need {expected} bytes, {found} were found",
            hint="copy the file again, or correct meta.yml",
        )
    if found > expected:
        raise RecordingError(
            f"{path} disagrees with meta.yml: {shape} are {expected} bytes, {found} were found",
            hint="check `n_timestamps`, `n_signals` and `dtype` in meta.yml",
        )
    return RowFile(path=path, dtype=dtype, num_rows=num_rows, num_columns=num_columns)


def _open_npy(path: Path, meta: Meta) -> RowFile:
    mapped = cast("np.memmap[Any, Any]", read_array(path, mmap_mode="r"))
    if mapped.ndim not in (1, 2):
        raise RecordingError(f"{path} must be time x channel: its shape is {mapped.shape}")
    num_rows, num_columns = mapped.shape if mapped.ndim == 2 else (mapped.shape[0], 1)
    for key, found in (("n_signals", num_columns), ("n_timestamps", num_rows)):
        expected = meta.optional_count(key)
        if expected is not None and expected != found:
            raise RecordingError(
                f"{meta.source}: `{key}` is {expected}, but {path.name} has shape {mapped.shape}",
                hint=f"correct `{key}`, or export the device again",
            )
    return RowFile(
        path=path,
        dtype=mapped.dtype,
        num_rows=num_rows,
        num_columns=num_columns,
        offset_bytes=int(mapped.offset),
        column_major=not mapped.flags.c_contiguous,
    )
