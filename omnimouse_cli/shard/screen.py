"""The frames of a recording's screen: one size, and identical stimuli stored once."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import ByteStream, Checksum
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Recording, Screen, Trial
from omnimouse_cli.shard.blocks import BLOCK_BYTES

# The frames that the model sees. Source: omnimouse reference, section 1.
FRAME_HEIGHT = 36
FRAME_WIDTH = 64
# Of a checksum that names a stimulus.
_NAME_BYTES = 8


class FramePass:
    """Writes the distinct frames trial by trial, and learns which flip shows which of them.

    Args:
        recording: The recording.
        screen: Its screen.

    Attributes:
        digests: Checksums of the frames of trials, by the number of the trial.
    """

    def __init__(self, recording: Recording, screen: Screen) -> None:
        self.digests: dict[int, bytes] = {}
        self._recording = recording
        self._screen = screen
        self._stored: dict[bytes, int] = {}
        self._num_frames = 0
        self._frame_index = np.full(len(screen.flip_seconds), -1, dtype=np.int64)

    def write(
        self, descriptor: int, first_byte: int, *, advance: Callable[[int], None]
    ) -> tuple[int, str]:
        """Write the frames, uint8 `(frames, 36, 64)`, in one pass over the trials.

        Args:
            descriptor: Of the open file.
            first_byte: Where in it the first frame goes.
            advance: Hears of trials.

        Returns:
            How many frames there are, and the hexadecimal digits of their checksum.

        Raises:
            RecordingError: A trial's frames are not as many as its flips.
        """
        stream = ByteStream(descriptor, first_byte=first_byte)
        for frames in self._distinct(advance):
            stream.write(frames)
        return self._num_frames, stream.finish()

    def _distinct(self, advance: Callable[[int], None]) -> Iterator[NDArray[np.uint8]]:
        """Yield uint8 `(frames, 36, 64)` that were not there before."""
        for number, trial in enumerate(self._recording.trials):
            advance(1)
            if trial.num_flips == 0:
                continue
            frames = np.ascontiguousarray(resized(self._read(number, trial)))
            checksum = Checksum()
            checksum.update(frames)
            self.digests[number] = checksum.digest()
            first = self._stored.setdefault(self.digests[number], self._num_frames)
            flips = slice(trial.first_flip, trial.first_flip + trial.num_flips)
            self._frame_index[flips] = first + np.arange(len(frames))
            if first == self._num_frames:
                self._num_frames += len(frames)
                yield frames

    def _read(self, number: int, trial: Trial) -> NDArray[np.uint8]:
        frames = self._screen.read_trial(number)
        if len(frames) != trial.num_flips:
            raise RecordingError(
                f"{self._recording.path}: trial {number} must have a frame for each of its "
                f"{trial.num_flips} flips: {len(frames)} frames"
            )
        return frames

    def frame_index(self) -> NDArray[np.int64]:
        """Give, after the last trial, the stored frame of every flip: int64 `(flips,)`.

        Raises:
            RecordingError: A flip belongs to no trial.
        """
        missing = np.flatnonzero(self._frame_index < 0)
        if len(missing):
            raise RecordingError(
                f"{self._recording.path}: every flip of the screen must belong to a trial: "
                f"{len(missing)} do not, the first at "
                f"{self._screen.flip_seconds[missing[0]]:.3f} s"
            )
        return self._frame_index


def conditions_of(recording: Recording, digests: Mapping[int, bytes]) -> list[str | None]:
    """Name the stimulus of every trial.

    Args:
        recording: The recording.
        digests: As a `FramePass` gives them. A trial that is known by its frames and has none is
            given a name that no other has, as long as the one to come.
    """
    names: list[str | None] = []
    for number, trial in enumerate(recording.trials):
        if trial.condition is None and trial.identified_by_frames:
            digest = digests.get(number, number.to_bytes(_NAME_BYTES, "big"))
            names.append(f"{trial.kind} {digest[:_NAME_BYTES].hex()}")
        else:
            names.append(trial.condition)
    return names


def resized(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring uint8 `(frames, height, width)` to 36 x 64 by averaging areas.

    A new pixel is the mean of what it covers, parts of pixels counted by their share.
    """
    height, width = frames.shape[1:]
    if (height, width) == (FRAME_HEIGHT, FRAME_WIDTH):
        return frames
    rows, columns = _area_weights(height, FRAME_HEIGHT), _area_weights(width, FRAME_WIDTH)
    result = np.empty((len(frames), FRAME_HEIGHT, FRAME_WIDTH), dtype=np.uint8)
    num_frames = max(1, BLOCK_BYTES // (8 * height * width))
    for first in range(0, len(frames), num_frames):
        block = frames[first : first + num_frames].astype(np.float64)
        result[first : first + num_frames] = np.floor(rows @ block @ columns.T + 0.5)
    return result


def _area_weights(num_source: int, num_target: int) -> NDArray[np.float64]:
    """`(num_target, num_source)`: which share of a new pixel each old one fills; rows sum to 1."""
    edges = np.arange(num_target + 1) * (num_source / num_target)
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(num_source)[None, :]
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0.0, None)
    weights: NDArray[np.float64] = overlap / overlap.sum(axis=1, keepdims=True)
    return weights
