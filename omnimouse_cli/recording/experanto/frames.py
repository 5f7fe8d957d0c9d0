"""The frames of one trial on disk, whatever their shape and dtype, as 8-bit grey."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError

# Luma of ITU-R BT.601, what a grey-scale camera roughly sees.
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFile:
    """What the header of a trial's file says.

    Args:
        path: The file.
        num_frames: Frames in it.
        height: Rows of a frame.
        width: Columns of a frame.
        color: Three channels that have to become one.
    """

    path: Path
    num_frames: int
    height: int
    width: int
    color: bool


def probe_frames(path: Path, *, video: bool) -> FrameFile:
    """Read only the header of a trial's file.

    Args:
        path: A `.npy` file: video (T, H, W), image (H, W), or with an axis of 1 or 3 colors.
        video: Whether a first axis of time is to be expected.

    Raises:
        RecordingError: The file is missing, cut short, or of another shape or dtype.
    """
    shape = _shape(path)
    expected = "(frames, height, width)" if video else "(height, width)"
    # Only the number of axes tells: a grey video may be 3 pixels wide.
    has_channels = len(shape) == (4 if video else 3) and shape[-1] in (1, 3)
    spatial = shape[:-1] if has_channels else shape
    if not video and len(spatial) == 2:
        spatial = (1, *spatial)
    if len(spatial) != 3 or 0 in spatial or (not video and spatial[0] != 1):
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


def read_frames(file: FrameFile) -> NDArray[np.uint8]:
    """Read a trial's frames, uint8 `(num_frames, height, width)`.

    Raises:
        RecordingError: Values lie outside 0 to 255.
    """
    stored = _load(file.path)
    channels = (3,) if file.color else ()
    frames = stored.reshape(file.num_frames, file.height, file.width, *channels)
    if frames.dtype == np.uint8 and not file.color:
        return frames
    values = frames.astype(np.float64)
    if frames.dtype != np.uint8:
        _check_range(values, file.path, frames.dtype)
    if file.color:
        values = values @ _LUMA
    return np.rint(values).astype(np.uint8)


def _check_range(values: NDArray[np.float64], path: Path, dtype: np.dtype[Any]) -> None:
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


def _shape(path: Path) -> tuple[int, ...]:
    """Read the header of a file, and see that it has as many bytes as that says."""
    with _refused(path):
        with path.open("rb") as stream:
            # Only the first version has a short field for the header's length.
            is_first = npy.read_magic(stream) == (1, 0)
            read = npy.read_array_header_1_0 if is_first else npy.read_array_header_2_0
            shape, _, dtype = read(stream)
            missing = stream.tell() + math.prod(shape) * dtype.itemsize - path.stat().st_size
        if missing > 0:
            raise ValueError(f"the last {missing:,} bytes are missing")
    _require_numbers(path, dtype)
    return shape


def _load(path: Path) -> NDArray[Any]:
    with _refused(path):
        frames: NDArray[Any] = np.load(path, allow_pickle=False)
    _require_numbers(path, frames.dtype)
    return frames


@contextmanager
def _refused(path: Path) -> Iterator[None]:
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
