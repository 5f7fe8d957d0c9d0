"""The frames of one trial on disk, of any shape and dtype, as 8-bit grey levels."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError

# Luma of ITU-R BT.601, close to the response of a grey-scale camera.
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFile:
    """The header of a trial's file.

    Args:
        path: The `.npy` file.
        num_frames: Number of frames.
        height: Rows of a frame.
        width: Columns of a frame.
        color: Whether frames have three color channels, which are converted to grey.
    """

    path: Path
    num_frames: int
    height: int
    width: int
    color: bool


def read_frame_header(path: Path, *, video: bool) -> FrameFile:
    """Read the header of a trial's file and check the file's length.

    Args:
        path: A `.npy` file of shape (T, H, W) for a video or (H, W) for an image, each with an
            optional last axis of 1 or 3 color channels.
        video: Whether the first axis is time.

    Raises:
        RecordingError: The file is missing, truncated, or has another shape or dtype.
    """
    with _translate_read_errors(path):
        with path.open("rb") as stream:
            # Only version 1.0 has a short field for the header's length.
            is_first = npy.read_magic(stream) == (1, 0)
            read = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
            shape, _, dtype = read(stream)
            missing = stream.tell() + math.prod(shape) * dtype.itemsize - path.stat().st_size
        if missing > 0:
            raise ValueError(f"the last {missing:,} bytes are missing")
    _require_numbers(path, dtype)
    # The number of axes decides: a grey video may be 3 pixels wide.
    has_channels = len(shape) == (4 if video else 3) and shape[-1] in (1, 3)
    spatial = shape[:-1] if has_channels else shape
    if not video and len(spatial) == 2:
        spatial = (1, *spatial)
    if len(spatial) != 3 or 0 in spatial or (not video and spatial[0] != 1):
        expected = "(frames, height, width)" if video else "(height, width)"
        raise RecordingError(
            f"{path} must hold frames as {expected}, with or without colors: its shape is {shape}"
        )
    return FrameFile(
        path=path,
        num_frames=spatial[0],
        height=spatial[1],
        width=spatial[2],
        color=has_channels and shape[-1] == 3,
    )


def read_frames(file: FrameFile, first: int, last: int) -> NDArray[np.uint8]:
    """Return frames `first` to `last` (excluded) of a trial, uint8 `(n, height, width)`.

    Raises:
        RecordingError: Values lie outside 0 to 255.
    """
    with _translate_read_errors(file.path):
        stored: NDArray[Any] = np.load(file.path, mmap_mode="r", allow_pickle=False)
        _require_numbers(file.path, stored.dtype)
        channels = (3,) if file.color else ()
        shape = (file.num_frames, file.height, file.width, *channels)
        frames = np.array(stored.reshape(shape)[first:last])
    if frames.dtype == np.uint8 and not file.color:
        return frames
    values = frames.astype(np.float64)
    if frames.dtype != np.uint8:
        _require_grey_levels(values, file.path, frames.dtype)
    if file.color:
        values = values @ _LUMA
    return np.rint(values).astype(np.uint8)


def _require_grey_levels(values: NDArray[np.float64], path: Path, dtype: np.dtype[Any]) -> None:
    low, high = float(values.min()), float(values.max())
    hint = "store the frames as uint8, grey levels 0 to 255"
    if not (low >= 0 and high <= 255):
        raise RecordingError(
            f"{path}: frames of {dtype} must lie between 0 and 255: found {low:g} to {high:g}",
            hint=hint,
        )
    if high <= 1 and bool((values % 1 != 0).any()):
        raise RecordingError(
            f"{path}: frames of {dtype} must be grey levels from 0 to 255, but they lie between "
            f"{low:g} and {high:g}",
            hint=hint,
        )


@contextlib.contextmanager
def _translate_read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise RecordingError(
            f"{path} is missing: the trial's frames cannot be read",
            hint="copy the recording again; only blank and invalid trials have no file",
        ) from error
    except (ValueError, EOFError, OSError) as error:
        raise RecordingError(
            f"{path} cannot be read as frames: {error}", hint="copy the file again"
        ) from error


def _require_numbers(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "iuf":
        raise RecordingError(
            f"{path}: frames must be numbers from 0 to 255: their dtype is {dtype}"
        )
