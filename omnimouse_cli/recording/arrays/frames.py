"""The frames of a stimulus in one array, as 8-bit grey levels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.npy import StoredArray

# Luma of ITU-R BT.601, close to the response of a grey-scale camera.
_LUMA = np.array([0.299, 0.587, 0.114])
_BLOCK_BYTES = 8 * 2**20
# Frames that were resized lie this much outside the range of their levels.
_UNIT_TOLERANCE = 1e-3
# Frames whose levels differ by no more than this are of one grey.
_MAX_GREY_DIFFERENCE = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """Frames on disk.

    Args:
        stored: `(frames, height, width)`, or with 1 or 3 colors as fourth axis.
        scale: Factor from stored values to grey levels: 255 for values from 0 to 1.
        notes: What was scaled or converted, for the user.
    """

    stored: StoredArray
    scale: float
    notes: tuple[str, ...]

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return self.stored.shape[0]

    @property
    def height(self) -> int:
        """Rows of a frame."""
        return self.stored.shape[1]

    @property
    def width(self) -> int:
        """Columns of a frame."""
        return self.stored.shape[2]

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return frames by their numbers, uint8 `(len(numbers), height, width)`.

        Raises:
            RecordingError: Values lie outside 0 to 255, or the file has become unreadable.
        """
        result = np.empty((len(numbers), self.height, self.width), np.uint8)
        if len(numbers) == 0:
            return result
        num_at_once = max(1, _BLOCK_BYTES // max(1, self.height * self.width * 8))
        # Consecutive frames are read at once.
        is_first = np.concatenate(([True], np.diff(numbers) != 1))
        starts = np.flatnonzero(is_first).tolist()
        for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
            for first in range(start, stop, num_at_once):
                last = min(first + num_at_once, stop)
                at = int(numbers[first])
                result[first:last] = self._to_grey(self.stored.read(at, at + last - first))
        return result

    def grey_level(self, number: int) -> int | None:
        """Return the level of a frame that is one grey all over; None for any other frame."""
        frame = self.read(np.array([number]))
        low, high = int(frame.min()), int(frame.max())
        return low if high - low <= _MAX_GREY_DIFFERENCE else None

    def _to_grey(self, block: NDArray[np.generic]) -> NDArray[np.uint8]:
        if block.dtype == np.uint8 and self.scale == 1 and block.ndim == 3:
            return block.astype(np.uint8, copy=False)
        values = block.astype(np.float64) * self.scale
        low, high = float(values.min()), float(values.max())
        # Not a number fails this comparison too.
        if not (low >= -0.5 and high <= 255.5):
            raise RecordingError(
                f"{self.stored.source}: frames of {block.dtype} must lie between 0 and 255, or "
                f"between 0 and 1: found {low / self.scale:g} to {high / self.scale:g}",
                hint="store the frames as uint8, grey levels 0 to 255",
            )
        if values.ndim == 4:
            values = values @ _LUMA if values.shape[-1] == 3 else values[..., 0]
        return np.rint(np.clip(values, 0, 255)).astype(np.uint8)


def open_frames(stored: StoredArray) -> Frames:
    """Check the shape of stored frames and find the range of their values.

    Args:
        stored: The array.

    Raises:
        RecordingError: The shape is not one of frames.
    """
    shape = stored.shape
    if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise RecordingError(
            f"{stored.source} must hold frames as (frames, height, width), with or without "
            f"colors: its shape is {shape}",
            hint="move the axis of the frames to the front: np.moveaxis(frames, -1, 0)",
        )
    notes = []
    name = "frames"
    scale = 1.0
    if not _exceeds_one(stored):
        scale = 255.0
        notes.append(f"{name}: values lie between 0 and 1; they are multiplied by 255")
    if len(shape) == 4 and shape[3] == 3:
        notes.append(f"{name}: color was made grey (luma)")
    return Frames(stored=stored, scale=scale, notes=tuple(notes))


def _exceeds_one(stored: StoredArray) -> bool:
    """Return whether any value exceeds 1; reads on only while none does."""
    num_values = int(np.prod(stored.shape[1:]))
    num_at_once = max(1, _BLOCK_BYTES // (num_values * 8))
    for first in range(0, stored.shape[0], num_at_once):
        block = stored.read(first, min(first + num_at_once, stored.shape[0]))
        if float(np.nanmax(block, initial=0)) > 1 + _UNIT_TOLERANCE:
            return True
    return False
