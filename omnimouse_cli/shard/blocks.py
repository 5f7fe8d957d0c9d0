"""Rows of a signal in blocks of bounded size, and the statistics of its columns."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS, Clock, Signal
from omnimouse_cli.shard.intervals import Intervals, contains

BLOCK_BYTES = 2 * 2**20
# A compressed block of a raw file is decompressed as a whole, and should be read once.
MAX_BLOCK_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Consecutive rows of a signal: float32 `(rows, columns)`, and the number of the first one."""

    first_row: int
    rows: NDArray[np.float32]


def iterate_blocks(signal: Signal) -> Iterator[Block]:
    """Read a signal from start to end, block by block."""
    for first in range(0, signal.clock.num_samples, block_rows(signal)):
        yield read_block(signal, first)


def block_rows(signal: Signal) -> int:
    """Return the rows of a block: about 2 MB, and whole blocks of the raw file if these fit."""
    row_bytes = max(1, 4 * signal.num_channels)
    num_rows = max(1, BLOCK_BYTES // row_bytes)
    of_file = signal.rows_per_block
    if of_file is None or of_file * row_bytes > MAX_BLOCK_BYTES:
        return num_rows
    return of_file * max(1, num_rows // of_file)


def read_block(signal: Signal, first_row: int) -> Block:
    """Read the block of a signal that begins with a row."""
    last = min(first_row + block_rows(signal), signal.clock.num_samples)
    rows = np.ascontiguousarray(signal.read_rows(first_row, last), dtype=np.float32)
    assert rows.shape == (last - first_row, signal.num_channels), f"{signal.name}: {rows.shape}"
    return Block(first_row=first_row, rows=rows)


def rows_within(clock: Clock, intervals: Intervals, first: int, last: int) -> NDArray[np.bool_]:
    """Return whether the rows `first` to `last` (exclusive) begin in the intervals."""
    times = clock.start_seconds + np.arange(first, last) / clock.rate_hz
    return contains(intervals, times + HOLD_TOLERANCE_SECONDS)


def column_statistics(
    signal: Signal, columns: NDArray[np.int64], intervals: Intervals
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute mean and standard deviation of columns in two passes; values not finite are missing.

    Args:
        signal: The signal.
        columns: int64 `(columns,)`: which of its columns.
        intervals: Rows count that begin in these times.

    Returns:
        Mean and standard deviation, each float64 `(columns,)`; NaN for a column without a value.
    """
    counts = np.zeros(len(columns), np.int64)
    sums, squares = np.zeros(len(columns)), np.zeros(len(columns))
    for rows, is_value in _values_within(signal, columns, intervals):
        counts += is_value.sum(axis=0)
        sums += np.where(is_value, rows, 0.0).sum(axis=0, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        mean = sums / counts
    for rows, is_value in _values_within(signal, columns, intervals):
        centred = np.where(is_value, rows - mean, 0.0)
        squares += np.einsum("rc,rc->c", centred, centred)
    return mean, column_std(squares, counts, mean)


def _values_within(
    signal: Signal, columns: NDArray[np.int64], intervals: Intervals
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    for block in iterate_blocks(signal):
        last = block.first_row + len(block.rows)
        within = rows_within(signal.clock, intervals, block.first_row, last)
        rows = block.rows[:, columns][within]
        yield rows, np.isfinite(rows)


def column_std(
    squares: NDArray[np.float64], counts: NDArray[np.int64] | int, mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the standard deviation (ddof 0) of columns; NaN for a column without a value.

    Args:
        squares: float64 `(columns,)`: sums of squared deviations from the mean.
        counts: Number of values, of each column or of all.
        mean: float64 `(columns,)`.
    """
    with np.errstate(invalid="ignore"):
        std: NDArray[np.float64] = np.sqrt(squares / counts)
    # The rounding of the mean leaves a small spread in a column that is constant.
    std[std <= 1e-12 * np.abs(mean)] = 0.0
    return std
