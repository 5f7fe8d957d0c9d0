"""Films in files of their own beside an NWB file, decoded with OpenCV where it is installed."""

import contextlib
import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.grey import GreyScale
from omnimouse_cli.recording.nwb.tree import Node, path_in_folder
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH, resize_frames

_GREY_LEVELS = GreyScale()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalFilm:
    """An encoded film.

    Args:
        path: The file.
        num_frames: Number of its frames.
    """

    path: Path
    num_frames: int

    def read(self, numbers: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return frames, uint8 `(len(numbers), 36, 64)`; one is decoded at once.

        Args:
            numbers: int64 `(n,)`, ascending: numbers of the frames.

        Raises:
            RecordingError: A frame cannot be decoded.
        """
        result = np.empty((len(numbers), FRAME_HEIGHT, FRAME_WIDTH), np.uint8)
        with _open(self.path) as (capture, opencv):
            at = 0
            if len(numbers) and numbers[0] > 0:
                capture.set(opencv.CAP_PROP_POS_FRAMES, int(numbers[0]))
                at = int(capture.get(opencv.CAP_PROP_POS_FRAMES))
            if len(numbers) and at != numbers[0]:
                # The codec cannot go to this frame: frames are decoded from the first one on.
                capture.set(opencv.CAP_PROP_POS_FRAMES, 0)
                at = 0
            frame = None
            for place, number in enumerate(numbers.tolist()):
                while at <= number:
                    is_read, frame = capture.read()
                    if not is_read:
                        raise RecordingError(
                            f"{self.path}: frame {at} of {self.num_frames} cannot be decoded",
                            hint="copy the film again, or convert it with ffmpeg",
                        )
                    at += 1
                image = np.asarray(frame)[None]
                # OpenCV has blue first.
                image = image[..., ::-1] if image.ndim == 4 else image
                result[place] = resize_frames(_GREY_LEVELS.apply(image, str(self.path)))[0]
        return result


def open_external(node: Node, names: Sequence[str]) -> tuple[ExternalFilm | None, str]:
    """Open the film that a series names.

    Args:
        node: An ImageSeries without frames of its own.
        names: Paths of the files that hold them, relative to the folder of the NWB file.

    Returns:
        The film; or None, and why its frames are not known.
    """
    if not names:
        return None, f"{node.path}: has no frames and names no file that holds them"
    text = f"{node.path}: its frames are in {', '.join(names)}"
    paths = [path_in_folder(node.file, name) for name in names]
    found = [path for path in paths if path is not None and path.is_file()]
    if len(found) < len(names):
        return None, f"{text}, which is absent from the folder: what was shown is not known"
    if len(found) > 1:
        return None, f"{text}; films in several files are not read"
    film, reason = None, ""
    try:
        with _open(found[0]) as (capture, opencv):
            num_frames = int(capture.get(opencv.CAP_PROP_FRAME_COUNT))
        if num_frames > 0:
            film = ExternalFilm(path=found[0], num_frames=num_frames)
        else:
            reason = f"{text}, which says that it has no frames"
    except ModuleNotFoundError:
        reason = (
            f"{text}, which is decoded with OpenCV only, and that is not installed: "
            "pip install opencv-python-headless"
        )
    except RecordingError as error:
        reason = f"{node.path}: {error.message}"
    return film, reason


@contextlib.contextmanager
def _open(path: Path) -> Iterator[tuple[Any, Any]]:
    """Yield OpenCV's reader of a film, and OpenCV.

    Raises:
        ModuleNotFoundError: OpenCV is not installed.
        RecordingError: The film cannot be opened.
    """
    opencv = importlib.import_module("cv2")
    capture = opencv.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise RecordingError(
                f"{path} cannot be decoded", hint="convert the film to AVI or MP4 with ffmpeg"
            )
        yield capture, opencv
    finally:
        capture.release()
