"""The rows of a sequence device on disk, data.mem or data.npy, read block by block."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.npy_header import read_bytes, read_npy_header, require_numbers
from omnimouse_cli.recording.times import read_source_rows

TRANSPOSE_HINT = (
    "the array seems to be neurons x time; transpose it to time x neuron, as by "
    'np.save("data.npy", np.load("data.npy").T)'
)

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
        # No memory map: mapped pages would count as resident memory of the process, and not every
        # file system can map.
        try:
            with self.path.open("rb", buffering=0) as stream:
                if self.column_major:
                    rows = self._read_columns(stream, first, last)
                else:
                    rows = np.empty((last - first, self.num_columns), self.dtype)
                    self._read_into(stream, rows, first * self.num_columns)
        except OSError as error:
            raise RecordingError(
                f"{self.path} cannot be read any more: {error.strerror}",
                hint="check the recording's disk",
            ) from error
        return rows.astype(np.float32, copy=False)

    def _read_columns(self, stream: BinaryIO, first: int, last: int) -> NDArray[Any]:
        """Read from each column in turn; where the file can be mapped, that takes no call each."""
        shape = (self.num_rows, self.num_columns)
        try:
            mapped = np.memmap(
                self.path, self.dtype, mode="r", offset=self.offset_bytes, shape=shape, order="F"
            )
            return np.array(mapped[first:last], order="C")
        except (OSError, ValueError):
            pass
        rows = np.empty((last - first, self.num_columns), self.dtype)
        column = np.empty(last - first, self.dtype)
        for number in range(self.num_columns):
            self._read_into(stream, column, number * self.num_rows + first)
            rows[:, number] = column
        return rows

    def _read_into(self, stream: BinaryIO, values: NDArray[Any], first_value: int) -> None:
        at = self.offset_bytes + first_value * self.dtype.itemsize
        try:
            read_bytes(stream, values.reshape(-1).view(np.uint8).data, at)
        except ValueError as error:
            raise RecordingError(f"{self.path} cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampledRows:
    """Rows of a clock, of which some are rows of a file and the others are missing.

    Args:
        rows: The stored rows.
        source_row: int64 `(num_rows,)`, ascending: the stored row of each row, -1 without one.
    """

    rows: RowFile
    source_row: NDArray[np.int64]

    @property
    def num_columns(self) -> int:
        """Number of columns."""
        return self.rows.num_columns

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return rows `first` to `last` (excluded) as float32; missing rows are NaN."""
        return read_source_rows(self.source_row[first:last], self.rows.read, self.num_columns)


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
    try:
        header = read_npy_header(path)
    except (ValueError, EOFError, OSError) as error:
        raise RecordingError(
            f"{path} cannot be read as an array: {error}", hint="copy or export the file again"
        ) from error
    require_numbers(str(path), header.dtype)
    shape = header.shape
    if len(shape) not in (1, 2):
        raise RecordingError(f"{path} must be time x channel: its shape is {shape}")
    num_rows, num_columns = shape if len(shape) == 2 else (shape[0], 1)
    stated = {key: meta.optional_count(key) for key in ("n_signals", "n_timestamps")}
    for key, found in (("n_signals", num_columns), ("n_timestamps", num_rows)):
        if stated[key] is not None and stated[key] != found:
            hint = f"correct `{key}`, or export the device again"
            if stated["n_signals"] == num_rows and stated["n_timestamps"] in (num_columns, None):
                hint = TRANSPOSE_HINT
            raise RecordingError(
                f"{meta.source}: `{key}` is {stated[key]}, but {path.name} has shape {shape}",
                hint=hint,
            )
    return RowFile(
        path=path,
        dtype=header.dtype,
        num_rows=num_rows,
        num_columns=num_columns,
        offset_bytes=header.offset_bytes,
        column_major=header.column_major,
    )
