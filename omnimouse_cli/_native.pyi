"""The Rust extension: shard files, the background loader and the dendritic function."""

from collections.abc import Sequence
from pathlib import Path
from typing import final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ByteWriter",
    "Checksum",
    "LaterVersionError",
    "Loader",
    "ResponseEncoder",
    "Schedule",
    "Session",
    "Shard",
    "ShardFormatError",
    "Slot",
    "dendrite_backward",
    "dendrite_forward",
    "read_header",
]

class ShardFormatError(ValueError):
    """A file that is no shard, damaged or cut short; the text names file and reason."""

class LaterVersionError(ShardFormatError):
    """A shard of a later format version; the text names the file and both versions."""

def read_header(
    path: Path | str,
) -> tuple[dict[str, str], list[tuple[str, str, list[int], int, int]], bytes]:
    """Read and check the header of a shard; its checksum is not verified.

    Returns:
        The metadata (format, version, checksum and description); for each tensor, in the order of
        their bytes, its name, safetensors dtype, shape, and first and last byte (exclusive) from
        the start of the data; and the bytes before the data.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The file cannot be read.
        LaterVersionError: The shard is of a later version.
        ShardFormatError: The file is no shard, damaged or cut short.
    """

@final
class Shard:
    """An open shard; only its header has been read.

    Args:
        path: The file.
        mapped: Whether to map it into memory; otherwise ranges are read when they are needed.

    Raises:
        FileNotFoundError: There is no such file.
        ShardFormatError: The file is no shard, damaged or cut short.
    """

    def __new__(cls, path: Path | str, *, mapped: bool = True) -> Shard: ...
    @property
    def session(self) -> str:
        """Session key."""

    @property
    def num_neurons(self) -> int:
        """Number of columns of the responses."""

    @property
    def frame_shape(self) -> tuple[int, int] | None:
        """Height and width of a frame; None without a screen."""

    @property
    def channels(self) -> list[str]:
        """Behavior channels, device by device."""

@final
class Slot:
    """Memory for one batch: contiguous, writable arrays.

    Arrays of uint16 in place of float32 are filled with the bits of bfloat16, rounded to nearest.

    Args:
        grid_indices: int64, first sample of each window on the grid.
        neuron_index: int64, neurons of each window, one window after the other.
        responses: float32, 60 rows of neurons for each window.
        video: float32, 60 frames for each window; uint8 for grey levels as stored.
        behavior: float32, 40 samples of each channel for each window; a lost sample is NaN.
    """

    def __new__(
        cls,
        *,
        grid_indices: NDArray[np.int64],
        neuron_index: NDArray[np.int64],
        responses: NDArray[np.float32] | NDArray[np.uint16],
        video: NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.uint8] | None = None,
        behavior: NDArray[np.float32] | NDArray[np.uint16] | None = None,
    ) -> Slot: ...

@final
class Session:
    """A shard and the normalization of its signals, ready to assemble windows.

    Args:
        shard: The open shard.
        shift: float32 `(neurons,)`, subtracted from the responses.
        scale: float32 `(neurons,)`, divides the responses.
        video_mean: Grey level that is subtracted from frames.
        video_std: Grey levels by which frames are divided.
        channel_rows: The output channel of each channel of the shard; None drops a channel.
        num_channels: Number of output channels.
        portable: Whether to use the portable backend; its results are the same.
    """

    def __new__(
        cls,
        shard: Shard,
        *,
        shift: NDArray[np.float32],
        scale: NDArray[np.float32],
        video_mean: float,
        video_std: float,
        channel_rows: Sequence[int | None],
        num_channels: int,
        portable: bool = False,
    ) -> Session: ...
    def read(self, slot: Slot, num_windows: int, num_neurons: int) -> None:
        """Fill a slot with the windows in its `grid_indices` and the neurons in its `neuron_index`.

        Raises:
            ShardFormatError: The shard was truncated, or a flip shows a frame that does not exist.
            ValueError: A window lies outside a signal, or a neuron does not exist.
        """

@final
class Schedule:
    """The order of all batches: a pure function of sessions, seed and number.

    Args:
        sessions: For each session its key, and for each run of allowed window starts the first
            start and the number of starts, int64.
        stride_samples: Grid steps between the windows of a run.
        batch_size: Number of windows in a batch.
        seed: An integer below 2**64.
        balanced: Whether sessions are drawn equally often; otherwise by their number of windows.
    """

    def __new__(
        cls,
        sessions: Sequence[tuple[str, NDArray[np.int64], NDArray[np.int64]]],
        *,
        stride_samples: int,
        batch_size: int,
        seed: int,
        balanced: bool,
    ) -> Schedule: ...
    @property
    def batches_per_epoch(self) -> int:
        """Number of batches until every window is drawn once.

        Of the longest session if sessions are balanced, otherwise of all.
        """

    def batch(self, number: int) -> tuple[int, list[int]]:
        """Return the index of the session of a batch, and the grid indices of its windows."""

    def neurons(self, number: int, window: int, population: int, count: int) -> list[int]:
        """Return the neurons of one window of a batch, ascending."""

