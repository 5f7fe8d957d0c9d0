"""The frames of a recording's screen: one size, and identical stimuli stored once."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli._native import ByteWriter, Checksum
from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.recording import Recording, Screen, Trial
from omnimouse_cli.recording.resize import resize_frames
from omnimouse_cli.shard.blocks import BLOCK_BYTES

# Frames of a trial, at their stored size, that are kept in memory: 75 MB.
MAX_KEPT_FRAMES = 2**15
# Bytes of the checksum in the name of a stimulus.
_NAME_BYTES = 8
# A clip that is shown again may end so many frames earlier or later, but no more than this share of
# it: trials of the Sensorium sets differ so.
_MOST_CUT_FRAMES = 10
_CUT_SHARE = 6


class FrameWriter:
    """Writes the distinct frames trial by trial, and records which flip shows which of them.

    Args:
        recording: The recording.
        screen: Screen of the recording.

    Attributes:
        digests: Checksum of the stimulus of each trial, by trial number: of the frames, or of those
            of an earlier trial that differs only in where it ends.
    """

    def __init__(self, recording: Recording, screen: Screen) -> None:
        self.digests: dict[int, bytes] = {}
        self._recording = recording
        self._screen = screen
        self._stored: dict[bytes, int] = {}
        # The stimulus of each checksum of a whole clip, and of clips without their last frames.
        self._ends: dict[bytes, bytes] = {}
        self._num_frames = 0
        self._frame_index = np.full(len(screen.flip_seconds), -1, dtype=np.int64)

    def write(
        self, descriptor: int, first_byte: int, *, advance: Callable[[int], None]
    ) -> tuple[int, str]:
        """Write the frames, uint8 `(frames, 36, 64)`, in one pass over the trials.

        Args:
            descriptor: File descriptor, open for writing.
            first_byte: Position of the first frame in the file.
            advance: Called with 1 for each trial.

        Returns:
            The number of frames, and the hexadecimal digits of their checksum.

        Raises:
            RecordingError: A trial has another number of frames than of flips.
        """
        writer = ByteWriter(descriptor, first_byte=first_byte)
        for frames in self._distinct(advance):
            writer.write(frames)
        return self._num_frames, writer.finish()

    def _distinct(self, advance: Callable[[int], None]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of stimuli that were not shown before, blocks `(frames, 36, 64)`."""
        for number, trial in enumerate(self._recording.trials):
            advance(1)
            if trial.num_flips == 0:
                continue
            # A film of hours in one trial is read twice rather than kept in memory.
            is_short = trial.num_flips <= MAX_KEPT_FRAMES
            kept = list(self._read(number, trial)) if is_short else None
            blocks = self._read(number, trial) if kept is None else kept
            digest, self.digests[number] = self._identify(blocks, trial.num_flips)
            first = self._stored.setdefault(digest, self._num_frames)
            flips = slice(trial.first_flip, trial.first_flip + trial.num_flips)
            self._frame_index[flips] = first + np.arange(trial.num_flips)
            if first == self._num_frames:
                self._num_frames += trial.num_flips
                yield from self._read(number, trial) if kept is None else kept

    def _identify(
        self, blocks: Iterable[NDArray[np.uint8]], num_frames: int
    ) -> tuple[bytes, bytes]:
        """Return the checksum of frames, and that of the first stimulus that they show again."""
        checksum = Checksum()
        remaining = num_frames - min(_MOST_CUT_FRAMES, num_frames // _CUT_SHARE)
        ends: list[bytes] = []
        for block in blocks:
            common, last_frames = block[:remaining], block[remaining:]
            checksum.update(common)
            remaining -= len(common)
            if remaining == 0 and not ends:
                ends.append(checksum.digest())
            for frame in last_frames:
                checksum.update(frame)
                ends.append(checksum.digest())
        # Either this clip is the longer one, or the one that was shown before.
        shorter = next((self._ends[end] for end in ends if end in self._stored), ends[-1])
        name = self._ends.get(ends[-1], shorter)
        for end in ends:
            self._ends.setdefault(end, name)
        return ends[-1], name

    def _read(self, number: int, trial: Trial) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames of a trial at their stored size, block by block."""
        num_frames = max(1, BLOCK_BYTES // (self._screen.frame_height * self._screen.frame_width))
        for first in range(0, trial.num_flips, num_frames):
            last = min(first + num_frames, trial.num_flips)
            block = self._screen.read_frames(number, first, last)
            if len(block) != last - first:
                raise RecordingError(
                    f"{self._recording.path}: trial {number} must have a frame for each of its "
                    f"{trial.num_flips} flips: {first + len(block)} frames"
                )
            # A reader may return a view of what it keeps.
            yield np.array(resize_frames(block), order="C")

    def frame_index(self) -> NDArray[np.int64]:
        """Return the stored frame of every flip, after the last trial: int64 `(flips,)`.

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


def name_conditions(recording: Recording, digests: Mapping[int, bytes]) -> list[str | None]:
    """Return the name of the stimulus of every trial, None without one.

    Args:
        recording: The recording.
        digests: `FrameWriter.digests`. A trial that is identified by its frames and is not in there
            gets a unique placeholder of the same length.
    """
    names: list[str | None] = []
    for number, trial in enumerate(recording.trials):
        if trial.condition is None and trial.identified_by_frames:
            digest = digests.get(number, number.to_bytes(_NAME_BYTES, "big"))
            names.append(f"{trial.kind} {digest[:_NAME_BYTES].hex()}")
        else:
            names.append(trial.condition)
    return names
