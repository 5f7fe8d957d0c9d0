"""The frames of one trial on disk, of any shape and dtype, as 8-bit grey levels."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.npy_header import read_bytes, read_npy_header

# Luma of ITU-R BT.601, close to the response of a grey-scale camera.
_LUMA = np.array([0.299, 0.587, 0.114])
# Frames that were resized lie this much outside the range of their levels.
UNIT_TOLERANCE = 1e-3
# Frames that never get brighter are as good as black, and probably in another unit.
DARK_LEVEL = 16.0
_BLOCK_BYTES = 2 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFile:
    """The header of a trial's file.

    Args:
        path: The `.npy` file.
        num_frames: Number of frames.
        height: Rows of a frame.
        width: Columns of a frame.
        color: Whether frames have three color channels, which are converted to grey.
        dtype: Dtype of the stored values.
        column_major: Whether the first axis of the file runs fastest.
        offset_bytes: Position of the first value in the file.
        is_unit: Whether values from 0 to 1 are black to white, and not 0 to 255.
    """

    path: Path
    num_frames: int
    height: int
    width: int
    color: bool
    dtype: np.dtype[Any]
    column_major: bool
    offset_bytes: int
    is_unit: bool = False


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
        header = read_npy_header(path)
    _require_numbers(path, header.dtype)
    shape = header.shape
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
        dtype=header.dtype,
        column_major=header.column_major,
        offset_bytes=header.offset_bytes,
    )


def read_frames(file: FrameFile, first: int, last: int) -> NDArray[np.uint8]:
    """Return frames `first` to `last` (excluded) of a trial, uint8 `(n, height, width)`.

    Raises:
        RecordingError: Values lie outside 0 to 255.
    """
    if first == last:
        return np.empty((0, file.height, file.width), np.uint8)
    frames = _read_stored(file, first, last)
    if frames.dtype == np.uint8 and not file.color and not file.is_unit:
        return frames
    values = frames.astype(np.float64)
    if file.is_unit:
        values = np.clip(values, 0.0, 1.0) * 255
    elif frames.dtype != np.uint8:
        _require_grey_levels(values, file.path, frames.dtype)
    if file.color:
        values = values @ _LUMA
    return np.rint(values).astype(np.uint8)


def find_highest_level(files: Iterable[FrameFile]) -> float:
    """Return the highest value of all frames; infinity if it is beyond 16 or a value is below 0.

    Reads up to the first such value, which is in the first frames of a usual recording.
    """
    highest = 0.0
    for file in files:
        frame_bytes = file.height * file.width * file.dtype.itemsize * (3 if file.color else 1)
        step = max(1, _BLOCK_BYTES // frame_bytes)
        for first in range(0, file.num_frames, step):
            frames = _read_stored(file, first, min(first + step, file.num_frames))
            low, high = float(frames.min()), float(frames.max())
            if not (low >= -UNIT_TOLERANCE and high <= DARK_LEVEL):
                return float("inf")
            highest = max(highest, high)
    return highest


def _read_stored(file: FrameFile, first: int, last: int) -> NDArray[Any]:
    """Return frames as stored, `(n, height, width)` with a last axis of 3 if in color."""
    channels = (3,) if file.color else ()
    shape = (file.num_frames, file.height, file.width, *channels)
    with _translate_read_errors(file.path):
        if file.column_major:
            return np.array(_load(file.path).reshape(shape)[first:last])
        # Not mapped: small files are read faster, and on file systems that cannot map.
        frames = np.empty((last - first, *shape[1:]), file.dtype)
        with file.path.open("rb") as stream:
            at = file.offset_bytes + first * frames[0].nbytes
            read_bytes(stream, frames.reshape(-1).view(np.uint8).data, at)
    return frames


def _load(path: Path) -> NDArray[Any]:
    """Map an array into memory, or read all of it where the file system cannot map."""
    try:
        mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        mapped = np.load(path, allow_pickle=False)
    return mapped


def _require_grey_levels(values: NDArray[np.float64], path: Path, dtype: np.dtype[Any]) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 255):
        raise RecordingError(
            f"{path}: frames of {dtype} must lie between 0 and 255: found {low:g} to {high:g}",
            hint="store the frames as uint8, grey levels 0 to 255",
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
