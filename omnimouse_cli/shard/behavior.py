"""A behavior device made ready to be stored: what is kept of it, its statistics, its valid time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES, RESPONSE_RATE_HZ
from omnimouse_cli.recording.recording import Signal
from omnimouse_cli.shard.blocks import blocks_of, finite_rows, rows_within
from omnimouse_cli.shard.description import BehaviorDescription
from omnimouse_cli.shard.statistics import ColumnStatistics
from omnimouse_cli.shard.valid import (
    Intervals,
    LostRows,
    lost_behavior_seconds,
    signal_span,
    subtract,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Device:
    """A device that is stored: its description, its kept columns and its valid time."""

    signal: Signal
    columns: NDArray[np.int64]
    description: BehaviorDescription
    valid: Intervals

    def stored_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the kept columns; whatever is not finite is stored as NaN."""
        for block in blocks_of(self.signal):
            rows = block.rows[:, self.columns]
            yield np.where(np.isfinite(rows), rows, np.float32(np.nan))


def prepare_device(signal: Signal, statistics_times: Intervals) -> tuple[Device | None, list[str]]:
    """Read a device once to see what of it can be used.

    Channels without a value are left out; so is a device that is never there for a window's length
    without losing a sample: left in, it would forbid every window.

    Returns:
        The device, None if it is left out; and a sentence for everything that was left out.
    """
    names = signal.channels or tuple(f"{signal.name}_{i}" for i in range(signal.num_channels))
    known = np.zeros(signal.num_channels, dtype=np.bool_)
    for block in blocks_of(signal):
        known |= np.isfinite(block.rows).any(axis=0)
    columns = np.flatnonzero(known)
    if len(columns) == 0:
        return None, [f"{signal.name} is left out: none of its samples has a value"]
    notes = [
        f"{signal.name} lacks channel {name}: none of its samples has a value"
        for name, is_known in zip(names, known, strict=True)
        if not is_known
    ]
    valid = _valid_times(signal, columns)
    window_seconds = (NUM_RESPONSE_SAMPLES - 1) / RESPONSE_RATE_HZ
    if not (valid[:, 1] - valid[:, 0] > window_seconds).any():
        notes.append(f"{signal.name} is left out: it has no two seconds without a lost sample")
        return None, notes
    mean, std = _statistics(signal, columns, statistics_times)
    description = BehaviorDescription(
        name=signal.name,
        clock=signal.clock,
        channels=tuple(names[column] for column in columns),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
    )
    device = Device(signal=signal, columns=columns, description=description, valid=valid)
    return device, notes


def _valid_times(signal: Signal, columns: NDArray[np.int64]) -> Intervals:
    lost = LostRows()
    for block in blocks_of(signal):
        lost.feed(block.first_row, ~finite_rows(block.rows[:, columns]))
    stretches = lost.stretches(signal.clock.num_samples)
    return subtract(signal_span(signal.clock), lost_behavior_seconds(signal.clock, stretches))


def _statistics(
    signal: Signal, columns: NDArray[np.int64], statistics_times: Intervals
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    on_tier, everywhere = ColumnStatistics(len(columns)), ColumnStatistics(len(columns))
    for block in blocks_of(signal):
        rows = block.rows[:, columns]
        rows = np.where(np.isfinite(rows), rows, np.float32(np.nan))
        last = block.first_row + len(rows)
        chosen = rows_within(signal.clock, statistics_times, block.first_row, last)
        on_tier.feed(rows[chosen])
        everywhere.feed(rows)
    # A channel that was lost all through the tier still needs a scale of its own.
    mean = np.where(on_tier.counts > 0, on_tier.mean(), everywhere.mean())
    std = np.where(on_tier.counts > 0, on_tier.std(), everywhere.std())
    std[~(std > 0)] = 1.0
    return mean, std
