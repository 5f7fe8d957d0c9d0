"""The frames of a stimulus in one array, as 8-bit grey levels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.npy import StoredArray
from omnimouse_cli.recording.grey import GreyScale, consecutive_runs, find_scale

_BLOCK_BYTES = 8 * 2**20
# Frames that were resized lie this much outside the range of their levels.
_UNIT_TOLERANCE = 1e-3
# Frames whose levels differ by no more than this are of one grey.
_MAX_GREY_DIFFERENCE = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """Frames on disk.

    Args:
        stored: `(frames, height, width)`, or with 1, 3 or 4 colors as fourth axis.
        scale: How stored values become grey levels.
        notes: What was scaled or converted, for the user.
    """

    stored: StoredArray
    scale: GreyScale
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
        num_at_once = max(1, _BLOCK_BYTES // max(1, self.height * self.width * 8))
        for first, last in consecutive_runs(numbers, num_at_once):
            block = self.stored.read(int(numbers[first]), int(numbers[last - 1]) + 1)
            if block.ndim == 4 and block.shape[3] == 1:
                block = block[..., 0]
            result[first:last] = self.scale.apply(block, self.stored.source)
        return result

    def grey_level(self, number: int) -> int | None:
        """Return the level of a frame that is one grey all over; None for any other frame."""
        frame = self.read(np.array([number]))
        low, high = int(frame.min()), int(frame.max())
        return low if high - low <= _MAX_GREY_DIFFERENCE else None


def open_frames(stored: StoredArray) -> Frames:
    """Check the shape of stored frames and find the range of their values.

    Args:
        stored: The array.

    Raises:
        RecordingError: The shape is not one of frames.
    """
    shape = stored.shape
    if len(shape) not in (3, 4) or 0 in shape or (len(shape) == 4 and shape[3] not in (1, 3, 4)):
        raise RecordingError(
            f"{stored.source} must hold frames as (frames, height, width), with or without "
            f"colors: its shape is {shape}",
            hint="move the axis of the frames to the front: np.moveaxis(frames, -1, 0)",
        )
    scale = find_scale(_range(stored), 1.0, 0.0, stored.source)
    notes = [scale.note] if scale.note else []
    if len(shape) == 4 and shape[3] != 1:
        ignored = "; its fourth channel is ignored" if shape[3] == 4 else ""
        notes.append(f"frames: color was made grey (luma){ignored}")
    return Frames(stored=stored, scale=scale, notes=tuple(notes))


def _range(stored: StoredArray) -> NDArray[np.generic]:
    """Return the lowest and highest value; reads on only while no value exceeds 1."""
    num_values = int(np.prod(stored.shape[1:]))
    num_at_once = max(1, _BLOCK_BYTES // (num_values * 8))
    extremes = np.zeros(2)
    for first in range(0, stored.shape[0], num_at_once):
        block = stored.read(first, min(first + num_at_once, stored.shape[0]))
        extremes[0] = np.nanmin(block, initial=extremes[0])
        extremes[1] = np.nanmax(block, initial=extremes[1])
        if extremes[1] > 1 + _UNIT_TOLERANCE:
            break
    else:
        for bound in (-1, 0, 1):
            extremes[np.abs(extremes - bound) <= _UNIT_TOLERANCE] = bound
    return extremes.astype(stored.dtype if stored.dtype.kind == "f" else np.float64)
