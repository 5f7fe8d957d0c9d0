"""Opens movies: arrays, `.npy` and `.npz` files, folders of images, and videos."""

import glob
import math
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import FRAME_RATE_HZ
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.probing.movie import U8, Block, Movie, no_frames
from omnimouse_cli.recording.arrays.frames import open_frames
from omnimouse_cli.recording.arrays.npy import (
    ZIP_ERRORS,
    StoredArray,
    open_npy,
    open_npz_member,
)
from omnimouse_cli.recording.extras import require_extra
from omnimouse_cli.recording.grey import GreyScale
from omnimouse_cli.recording.npy_header import require_numbers
from omnimouse_cli.text import pluralize, suggest_name

# Extra of omnimouse that installs the libraries which decode videos and images.
EXTRA = "video"
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".tif", ".tiff", ".webp")
# Bytes of frames that are in memory at once.
BLOCK_BYTES = 8 * 2**20
# A file may state this many frames more than it has: containers count some that are not shown.
MISSING_PACKETS = 2
_NUMBERS = re.compile(r"(\d+)")
_GREY_LEVELS = GreyScale()


def open_movie(source: Path | NDArray[Any], *, fps: float | None = None) -> Movie:
    """Open a movie; arrays are checked as a whole, the frames of files are read later.

    Grey levels lie between 0 and 255. Arrays whose values lie between 0 and 1, or -1 and 1, are
    scaled, which a note says. Colors become their luma (ITU-R BT.601).

    Args:
        source: Array `(frames, height, width)`, with or without 1, 3 or 4 colors as last axis; a
            `.npy` file; an `.npz` file with one array or one named `frames`; a folder of images,
            in the natural order of their names; or a video file, for example MP4, AVI or GIF.
        fps: Frames per second; None takes the times of a video file, and otherwise 30.

    Raises:
        OmniMouseError: The movie has no frames, holds NaN, has 2 colors, is damaged or of an
            unknown kind, or `fps` is not positive.

    Example:
        >>> movie = open_movie(np.zeros((90, 36, 64), np.uint8), fps=60)
        >>> movie.num_samples, movie.frame_shape
        (45, (36, 64))
    """
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise OmniMouseError(
            f"`fps` must be a positive number: {fps:g}", hint="for example --fps 30"
        )
    if not isinstance(source, Path):
        return _open_array(_stored(np.asarray(source)), fps)
    if not source.exists():
        beside = [path.name for path in source.parent.glob(f"{glob.escape(source.stem)}.*")]
        hint = suggest_name(source.name, beside) if beside else "name a movie: --video FILE|FOLDER"
        raise OmniMouseError(f"{source} does not exist", hint=hint)
    if source.is_dir():
        return _open_images(source, fps)
    if source.suffix.lower() == ".npy":
        return _open_array(open_npy(source), fps)
    if source.suffix.lower() == ".npz":
        return _open_array(_open_member(source), fps)
    return _open_video(source, fps)


def _stored(values: NDArray[Any]) -> StoredArray:
    require_numbers("frames", values.dtype)
    return StoredArray(
        source="frames", path=Path(), shape=values.shape, dtype=values.dtype, values=values
    )


def _open_member(path: Path) -> StoredArray:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, *ZIP_ERRORS) as error:
        raise OmniMouseError(
            f"{path} cannot be read as an .npz file: {error}", hint="copy or write the file again"
        ) from error
    if "frames" not in names and len(names) != 1:
        raise OmniMouseError(
            f"{path} must hold one array, or one named `frames`: it has "
            f"{', '.join(names) or 'none'}",
            hint="write it by np.savez(path, frames=frames)",
        )
    return open_npz_member(path, "frames" if "frames" in names else names[0])


