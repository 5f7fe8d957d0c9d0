"""A movie of any size, length and frame rate, and its frames at the size and rate of a model."""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import FRAME_RATE_HZ
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.recording.recording import FLIP_TOLERANCE_SECONDS, latest_index
from omnimouse_cli.recording.resize import resize_frames

U8 = NDArray[np.uint8]
F64 = NDArray[np.float64]
# Resized frames that are in memory at once.
FRAMES_AT_ONCE = 512
# Relative difference of aspect ratios from which on a note says that frames are deformed.
MAX_DEFORMATION = 0.02


class Block(NamedTuple):
    """Consecutive frames of a movie.

    Args:
        seconds: float64 `(frames,)`: times at which they appear, from the first frame.
        frames: uint8 `(frames, height, width)`: grey levels.
    """

    seconds: F64
    frames: U8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Movie:
    """A movie, which is read in blocks.

    Args:
        source: The file or folder, or `frames` of an array.
        frame_shape: Height and width in pixels.
        num_frames: Number of frames.
        fps: Frames per second; the mean of a video without a constant rate.
        fps_is_given: Whether the frame rate is the user's.
        notes: A sentence for each thing that was assumed or converted.
        read: Returns an iterator over all frames in blocks.
        array_shape: Shape of an array or of the array in a file; empty for images and videos.
    """

    source: str
    frame_shape: tuple[int, int]
    num_frames: int
    fps: float
    fps_is_given: bool
    notes: tuple[str, ...]
    read: Callable[[], Iterator[Block]]
    array_shape: tuple[int, ...] = ()

    @property
    def num_samples(self) -> int:
        """Number of samples of 1/30 s; approximate for a video without a constant rate."""
        return _num_samples(self.num_frames / self.fps)


def with_checksum(movie: Movie) -> tuple[Movie, Callable[[], str]]:
    """Return a movie, and a function that returns the SHA-256 of the frames read so far."""
    digest = hashlib.sha256()

    def read() -> Iterator[Block]:
        for block in movie.read():
            digest.update(block.frames.tobytes())
            yield block

    return replace(movie, read=read), digest.hexdigest


def require_frames_first(movie: Movie, frame_shape: tuple[int, int]) -> None:
    """Refuse an array `(height, width, frames)`, which would be taken for other frames.

    Args:
        movie: The movie.
        frame_shape: Height and width of the model's frames in pixels.

    Raises:
        OmniMouseError: The last axis of an array without colors is the longest, and the first two
            have the aspect of the model's frames.
    """
    if len(movie.array_shape) != 3:
        return
    first, second, last = movie.array_shape
    if last > max(first, second) and first * frame_shape[1] == second * frame_shape[0]:
        target = f"{frame_shape[0]} x {frame_shape[1]}"
        raise OmniMouseError(
            f"{movie.source} has the shape {movie.array_shape}: the frames must be the first axis, "
            f"and the first two axes have the aspect of the model's frames, {target}",
            hint="move the axis: np.moveaxis(video, -1, 0); if these are indeed "
            f"{first} frames of {second} x {last}, resize them to {target} first",
        )


def screen_frames(movie: Movie, frame_shape: tuple[int, int]) -> Iterator[U8]:
    """Yield the frames that a model sees, by area averaging and sample-and-hold at 30 Hz.

    Args:
        movie: The movie.
        frame_shape: Height and width of the model's frames in pixels.

    Yields:
        uint8 `(frames, *frame_shape)`, at most 512 at once. Frame k is the movie's latest at k/30
        seconds; the last one is shown as long as the others.

    Raises:
        OmniMouseError: A frame cannot be read, or there is none.
    """
    shown, last = 0, None
    for block in movie.read():
        seconds, frames = block
        if last is not None:
            seconds = np.concatenate([last.seconds, seconds])
            frames = np.concatenate([last.frames, frames])
        # The last frame of a block is shown until the next one begins.
        until = _num_samples(float(seconds[-1]))
        yield from _hold(Block(seconds, frames), shown, until, frame_shape)
        shown = max(shown, until)
        last = Block(seconds[-1:], frames[-1:])
    if last is None:
        raise no_frames(movie.source)
    until = _num_samples(float(last.seconds[0]) + 1 / movie.fps)
    yield from _hold(last, shown, until, frame_shape)


def describe_movie(movie: Movie, frame_shape: tuple[int, int]) -> list[str]:
    """Return a sentence for each step from a movie to the frames that a model sees."""
    height, width = movie.frame_shape
    lines = list(movie.notes)
    rate = f"{movie.fps:.6g} frames per second"
    if movie.fps == FRAME_RATE_HZ:
        lines.append(f"{movie.source}: {rate}, the rate of the model")
    else:
        lines.append(f"{movie.source}: {rate}, shown at 30 Hz by sample-and-hold")
    if movie.frame_shape != frame_shape:
        target = f"{frame_shape[0]} x {frame_shape[1]}"
        lines.append(f"{movie.source}: frames of {height} x {width} are averaged to {target}")
        ratio = width * frame_shape[0] / (height * frame_shape[1])
        if abs(ratio - 1) > MAX_DEFORMATION:
            lines.append(
                f"{movie.source}: frames are deformed, as {height} x {width} and {target} differ "
                "in their aspect ratio"
            )
    return lines


def _num_samples(seconds: float) -> int:
    """Return how many samples of 1/30 s begin before a time."""
    return max(0, math.ceil((seconds - FLIP_TOLERANCE_SECONDS) * FRAME_RATE_HZ))


def _hold(block: Block, first: int, last: int, frame_shape: tuple[int, int]) -> Iterator[U8]:
    for begin in range(first, last, FRAMES_AT_ONCE):
        sample = np.arange(begin, min(begin + FRAMES_AT_ONCE, last))
        rows, where = np.unique(
            latest_index(block.seconds, sample / FRAME_RATE_HZ), return_inverse=True
        )
        yield resize_frames(block.frames[rows], frame_shape)[where]


def no_frames(source: str) -> OmniMouseError:
    """Return the error of a movie without frames."""
    return OmniMouseError(f"{source} has no frames", hint="name a movie with frames: --video")
