"""Memory for batches: allocated once, filled by the Rust extension, reused when nobody holds it."""

import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import Slot
from omnimouse_cli.batch.assembled import Assembled
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.windows import grid_seconds
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_FRAMES, NUM_RESPONSE_SAMPLES

# NumPy has no bfloat16: its bits are kept as integers.
_STORED = {"bfloat16": "uint16"}
# Vectors are stored whole where they do not straddle two lines of the cache.
_ALIGNED_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much a batch may need.

    Args:
        num_windows: Windows.
        num_neurons: Neurons of a window.
        frame_pixels: Pixels of a frame; 0 without a screen.
        num_channels: Behavior channels; 0 without behavior.
        dtype: Number type of responses, video and behavior.
        video_dtype: Number type of video; None is `dtype`.
    """

    num_windows: int
    num_neurons: int
    frame_pixels: int
    num_channels: int
    dtype: str = "float32"
    video_dtype: str | None = None


def room_of(session: SessionInfo, dataset: Dataset, *, num_windows: int, num_neurons: int) -> Room:
    """Give the room that a batch of one session needs."""
    height, width = session.frame_shape or (0, 0)
    return Room(
        num_windows=num_windows,
        num_neurons=num_neurons,
        frame_pixels=height * width,
        num_channels=len(dataset.behavior_channels) if session.channels else 0,
    )


class BatchMemory:
    """One slot of the extension, and the arrays that show what is in it.

    Args:
        room: The largest batch that must fit.
        pin_memory: Whether the memory is page-locked, for copies to a GPU.
    """

    def __init__(self, room: Room, *, pin_memory: bool = False) -> None:
        windows = room.num_windows
        self._pin_memory = pin_memory
        self.grid_indices: NDArray[np.int64] = np.empty(windows, np.int64)
        self.neuron_index: NDArray[np.int64] = self._empty(windows * room.num_neurons, "int64")
        dtype = room.dtype
        self._responses = self._empty(windows * NUM_RESPONSE_SAMPLES * room.num_neurons, dtype)
        self._video = self._empty(
            windows * NUM_FRAMES * room.frame_pixels, room.video_dtype or dtype
        )
        self._behavior = self._empty(windows * room.num_channels * NUM_BEHAVIOR_SAMPLES, dtype)
        self._views: list[weakref.ref[NDArray[Any]]] = []
        self.slot = Slot(
            grid_indices=self.grid_indices,
            neuron_index=self.neuron_index,
            responses=self._responses,
            video=self._video if self._video.size else None,
            behavior=self._behavior if self._behavior.size else None,
        )

    @property
    def is_held(self) -> bool:
        """Whether some array, or tensor of one, still shows this memory."""
        return any(view() is not None for view in self._views)

    def assembled(
        self,
        dataset: Dataset,
        session: SessionInfo,
        *,
        number: int,
        num_windows: int,
        num_neurons: int,
    ) -> Assembled:
        """Show what the slot was filled with; the memory is held until all the arrays are gone."""
        self._views.clear()
        shape = session.frame_shape
        channels = len(dataset.behavior_channels)
        neurons = self._view(self.neuron_index, num_windows, num_neurons)
        responses = self._view(self._responses, num_windows, NUM_RESPONSE_SAMPLES, num_neurons)
        behavior = None
        if session.channels:
            behavior = self._view(self._behavior, num_windows, channels, NUM_BEHAVIOR_SAMPLES)
        start = session.shard.description.responses.clock.start_seconds
        return Assembled(
            number=number,
            session=session.key,
            responses=responses,
            neuron_index=neurons,
            video=shape and self._view(self._video, num_windows, NUM_FRAMES, *shape),
            behavior=behavior,
            behavior_present=dataset.behavior_present(session.key),
            start_seconds=grid_seconds(self.grid_indices[:num_windows], start),
        )

    def _empty(self, length: int, dtype: str) -> NDArray[Any]:
        stored = np.dtype(_STORED.get(dtype, dtype))
        if self._pin_memory:
            # Only torch can lock pages for a GPU, and takes seconds to be imported.
            import torch

            locked = torch.empty(length, dtype=getattr(torch, stored.name), pin_memory=True)
            array: NDArray[Any] = locked.numpy()
            return array
        spare = np.empty(length * stored.itemsize + _ALIGNED_BYTES, np.uint8)
        first = -spare.ctypes.data % _ALIGNED_BYTES
        return spare[first : first + length * stored.itemsize].view(stored)

    def _view(self, memory: NDArray[Any], *shape: int) -> NDArray[Any]:
        # A tensor's storage, which all its views share, keeps exactly this array alive: when the
        # array is gone, nothing can read the memory any more.
        view = memory[: int(np.prod(shape))].reshape(shape)
        self._views.append(weakref.ref(view))
        return view