def _open_array(stored: StoredArray, fps: float | None) -> Movie:
    shape = stored.shape
    if len(shape) in (3, 4) and shape[0] == 0:
        raise no_frames(stored.source)
    _require_finite(stored)
    opened = open_frames(stored)
    if stored.dtype != np.uint8:
        # A frame out of range is found now, and not in the middle of a long prediction.
        for _, values in _array_blocks(stored):
            opened.scale.apply(_without_channel(values), stored.source)
    rate, notes = _rate(stored.source, fps)

    def read() -> Iterator[Block]:
        for first, values in _array_blocks(stored):
            grey = opened.scale.apply(_without_channel(values), stored.source)
            yield Block((first + np.arange(len(grey))) / rate, grey)

    return Movie(
        source=stored.source,
        frame_shape=(opened.height, opened.width),
        num_frames=opened.num_frames,
        fps=rate,
        fps_is_given=fps is not None,
        notes=(*opened.notes, *notes),
        read=read,
        array_shape=tuple(shape),
    )


def _array_blocks(stored: StoredArray) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield consecutive stored frames in blocks, each with the number of its first frame."""
    # Frames become float32 on their way to grey levels.
    num_at_once = max(1, BLOCK_BYTES // max(1, 4 * math.prod(stored.shape[1:])))
    for first in range(0, stored.shape[0], num_at_once):
        yield first, stored.read(first, min(first + num_at_once, stored.shape[0]))


def _without_channel(values: NDArray[Any]) -> NDArray[Any]:
    return values[..., 0] if values.shape[3:] == (1,) else values


def _require_finite(stored: StoredArray) -> None:
    if stored.dtype.kind != "f" or len(stored.shape) not in (3, 4):
        return
    for first, values in _array_blocks(stored):
        finite = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not finite.all():
            raise OmniMouseError(
                f"{stored.source}: grey levels must be finite: frame {first + finite.argmin()} "
                "holds NaN or infinity",
                hint="replace them, for example by np.nan_to_num(frames, nan=127)",
            )


def _rate(source: str, fps: float | None) -> tuple[float, tuple[str, ...]]:
    if fps is not None:
        return fps, ()
    return FRAME_RATE_HZ, (
        f"{source}: no frame rate is given, so 30 frames per second are assumed (--fps)",
    )


def _open_images(folder: Path, fps: float | None) -> Movie:
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    images = sorted((path for path in files if _is_image(path)), key=lambda path: _order(path.name))
    if not images:
        raise OmniMouseError(
            f"{folder} has no images: no name ends in {', '.join(IMAGE_SUFFIXES)}",
            hint="name a folder of images, a video, or an .npy file: --video FILE|FOLDER",
        )
    pillow = require_extra("PIL.Image", EXTRA, images[0])
    shapes = [_image_shape(pillow, path) for path in images]
    for path, shape in zip(images, shapes, strict=True):
        if shape != shapes[0]:
            raise OmniMouseError(
                f"{path} has {shape[0]} x {shape[1]} pixels and {images[0].name} has "
                f"{shapes[0][0]} x {shapes[0][1]}",
                hint="all images of a movie have one size",
            )
    rate, notes = _rate(str(folder), fps)
    others = len(files) - len(images)
    ignored = (f"{folder}: {pluralize(others, 'other file')} ignored",) if others else ()

    def read() -> Iterator[Block]:
        for number, path in enumerate(images):
            with _explain_image(path), pillow.open(path) as image:
                is_grey = image.mode in ("1", "L", "LA")
                values = np.asarray(image.convert("L" if is_grey else "RGB"))
            yield Block(np.array([number / rate]), _GREY_LEVELS.apply(values[None], str(path)))

    return Movie(
        source=str(folder),
        frame_shape=shapes[0],
        num_frames=len(images),
        fps=rate,
        fps_is_given=fps is not None,
        notes=(*notes, *ignored, f"{folder}: images are read as 8-bit grey levels, color as luma"),
        read=read,
    )


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _order(name: str) -> list[tuple[bool, int, str]]:
    """Return a key that sorts numbers within names by value."""
    return [
        (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _NUMBERS.split(name)
    ]


def _image_shape(pillow: Any, path: Path) -> tuple[int, int]:  # noqa: ANN401 - a module
    with _explain_image(path), pillow.open(path) as image:
        mode, (width, height) = image.mode, image.size
    if mode.startswith("I") or mode == "F":
        raise OmniMouseError(
            f"{path} has more than 8 bits per pixel (mode {mode})",
            hint="save 8-bit images, or one .npy file with grey levels from 0 to 255",
        )
    return height, width


@contextmanager
def _explain_image(path: Path) -> Iterator[None]:
    try:
        yield
    # Pillow raises SyntaxError for some damaged files.
    except (OSError, ValueError, SyntaxError) as error:
        raise OmniMouseError(
            f"{path} cannot be read as an image: {error}", hint="copy or write the file again"
        ) from error


def _open_video(path: Path, fps: float | None) -> Movie:
    av = require_extra("av", EXTRA, path)
    with _explain_video(av, path), av.open(str(path)) as container:
        if not container.streams.video:
            raise OmniMouseError(f"{path} has no video stream", hint="name a video file")
        stream = container.streams.video[0]
        rate, stated = stream.average_rate, stream.frames
        first = next(container.decode(stream), None)
        if first is None:
            raise no_frames(str(path))
        shape = (first.height, first.width)
    # Packets are counted without decoding, so that a file cut short is found before a prediction.
    with _explain_video(av, path), av.open(str(path)) as container:
        num_frames = sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)
    if num_frames < stated - MISSING_PACKETS:
        raise OmniMouseError(
            f"{path} is cut short: it states {stated} frames and has {num_frames}",
            hint="copy it again, or convert it with ffmpeg",
        )
    if fps is None and not rate:
        raise OmniMouseError(
            f"{path} does not state its frame rate", hint="name it: --fps FRAMES_PER_SECOND"
        )
    times = "at the times of the file" if fps is None else "at the given rate"
    notes = [f"{path}: decoded to 8-bit colors, whose luma is shown {times}"]
    if fps is not None and rate and abs(fps / float(rate) - 1) > 1e-3:
        notes.append(f"{path}: {fps:g} frames per second as given; the file says {float(rate):g}")

    def read() -> Iterator[Block]:
        with _explain_video(av, path), av.open(str(path)) as opened:
            yield from _video_blocks(opened, path, shape, fps, float(rate or 0))

    return Movie(
        source=str(path),
        frame_shape=shape,
        num_frames=num_frames,
        fps=fps or float(rate),
        fps_is_given=fps is not None,
        notes=tuple(notes),
        read=read,
    )


def _video_blocks(
    container: Any,  # noqa: ANN401 - of an untyped library
    path: Path,
    shape: tuple[int, int],
    fps: float | None,
    rate: float,
) -> Iterator[Block]:
    num_at_once = max(1, BLOCK_BYTES // (3 * math.prod(shape)))
    start, previous = None, -1.0
    seconds: list[float] = []
    frames: list[U8] = []
    for number, frame in enumerate(container.decode(container.streams.video[0])):
        if (frame.height, frame.width) != shape:
            raise OmniMouseError(
                f"{path}: frame {number} has {frame.height} x {frame.width} pixels, those before "
                f"{shape[0]} x {shape[1]}",
                hint="convert the video to one size with ffmpeg",
            )
        time = number / (fps or rate)
        if fps is None and frame.time is not None:
            start = frame.time if start is None else start
            time = frame.time - start
        # Damaged time stamps may go back; frames are shown in their order.
        previous = max(time, previous)
        seconds.append(previous)
        color = frame.to_ndarray(format="rgb24")[None]
        frames.append(_GREY_LEVELS.apply(color, str(path))[0])
        if len(frames) == num_at_once:
            yield Block(np.array(seconds), np.stack(frames))
            seconds, frames = [], []
    if frames:
        yield Block(np.array(seconds), np.stack(frames))


@contextmanager
def _explain_video(av: Any, path: Path) -> Iterator[None]:  # noqa: ANN401 - a module
    try:
        yield
    except av.error.FFmpegError as error:
        raise OmniMouseError(
            f"{path} cannot be decoded as a video: {error.strerror}",
            hint="copy it again, convert it with ffmpeg, or name an .npy file",
        ) from error
