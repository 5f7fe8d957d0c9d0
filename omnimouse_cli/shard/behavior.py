"""Preparation of a behavior signal for storage: kept channels, statistics, valid time."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS, Signal
from omnimouse_cli.recording.times import true_runs
from omnimouse_cli.shard.blocks import column_statistics, iterate_blocks
from omnimouse_cli.shard.description import BehaviorDescription
from omnimouse_cli.shard.intervals import ALL_TIME, Intervals, contains, subtract
from omnimouse_cli.shard.valid import (
    end_margin_seconds,
    missing_behavior_time,
    missing_response_time,
    signal_span,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Device:
    """A behavior signal to store: its rows, kept columns, description and valid time."""

    signal: Signal
    columns: NDArray[np.int64]
    description: BehaviorDescription
    valid: Intervals

    def stored_blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yield the kept columns block by block; values that are not finite become NaN."""
        for block in iterate_blocks(self.signal):
            rows = block.rows[:, self.columns]
            yield np.where(np.isfinite(rows), rows, np.float32(np.nan))


def prepare_device(
    signal: Signal, statistics_time: Intervals, *, within_trials: bool = False
) -> tuple[Device | None, list[str]]:
    """Read a behavior signal once to find which channels and times can be used.

    Channels without a value are dropped. So is a signal of which no sample can be used, because all
    lie in the vicinity of a missing one or at the ends.

    Args:
        signal: The behavior signal.
        statistics_time: Time over which mean and standard deviation are computed.
        within_trials: Whether windows stay within trials. Trials were not recorded one after the
            other then, so that a missing sample says nothing of those beside it.

    Returns:
        The signal to store, None if it is dropped; and a sentence for each thing that was dropped.
    """
    names = signal.channels or tuple(f"{signal.name}_{i}" for i in range(signal.num_channels))
    has_value = np.zeros(signal.num_channels, dtype=np.bool_)
    for block in iterate_blocks(signal):
        has_value |= np.isfinite(block.rows).any(axis=0)
    columns = np.flatnonzero(has_value)
    if len(columns) == 0:
        return None, [f"{signal.name} is dropped: none of its samples has a value"]
    notes = [
        f"{signal.name} lacks channel {names[column]}: none of its samples has a value"
        for column in np.flatnonzero(~has_value)
    ]
    missing = [~np.isfinite(block.rows[:, columns]).all(axis=1) for block in iterate_blocks(signal)]
    clock, runs = signal.clock, true_runs(np.concatenate(missing))
    missing_time = (missing_response_time if within_trials else missing_behavior_time)(clock, runs)
    margin_seconds = end_margin_seconds(within_trials=within_trials)
    valid = subtract(signal_span(clock, margin_seconds=margin_seconds), missing_time)
    seconds = clock.start_seconds + np.arange(clock.num_samples) / clock.rate_hz
    if not contains(valid, seconds + HOLD_TOLERANCE_SECONDS).any():
        notes.append(
            f"{signal.name} is dropped: each of its samples is missing, next to a missing one, or "
            f"within {margin_seconds:g} s of its ends"
        )
        return None, notes
    mean, std = column_statistics(signal, columns, statistics_time)
    if np.isnan(mean).any():
        # A channel without a value on the statistics tier is scaled by all of its values.
        is_missing = np.isnan(mean)
        all_mean, all_std = column_statistics(signal, columns, ALL_TIME)
        mean, std = np.where(is_missing, all_mean, mean), np.where(is_missing, all_std, std)
    std[~(std > 0)] = 1.0
    description = BehaviorDescription(
        name=signal.name,
        clock=signal.clock,
        channels=tuple(names[column] for column in columns),
        mean=tuple(mean.tolist()),
        std=tuple(std.tolist()),
        units=_of_columns(signal.units, columns),
        source_units=_of_columns(signal.source_units, columns),
    )
    device = Device(signal=signal, columns=columns, description=description, valid=valid)
    return device, notes


def _of_columns(units: tuple[str, ...], columns: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(units[column] for column in columns) if units else ()