@final
class Loader:
    """Threads that fill slots ahead of their reader.

    Args:
        schedule: The order of all batches.
        sessions: The sessions, in the order of the schedule.
        max_neurons: Largest number of neurons in a window.
        first_batch: Number of the first batch of this rank.
        step: From one batch of this rank to the next.
        threads: Number of threads.
        read_ahead_bytes: Limit of what the system is asked to read ahead.
    """

    def __new__(
        cls,
        schedule: Schedule,
        sessions: Sequence[Session],
        *,
        max_neurons: int,
        first_batch: int,
        step: int,
        threads: int,
        read_ahead_bytes: int = 0,
    ) -> Loader: ...
    def submit(self, slot: Slot) -> None:
        """Submit a slot to be filled; its arrays must not be used until it is received again."""

    def receive(self, timeout_seconds: float) -> tuple[int, int, int, Slot] | None:
        """Wait for the next batch.

        Returns:
            Number, session index, neurons per window and slot; None when the time passes first.

        Raises:
            ShardFormatError: The shard was truncated, or a flip shows a frame that does not exist.
        """

    def close(self) -> None:
        """Join the threads and release the slots."""

@final
class Checksum:
    """A running checksum: the first 128 bits of BLAKE3."""

    def __new__(cls) -> Checksum: ...
    def update(self, data: bytes | NDArray[np.uint8], /) -> None:
        """Add contiguous bytes."""

    def digest(self) -> bytes:
        """Return the checksum of all bytes added so far."""

    def hexdigest(self) -> str:
        """Return the checksum in hexadecimal digits."""

@final
class ByteWriter:
    """Writes bytes in order, in a thread that also computes their checksum.

    Args:
        descriptor: Descriptor of a file that is open for writing.
        first_byte: Position of the first byte in the file.
    """

    def __new__(cls, descriptor: int, *, first_byte: int) -> ByteWriter: ...
    def write(self, data: bytes | NDArray[np.uint8], /) -> None:
        """Write the next contiguous bytes.

        Raises:
            OSError: The file cannot be written; errors of the last bytes are raised by `finish`.
        """

    def finish(self) -> str:
        """Wait until all is written; return the checksum in hexadecimal digits.

        Raises:
            OSError: The file cannot be written.
        """

@final
class ResponseEncoder:
    """Encodes and writes rows of responses in order, and collects statistics of each column.

    A second thread writes them and computes their checksum. How the rows are cut into blocks
    changes no result.

    Args:
        descriptor: Descriptor of a file that is open for writing.
        first_byte: Position of the first row in the file.
        dtype: `float16`, `bfloat16` or `float32`.
        num_columns: Number of columns of every block.
        expected_rows: Number of rows for which disk space is reserved.
        portable: Whether to use the portable backend; its results are the same.
    """

    def __new__(
        cls,
        descriptor: int,
        *,
        first_byte: int,
        dtype: str,
        num_columns: int,
        expected_rows: int = 0,
        portable: bool = False,
    ) -> ResponseEncoder: ...
    def write(
        self,
        rows: NDArray[np.float32],
        is_counted: NDArray[np.uint8],
        is_finite: NDArray[np.uint8],
    ) -> tuple[int, int] | None:
        """Write a block, unless a finite number is too large for the stored type.

        Args:
            rows: `(rows, columns)` without gaps.
            is_counted: `(rows,)`, 1 for rows that count for mean and deviations.
            is_finite: `(rows,)`, set to 1 for rows without NaN and infinity and to 0 for others,
                which are stored without contributing to the statistics.

        Returns:
            Row and column of the first number that is too large; None otherwise.

        Raises:
            OSError: The file cannot be written; errors of the last blocks are raised by `finish`.
        """

    def finish(self) -> str:
        """Wait until all is written; return the checksum in hexadecimal digits.

        Raises:
            OSError: The file cannot be written.
        """

    def statistics(
        self,
        mean: NDArray[np.float64],
        squares: NDArray[np.float64],
        square_error: NDArray[np.float64],
        largest_error: NDArray[np.float32],
    ) -> tuple[int, int, bool]:
        """Write statistics of all rows so far to arrays `(columns,)`.

        Args:
            mean: Set to the mean of the counted finite rows.
            squares: Set to their sum of squared deviations from the mean.
            square_error: Set to the sum of squared rounding errors of the finite rows.
            largest_error: Set to the largest absolute rounding error of the finite rows.

        Returns:
            Number of finite rows, how many of them are counted, and whether a number in a finite
            row is below zero.
        """

def dendrite_forward(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
    *,
    network: tuple[int, int, str],
    threads: int,
) -> None:
    """Write f(a, b) of every unit to `out`.

    Args:
        a: `(rows, units)`, each row contiguous; rows may lie apart.
        b: `(rows, units)`, likewise.
        weights: `(cell types, weights)`; the cell types have equal shares of the units.
        out: `(rows, units)`, contiguous.
        network: Hidden units, hidden layers (1 or 2), `relu` or `smoothstep`.
        threads: Number of threads, which changes no bit of the result.
    """

def dendrite_backward(
    g: NDArray[np.float32],
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    weights: NDArray[np.float32],
    da: NDArray[np.float32],
    db: NDArray[np.float32] | None,
    dweights: NDArray[np.float32],
    *,
    network: tuple[int, int, str],
    threads: int,
) -> None:
    """Write the gradients of both arguments and of the weights.

    Args:
        g: Gradient of the values, `(rows, units)`, each row contiguous; rows may lie apart.
        a: `(rows, units)`, likewise.
        b: `(rows, units)`, likewise.
        weights: `(cell types, weights)`; the cell types have equal shares of the units.
        da: `(rows, units)`, contiguous; without `db` `(rows, 2 units)` for both gradients.
        db: `(rows, units)`, contiguous, or None.
        dweights: `(cell types, weights)`, contiguous.
        network: Hidden units, hidden layers (1 or 2), `relu` or `smoothstep`.
        threads: Number of threads, which changes no bit of the result.
    """
