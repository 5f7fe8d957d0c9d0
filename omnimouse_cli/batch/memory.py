"""Memory for batches: allocated once, filled by the Rust extension, reused when it is released."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import Slot
from omnimouse_cli.batch.dataset import Dataset, SessionInfo
from omnimouse_cli.batch.windows import grid_seconds
from omnimouse_cli.config.data import NUM_BEHAVIOR_SAMPLES, NUM_FRAMES, NUM_RESPONSE_SAMPLES

# NumPy has no bfloat16: its bits are kept as integers.
_STORED = {"bfloat16": "uint16"}
# Vector instructions store whole where a vector does not straddle two cache lines.
_ALIGNED_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchArrays:
    """The arrays of a `Batch`, with the same shapes and meaning, without torch.

    Their memory is not reused while one of them is alive; views of them do not count.

    Args:
        number: Position in the global order of batches; -1 if windows were read by index.
        session: Session key.
        responses: float32, or uint16 with the bits of bfloat16, `(batch, 60, neurons)`.
        neuron_index: int64 `(batch, neurons)`.
        video: Type of the responses, or uint8, `(batch, 60, height, width)`; None without a screen.
        behavior: Type of the responses, `(batch, channels, 40)`, NaN where a sample is lost; None
            without behavior.
        behavior_present: bool `(channels,)`.
        start_seconds: float64 `(batch,)`.
    """

    number: int
    session: str
    responses: NDArray[Any]
    neuron_index: NDArray[np.int64]
    video: NDArray[Any] | None
    behavior: NDArray[Any] | None
    behavior_present: NDArray[np.bool_]
    start_seconds: NDArray[np.float64]

    @property
    def num_bytes(self) -> int:
        """Bytes of responses, video and behavior."""
        arrays = (self.responses, self.video, self.behavior)
        return sum(array.nbytes for array in arrays if array is not None)


class BatchMemory:
    """One slot of the extension, and the arrays that show its content.

    Args:
        dataset: Data set of the sessions.
        sessions: A batch of any of them fits into the memory.
        num_windows: Largest number of windows of a batch.
        num_neurons: Largest number of neurons of a window.
        dtype: Number type of responses, video and behavior.
        video_dtype: Number type of video; None is `dtype`.
        pin_memory: Whether the memory is page-locked, for copies to a GPU.
    """

    def __init__(
        self,
        dataset: Dataset,
        sessions: Sequence[SessionInfo],
        *,
        num_windows: int,
        num_neurons: int,
        dtype: str = "float32",
        video_dtype: str | None = None,
        pin_memory: bool = False,
    ) -> None:
        self._dataset = dataset
        self._pin_memory = pin_memory
        frame_shapes = [session.frame_shape or (0, 0) for session in sessions]
        frame_pixels = max(height * width for height, width in frame_shapes)
        has_behavior = any(session.channels for session in sessions)
        num_channels = len(dataset.behavior_channels) if has_behavior else 0
        self.grid_indices: NDArray[np.int64] = np.empty(num_windows, np.int64)
        self.neuron_index: NDArray[np.int64] = self._allocate(num_windows * num_neurons, "int64")
        self._responses = self._allocate(num_windows * NUM_RESPONSE_SAMPLES * num_neurons, dtype)
        self._video = self._allocate(num_windows * NUM_FRAMES * frame_pixels, video_dtype or dtype)
        self._behavior = self._allocate(num_windows * num_channels * NUM_BEHAVIOR_SAMPLES, dtype)
        self._views: list[weakref.ref[NDArray[Any]]] = []
        self.slot = Slot(
            grid_indices=self.grid_indices,
            neuron_index=self.neuron_index,
            responses=self._responses,
            video=self._video if self._video.size else None,
            behavior=self._behavior if self._behavior.size else None,
        )

    @property
    def is_in_use(self) -> bool:
        """Whether an array, or a tensor of one, still shows this memory."""
        return any(view() is not None for view in self._views)

    def arrays(
        self, session: SessionInfo, *, number: int, num_windows: int, num_neurons: int
    ) -> BatchArrays:
        """Return the content of the slot; the memory is in use until all its arrays are gone.

        Args:
            session: Session that the extension has read.
            number: Position in the global order of batches.
            num_windows: Number of windows that were read.
            num_neurons: Number of neurons of each window.
        """
        self._views.clear()
        shape = session.frame_shape
        channels = len(self._dataset.behavior_channels)
        neurons = self._view(self.neuron_index, num_windows, num_neurons)
        responses = self._view(self._responses, num_windows, NUM_RESPONSE_SAMPLES, num_neurons)
        behavior = None
        if session.channels:
            behavior = self._view(self._behavior, num_windows, channels, NUM_BEHAVIOR_SAMPLES)
        start = session.shard.description.responses.clock.start_seconds
        return BatchArrays(
            number=number,
            session=session.key,
            responses=responses,
            neuron_index=neurons,
            video=shape and self._view(self._video, num_windows, NUM_FRAMES, *shape),
            behavior=behavior,
            behavior_present=self._dataset.behavior_present(session.key),
            start_seconds=grid_seconds(self.grid_indices[:num_windows], start),
        )

    def _allocate(self, length: int, dtype: str) -> NDArray[Any]:
        stored = np.dtype(_STORED.get(dtype, dtype))
        if self._pin_memory:
            # Only torch can page-lock memory for a GPU, and importing it takes seconds.
            import torch

            locked = torch.empty(length, dtype=getattr(torch, stored.name), pin_memory=True)
            array: NDArray[Any] = locked.numpy()
            return array
        spare = np.empty(length * stored.itemsize + _ALIGNED_BYTES, np.uint8)
        first = -spare.ctypes.data % _ALIGNED_BYTES
        return spare[first : first + length * stored.itemsize].view(stored)

    def _view(self, memory: NDArray[Any], *shape: int) -> NDArray[Any]:
        # The storage of a tensor, which all its views share, keeps exactly this array alive: when
        # the array is gone, nothing can read the memory any more.
        view = memory[: int(np.prod(shape))].reshape(shape)
        self._views.append(weakref.ref(view))
        return view
