"""The loader's work done without it: NumPy on a memory map, alone and in a torch DataLoader."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from torch.utils.data import Dataset as TorchDataset

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.batch.windows import grid_seconds
from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_FRAMES,
    NUM_RESPONSE_SAMPLES,
    DataConfig,
)
from omnimouse_cli.recording.recording import latest_index
from omnimouse_cli.shard import Shard, open_shard

# More windows than are taken in any turn.
ENDLESS = 10**9
GREY_LEVELS = 256

Floats = NDArray[np.float32]


class Signals(NamedTuple):
    """Responses, video and behavior of windows, as arrays or as tensors of a Batch's shapes."""

    responses: Floats
    video: Floats
    behavior: Floats


class WindowFiles:
    """Reads windows of a data set's first session with NumPy alone.

    Args:
        dataset: The session has a screen and behavior, and responses that are only divided.
        config: Scaling of the signals.
    """

    def __init__(self, dataset: Dataset, config: DataConfig) -> None:
        session = dataset.sessions[0]
        self.config = config
        self._path = session.path
        self.num_neurons = session.num_neurons
        self.grid_start_seconds = session.shard.description.responses.clock.start_seconds
        self.window_starts = np.concatenate(
            [
                np.arange(first, first + count)
                for table in [dataset.windows(config, session.key)]
                for first, count in zip(table.first, table.count, strict=True)
            ]
        )
        shift, self._scale = dataset.normalization(config, session.key)
        assert not shift.any(), "the peers do not centre"

    @cached_property
    def _shard(self) -> Shard:
        # Opened on first use: a spawned worker process would receive the whole file.
        return open_shard(self._path)

    def subset(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw the neurons of a window, in ascending order."""
        count = min(self.num_neurons, self.config.max_neurons)
        chosen = np.zeros(self.num_neurons, np.bool_)
        chosen[rng.choice(self.num_neurons, count, replace=False, shuffle=False)] = True
        return np.flatnonzero(chosen)

    def read(self, grid_index: int, neurons: NDArray[np.int64]) -> Signals:
        """Read one window in the plainest way.

        Args:
            grid_index: First sample of the window.
            neurons: int64 `(neurons,)`: columns of the recording.

        Returns:
            Responses `(60, neurons)`, video `(60, height, width)`, behavior `(channels, 40)`.
        """
        shard, config = self._shard, self.config
        rows = self._rows(grid_index)
        responses = shard.responses[rows][:, neurons].astype(np.float32) / self._scale[neurons]
        frames = shard.frames[self._frames(grid_index)].astype(np.float32)
        video = (frames - np.float32(config.video_mean)) / np.float32(config.video_std)
        return Signals(responses, video, self._behavior(grid_index))

    def read_into(self, out: Signals, grid_index: int, neurons: NDArray[np.int64]) -> None:
        """Read one window with as few passes over memory as NumPy allows.

        Args:
            out: Arrays to write to.
            grid_index: First sample of the window.
            neurons: int64 `(neurons,)`: columns of the recording.
        """
        rows = self._rows(grid_index)
        stored = self._shard.responses[rows[0] : rows[-1] + 1]
        frames = self._shard.frames[self._frames(grid_index)]
        self._scale_into(out.responses, out.video, stored, frames, neurons)
        out.behavior[:] = self._behavior(grid_index)

    def stored_window(self, grid_index: int) -> dict[str, NDArray[Any]]:
        """Return a window of all neurons as it is stored, except for behavior, which is scaled."""
        return {
            "responses": np.ascontiguousarray(self._shard.responses[self._rows(grid_index)]),
            "video": self._shard.frames[self._frames(grid_index)],
            "behavior": np.ascontiguousarray(self._behavior(grid_index)),
        }

    def scale(
        self, stored: NDArray[Any], frames: NDArray[np.uint8], neurons: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """Return the scaled responses of some neurons and the scaled frames of a stored window."""
        responses = np.empty((len(stored), len(neurons)), np.float32)
        video = np.empty(frames.shape, np.float32)
        self._scale_into(responses, video, stored, frames, neurons)
        return responses, video

    def _scale_into(
        self,
        responses: Floats,
        video: Floats,
        stored: NDArray[Any],
        frames: NDArray[np.uint8],
        neurons: NDArray[np.int64],
    ) -> None:
        # Modes other than "raise" write to `out` without a temporary copy.
        gathered = np.take(stored, neurons, axis=1, mode="clip")
        np.multiply(gathered, self._inverse_scale[neurons], out=responses)
        np.take(self._grey, frames, out=video, mode="clip")

    def empty(self, num_windows: int) -> Signals:
        """Allocate the arrays of a batch."""
        height, width = self._shard.frames.shape[1:]
        channels = sum(len(device.channels) for device in self._shard.description.behavior)
        count = min(self.num_neurons, self.config.max_neurons)
        return Signals(
            np.empty((num_windows, NUM_RESPONSE_SAMPLES, count), np.float32),
            np.empty((num_windows, NUM_FRAMES, height, width), np.float32),
            np.empty((num_windows, channels, NUM_BEHAVIOR_SAMPLES), np.float32),
        )

    @cached_property
    def _inverse_scale(self) -> Floats:
        return np.reciprocal(self._scale)

    @cached_property
    def _grey(self) -> Floats:
        levels = np.arange(GREY_LEVELS, dtype=np.float32)
        return (levels - np.float32(self.config.video_mean)) / np.float32(self.config.video_std)

    def _seconds(self, grid_index: int) -> NDArray[np.float64]:
        grid = grid_index + np.arange(NUM_RESPONSE_SAMPLES)
        return grid_seconds(grid, self.grid_start_seconds)

    def _rows(self, grid_index: int) -> NDArray[np.int64]:
        return self._shard.description.responses.clock.row_at(self._seconds(grid_index))

    def _frames(self, grid_index: int) -> NDArray[np.int64]:
        shown = latest_index(self._shard.flip_seconds, self._seconds(grid_index))
        return self._shard.frame_index[shown]

    def _behavior(self, grid_index: int) -> Floats:
        start = self._seconds(grid_index)[0]
        seconds = start + np.arange(NUM_BEHAVIOR_SAMPLES) / BEHAVIOR_RATE_HZ
        parts = []
        for device in self._shard.description.behavior:
            values = self._shard.behavior(device.name)[device.clock.row_at(seconds)]
            parts.append((values - np.asarray(device.mean)) / np.asarray(device.std))
        return np.concatenate(parts, axis=1).T.astype(np.float32)


def plain_batches(files: WindowFiles) -> Iterator[Signals]:
    """Yield batches in the plainest way: new arrays for every step."""
    rng = np.random.default_rng(0)
    while True:
        starts = rng.choice(files.window_starts, files.config.batch_size)
        windows = [files.read(start, files.subset(rng)) for start in starts]
        yield Signals(*(np.stack(part) for part in zip(*windows, strict=True)))


def tuned_batches(files: WindowFiles) -> Iterator[Signals]:
    """Yield batches in memory that is reused, with as few passes as NumPy allows."""
    rng = np.random.default_rng(0)
    batch = files.empty(files.config.batch_size)
    while True:
        starts = rng.choice(files.window_starts, files.config.batch_size)
        for window, start in enumerate(starts):
            files.read_into(Signals(*(part[window] for part in batch)), start, files.subset(rng))
        yield batch


class WindowDataset(TorchDataset[list[Tensor]]):
    """The windows as a torch data set: an item is a window, or a batch for a list of numbers."""

    def __init__(self, files: WindowFiles) -> None:
        self._files = files
        self._rng: np.random.Generator | None = None

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._files.window_starts)

    def __getitem__(self, number: int | list[int]) -> list[Tensor]:
        """Read responses, video and behavior of a window, or of several into new memory."""
        if self._rng is None:
            # Torch seeds each worker differently.
            self._rng = np.random.default_rng(torch.initial_seed())
        files, starts = self._files, self._files.window_starts
        if isinstance(number, int):
            window = files.read(starts[number], files.subset(self._rng))
            return [torch.from_numpy(part) for part in window]
        batch = files.empty(len(number))
        for window, chosen in enumerate(number):
            out = Signals(*(part[window] for part in batch))
            files.read_into(out, starts[chosen], files.subset(self._rng))
        return [torch.from_numpy(part) for part in batch]


def torch_batches(
    files: WindowFiles, *, workers: int, whole_batches: bool = False, pin_memory: bool = False
) -> DataLoader[list[Tensor]]:
    """Return a DataLoader of endless random batches.

    Args:
        files: The windows.
        workers: Number of worker processes; 0 reads in this one.
        whole_batches: Whether a worker's item is a batch, read in few passes; else a window.
        pin_memory: Whether batches are copied to page-locked memory.
    """
    dataset = WindowDataset(files)
    sampler = RandomSampler(dataset, replacement=True, num_samples=ENDLESS)
    batches = BatchSampler(sampler, files.config.batch_size, drop_last=True)
    if whole_batches:
        return DataLoader(
            dataset, sampler=batches, batch_size=None, num_workers=workers, pin_memory=pin_memory
        )
    return DataLoader(dataset, batch_sampler=batches, num_workers=workers, pin_memory=pin_memory)
