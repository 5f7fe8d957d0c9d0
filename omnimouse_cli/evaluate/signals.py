"""A session's signals at the samples of windows, as arrays: what baselines and scores read."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    RESPONSE_RATE_HZ,
    DataConfig,
)
from omnimouse_cli.recording.recording import HOLD_TOLERANCE_SECONDS

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Range = tuple[int, int]


class SessionSignals:
    """Reads a session's signals without building batches.

    Args:
        dataset: The data set that the session is in.
        config: How responses are scaled.
        key: Session key.
    """

    def __init__(self, dataset: Dataset, config: DataConfig, key: str) -> None:
        self.session: SessionInfo = dataset.session(key)
        self.shard = self.session.shard
        self.shift, self.scale = dataset.normalization(config, key)
        self.channels = tuple(
            name for name in dataset.behavior_channels if name in self.session.channels
        )

    @cached_property
    def start_seconds(self) -> float:
        """Time of grid index 0."""
        return self.shard.description.responses.clock.start_seconds

    def times(self, grid: I64, samples: Range) -> F64:
        """Times of samples of windows, from the recording's origin: `(windows, samples)`."""
        index = np.asarray(grid, np.int64)[:, None] + np.arange(*samples)
        return self.start_seconds + index / RESPONSE_RATE_HZ

    def rows(self, grid: I64, samples: Range) -> I64:
        """Rows of the response clock that are held at samples: int64 `(windows, samples)`."""
        clock = self.shard.description.responses.clock
        held = self.times(grid, samples) + HOLD_TOLERANCE_SECONDS - clock.start_seconds
        return np.floor(held * clock.rate_hz).astype(np.int64)

    def raw_responses(self, grid: I64, samples: Range) -> F32:
        """Responses in the recording's own unit: `(windows, samples, neurons)`."""
        rows = self.rows(grid, samples)
        values = np.empty((*rows.shape, self.session.num_neurons), np.float32)
        for number, row in enumerate(rows):
            first, last = int(row[0]), int(row[-1])
            values[number] = self.shard.read_responses(first, last + 1)[row - first]
        return values

    def responses(self, grid: I64, samples: Range, columns: I64 | None = None) -> F32:
        """Scaled responses, as a batch has them.

        Args:
            grid: int64 `(windows,)`.
            samples: First and last sample of the windows, half-open.
            columns: Neurons; None takes all.

        Returns:
            float32 `(windows, samples, columns)`.
        """
        rows = self.rows(grid, samples)
        shift, scale = self.shift, self.scale
        count = self.session.num_neurons if columns is None else len(columns)
        if columns is not None:
            shift, scale = shift[columns], scale[columns]
        values = np.empty((*rows.shape, count), np.float32)
        for number, row in enumerate(rows):
            first, last = int(row[0]), int(row[-1])
            held = self.shard.read_responses(first, last + 1)[row - first]
            values[number] = held if columns is None else held[:, columns]
        values -= shift
        values /= scale
        return values

    def behavior(self, grid: I64) -> F32:
        """Behavior in standard deviations: `(windows, 40, channels)`, channels as in `channels`."""
        start = self.times(grid, (0, 1)) + HOLD_TOLERANCE_SECONDS
        times = start + np.arange(NUM_BEHAVIOR_SAMPLES) / BEHAVIOR_RATE_HZ
        values = np.empty((*times.shape, len(self.channels)), np.float32)
        for device in self.shard.description.behavior:
            clock = device.clock
            rows = np.floor((times - clock.start_seconds) * clock.rate_hz).astype(np.int64)
            held = self.shard.behavior(device.name)[rows]
            for column, name in enumerate(device.channels):
                if name not in self.channels:
                    continue
                scaled = (held[..., column] - device.mean[column]) / device.std[column]
                values[..., self.channels.index(name)] = scaled
        return values

    def screen(self, grid: I64, samples: Range) -> F32:
        """What was on the screen, as coarse features: `(windows, samples, features)`."""
        times = self.times(grid, samples) + HOLD_TOLERANCE_SECONDS
        flips = np.searchsorted(self.shard.flip_seconds, times, side="right") - 1
        before = np.maximum(flips - 1, 0)
        now = self._coarse[self.shard.frame_index[flips]]
        means = now.shape[-1] // 2
        # Only what changed since the flip before tells motion from a still picture.
        change = now[..., :means] - self._coarse[self.shard.frame_index[before], :means]
        np.abs(change, out=change)
        return np.concatenate([now, change], axis=-1)

    @cached_property
    def _coarse(self) -> F32:
        return coarse_frames(self.shard.frames)


# Patches of the screen over which brightness and contrast are averaged.
COARSE_ROWS, COARSE_COLUMNS = 6, 8
FRAMES_AT_ONCE = 4096


def coarse_frames(frames: NDArray[np.uint8]) -> F32:
    """Mean and standard deviation of each of 6 x 8 patches of every frame.

    Args:
        frames: uint8 `(frames, height, width)`.

    Returns:
        float32 `(frames, 96)`: 48 means, then 48 deviations, in grey levels / 59.
    """
    count, height, width = frames.shape
    rows = np.linspace(0, height, min(COARSE_ROWS, height) + 1).astype(int)
    columns = np.linspace(0, width, min(COARSE_COLUMNS, width) + 1).astype(int)
    area = np.outer(np.diff(rows), np.diff(columns)).astype(np.float32)
    features = np.empty((count, 2 * area.size), np.float32)
    for first in range(0, count, FRAMES_AT_ONCE):
        part = frames[first : first + FRAMES_AT_ONCE].astype(np.float32) / 59.0
        mean = _patch_sums(part, rows, columns) / area
        square = _patch_sums(part**2, rows, columns) / area
        deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
        both = np.stack([mean, deviation], axis=1)
        features[first : first + FRAMES_AT_ONCE] = both.reshape(len(part), -1)
    return features


def _patch_sums(frames: F32, rows: I64, columns: I64) -> F32:
    return np.add.reduceat(np.add.reduceat(frames, rows[:-1], axis=1), columns[:-1], axis=2)
