"""Signals of one session in windows, as the loader reads them: what truth and baselines are."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.batch import Batch
from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.memory import BatchArrays
from omnimouse_cli.batch.reader import WindowReader
from omnimouse_cli.config.data import RESPONSE_RATE_HZ, DataConfig
from omnimouse_cli.recording.recording import Clock

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Range = tuple[int, int]

# Video comes with every signal. That of a few windows fits in memory that malloc reuses; more would
# be new pages of zeros in every read, which take longer than reading.
WINDOWS_AT_ONCE = 4
# Baselines read the same windows again and again: responses of up to this size stay in memory.
MAX_RESIDENT_BYTES = 1 << 28
# Batches, with what a model computed from their stimulus, stay in memory for the next strategy.
MAX_KEPT_BYTES = 1 << 30
DEPTH_STEP_UM = 100.0
# Neurons of an area, a layer or a depth that has a score of its own.
LEAST_GROUP = 10


class SessionReader:
    """Reads windows of one session; windows are named by the grid index of their first sample.

    Args:
        dataset: The data set that the session is in.
        config: How responses are scaled, and whether windows require behavior.
        key: Session key.

    Attributes:
        session: The session in the data set.
        shard: Open shard of the session.
        shift: float32 `(neurons,)`: subtracted from responses.
        scale: float32 `(neurons,)`: divides responses.
        channels: Behavior channels that the session has, in the data set's order.
        require_behavior: Whether windows lie only where no behavior sample is lost.
        training_tiers: Tiers that the run was trained on.
        video_scaling: Grey level that becomes 0, and difference of grey levels that becomes 1.
    """

    def __init__(self, dataset: Dataset, config: DataConfig, key: str) -> None:
        self.session = dataset.session(key)
        self.shard = self.session.shard
        self.shift, self.scale = dataset.normalization(config, key)
        self.channels = tuple(
            name for name in dataset.behavior_channels if name in self.session.channels
        )
        self.require_behavior = config.require_behavior
        self.training_tiers = config.tiers
        self.video_scaling = config.video_mean, config.video_std
        self._windows = WindowReader(dataset, config)
        self._kept_batches: dict[tuple[object, bytes], Batch] = {}
        self._room = MAX_KEPT_BYTES

    @cached_property
    def neuron_groups(self) -> dict[str, I64]:
        """Neurons of each area, layer and depth, as `area:VISp`, `layer:L4`, `depth:200-300um`.

        Depth is the third coordinate of the positions, in steps of 100 micrometres. Groups of fewer
        than 10 neurons are left out, and so is what does not divide the population.
        """
        labels = {"area": self.shard.area, "layer": self.shard.layer}
        position = self.shard.position_um
        if position is not None:
            first = np.floor(position[:, 2] / DEPTH_STEP_UM) * DEPTH_STEP_UM
            labels["depth"] = np.array(
                [
                    f"{depth:g}-{depth + DEPTH_STEP_UM:g}um" if np.isfinite(depth) else ""
                    for depth in first
                ]
            )
        groups: dict[str, I64] = {}
        for kind, texts in labels.items():
            if texts is None:
                continue
            parts = {name: np.flatnonzero(texts == name) for name in np.unique(texts) if name}
            large = {name: part for name, part in parts.items() if len(part) >= LEAST_GROUP}
            if len(parts) > 1:
                groups |= {f"{kind}:{name}": part for name, part in large.items()}
        return groups

    def batch(self, grid: I64) -> Batch:
        """Read whole windows with all neurons, as a model takes them.

        Args:
            grid: int64 `(windows,)`.
        """
        return self._windows.read(self.session.key, grid)

    def kept_batch(self, model: object, grid: I64) -> Batch | None:
        """Return the batch that `keep_batch` kept of these windows; None if it did not."""
        return self._kept_batches.get((model, grid.tobytes()))

    def keep_batch(self, model: object, grid: I64, batch: Batch) -> None:
        """Keep a batch for other strategies of the same windows, while there is room.

        Args:
            model: What computed `batch.kept`.
            grid: int64 `(windows,)`: its windows.
            batch: As `batch` read it, on the CPU.
        """
        key = model, grid.tobytes()
        signals = (batch.responses, batch.video, batch.behavior, *(batch.kept or {}).values())
        size = sum(tensor.nbytes for tensor in signals if tensor is not None)
        if key not in self._kept_batches and self._room >= size:
            self._kept_batches[key] = batch
            self._room -= size

    def responses(self, grid: I64, samples: Range, columns: I64 | None = None) -> F32:
        """Read scaled responses.

        Args:
            grid: int64 `(windows,)`.
            samples: First and last sample within the windows, half-open.
            columns: Neurons; None takes all.

        Returns:
            float32 `(windows, samples, columns)`.
        """
        if self._resident is not None:
            rows = self._clock.row_at(self.sample_seconds(grid, samples))
            if columns is None:
                return self._resident[rows]
            return self._resident[rows[..., None], columns]
        parts = self._read(grid, columns)
        return np.concatenate([arrays.responses[:, slice(*samples)] for arrays in parts])

    @property
    def _clock(self) -> Clock:
        return self.shard.description.responses.clock

    @cached_property
    def _resident(self) -> F32 | None:
        """Scaled responses of all rows, float32 `(rows, neurons)`; None where they are many."""
        num_rows = self._clock.num_samples
        if 4 * num_rows * self.session.num_neurons > MAX_RESIDENT_BYTES:
            return None
        values: F32 = (self.shard.read_responses(0, num_rows) - self.shift) / self.scale
        return values

    def behavior(self, grid: I64) -> F32:
        """Read z-scored behavior: float32 `(windows, 40, channels)`, channels as in `channels`.

        A lost sample is NaN.
        """
        # The responses that come with it are those of no neuron.
        parts = []
        for arrays in self._read(grid, np.empty(0, np.int64)):
            assert arrays.behavior is not None, "the session has behavior"
            parts.append(arrays.behavior[:, arrays.behavior_present].transpose(0, 2, 1))
        return np.concatenate(parts)

    def video(self, grid: I64) -> F32:
        """Read normalized frames: float32 `(windows, 60, height, width)`."""
        parts = []
        for arrays in self._read(grid, np.empty(0, np.int64)):
            assert arrays.video is not None, "the session has a screen"
            parts.append(arrays.video)
        return np.concatenate(parts)

    def _read(self, grid: I64, columns: I64 | None) -> Iterator[BatchArrays]:
        for first in range(0, len(grid), WINDOWS_AT_ONCE):
            some = grid[first : first + WINDOWS_AT_ONCE]
            yield self._windows.read_arrays(self.session.key, some, columns)

    def sample_seconds(self, grid: I64, samples: Range) -> F64:
        """Return float64 `(windows, samples)`: times from the recording's origin."""
        index = np.asarray(grid, np.int64)[:, None] + np.arange(*samples)
        return self._clock.start_seconds + index / RESPONSE_RATE_HZ
