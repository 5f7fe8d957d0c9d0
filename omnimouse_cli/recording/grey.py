"""Stored images of any shape and type as 8-bit grey levels."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError

# Luma of ITU-R BT.601, close to the response of a grey-scale camera.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_COLORS = (3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class GreyScale:
    """How stored values become grey levels from 0 to 255: value * factor + offset.

    Args:
        factor: Grey levels per unit of the stored values.
        offset: Grey level of a stored 0.
        note: What was assumed, for the user; empty if the values are grey levels.
    """

    factor: float = 1.0
    offset: float = 0.0
    note: str = ""

    def apply(self, images: NDArray[Any], where: str) -> NDArray[np.uint8]:
        """Return grey levels, uint8 `(images, height, width)`.

        Args:
            images: `(images, height, width)`, or with a last axis of 3 or 4 colors.
            where: File and path inside it, for messages.

        Raises:
            RecordingError: Values are no images, or lie outside 0 to 255.
        """
        require_images(images.shape, where)
        if images.dtype.kind not in "buif":
            raise RecordingError(
                f"{where}: images must be numbers: they are {images.dtype}",
                hint="store the images as uint8, grey levels 0 to 255",
            )
        if images.dtype != np.uint8 or (self.factor, self.offset) != (1.0, 0.0):
            images = images.astype(np.float32) * self.factor + self.offset
            low, high = float(images.min(initial=255)), float(images.max(initial=0))
            if not (low >= -0.5 and high <= 255.5):
                raise RecordingError(
                    f"{where}: grey levels must lie between 0 and 255: found {low:g} to {high:g}",
                    hint="store the images as uint8, grey levels 0 to 255",
                )
            images = np.clip(np.rint(images), 0, 255).astype(np.uint8)
        return _luma(images) if images.ndim == 4 else images


def require_images(shape: tuple[int, ...], where: str) -> None:
    """Check the shape of stored images.

    Args:
        shape: `(images, height, width)` with or without an axis of 3 or 4 colors.
        where: File and path inside it, for messages.

    Raises:
        RecordingError: The shape is another one.
    """
    is_color = len(shape) == 4 and shape[-1] in _COLORS
    if (len(shape) != 3 and not is_color) or 0 in shape[1:]:
        raise RecordingError(
            f"{where} must hold images as (images, height, width) with or without colors: its "
            f"shape is {shape}",
            hint="move the axis of the images to the front: np.moveaxis(images, -1, 0)",
        )


def find_scale(samples: NDArray[Any], conversion: float, offset: float, where: str) -> GreyScale:
    """Return how values become grey levels, from a sample of the images.

    Args:
        samples: Some of the images, any shape.
        conversion: Factor that the file states.
        offset: Offset that the file states.
        where: Path inside the file, for the note.

    Raises:
        RecordingError: The values fit no known scale.

    Example:
        >>> find_scale(np.array([[0.0, 0.5]]), 1.0, 0.0, "film").factor
        255.0
    """
    if samples.dtype.kind not in "buif":
        raise RecordingError(
            f"{where}: images must be numbers: their dtype is {samples.dtype}",
            hint="store the images as uint8, grey levels 0 to 255",
        )
    low = float(samples.min(initial=0)) * conversion + offset
    high = float(samples.max(initial=0)) * conversion + offset
    is_symmetric = -1 <= low < 0 and 0 <= high <= 1
    if not (is_symmetric or -0.5 <= low <= high <= 255.5):
        raise RecordingError(
            f"{where}: images must hold grey levels from 0 to 255, or 0 to 1, or -1 to 1: found "
            f"{low:g} to {high:g}",
            hint="store the images as uint8, grey levels 0 to 255",
        )
    if is_symmetric:
        return GreyScale(
            factor=127.5 * conversion,
            offset=127.5 * (offset + 1),
            note=f"{where}: values from -1 to 1 were scaled to grey levels from 0 to 255",
        )
    if high == 1 or (0 < high < 1 and samples.dtype.kind == "f"):
        return GreyScale(
            factor=255.0 * conversion,
            offset=255.0 * offset,
            note=f"{where}: values from 0 to 1 were scaled to grey levels from 0 to 255",
        )
    return GreyScale(factor=conversion, offset=offset)


def consecutive_runs(numbers: NDArray[np.int64], longest: int) -> Iterator[tuple[int, int]]:
    """Yield first and last (excluded) position of runs of consecutive numbers, read at once.

    Args:
        numbers: int64 `(n,)`: numbers of images.
        longest: Most images of a run.

    Example:
        >>> list(consecutive_runs(np.array([4, 5, 6, 9]), 2))
        [(0, 2), (2, 3), (3, 4)]
    """
    breaks = (np.flatnonzero(np.diff(numbers) != 1) + 1).tolist()
    for begin, end in pairwise([0, *breaks, len(numbers)]):
        for first in range(begin, end, longest):
            yield first, min(first + longest, end)


def spread_numbers(count: int, most: int) -> list[int]:
    """Return some numbers from 0 to `count - 1`, evenly spread, the first and the last included."""
    numbers = np.linspace(0, count - 1, min(count, most))
    return [int(number) for number in np.unique(numbers.astype(np.int64))]


def _luma(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of colors, uint8 `(images, height, width)`."""
    result = np.empty(images.shape[:3], np.uint8)
    # One image at a time stays in the cache of the CPU.
    for number, image in enumerate(images):
        result[number] = image[..., :3].astype(np.float32) @ _LUMA + np.float32(0.5)
    return result
