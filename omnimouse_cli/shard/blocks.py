"""Rows of a signal in blocks of a bounded size, with their times."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import Clock, Signal
from omnimouse_cli.shard.valid import HOLD_TOLERANCE_SECONDS, Intervals, contains

BLOCK_BYTES = 2 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Block:
    """Some rows: float32 `(rows, columns)`, and the number of the first of them."""

    first_row: int
    rows: NDArray[np.float32]


def blocks_of(signal: Signal) -> Iterator[Block]:
    """Read a signal from its start to its end, about 2 MB at a time."""
    num_rows = max(1, BLOCK_BYTES // max(1, 4 * signal.num_channels))
    for first in range(0, signal.clock.num_samples, num_rows):
        last = min(first + num_rows, signal.clock.num_samples)
        rows = np.ascontiguousarray(signal.read_rows(first, last), dtype=np.float32)
        assert rows.shape == (last - first, signal.num_channels), f"{signal.name}: {rows.shape}"
        yield Block(first_row=first, rows=rows)


def rows_within(clock: Clock, intervals: Intervals, first: int, last: int) -> NDArray[np.bool_]:
    """Say of the rows `first` to `last` (exclusive) whether they begin within the intervals."""
    times = clock.start_seconds + np.arange(first, last) / clock.rate_hz
    return contains(intervals, times + HOLD_TOLERANCE_SECONDS)


def finite_rows(rows: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Say of each row whether all of its values are finite."""
    finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(rows), axis=1)
    return finite
