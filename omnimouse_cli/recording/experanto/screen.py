"""The screen of a session folder: flips, trials and their frames."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.frames import FrameFile, read_frame_header, read_frames
from omnimouse_cli.recording.experanto.meta import Meta, read_times
from omnimouse_cli.recording.experanto.trials import TrialEntry, TrialList, read_trials
from omnimouse_cli.recording.recording import Screen, Trial

_DEFAULT_GREY = 128
_DEFAULT_SIZE = (36, 64)
_DEFAULT_FRAME_SECONDS = 1 / 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFrames:
    """Reads the frames of each trial from its file, or makes its one grey frame.

    Args:
        sources: For each trial its file, or the grey level of its one frame.
        height: Rows of a grey frame.
        width: Columns of a grey frame.
    """

    sources: tuple[FrameFile | int, ...]
    height: int
    width: int

    def read(self, trial_number: int, first: int, last: int) -> NDArray[np.uint8]:
        """Return frames `first` to `last` (excluded) of one trial, uint8 `(n, height, width)`."""
        source = self.sources[trial_number]
        if isinstance(source, int):
            return np.full((last - first, self.height, self.width), source, np.uint8)
        return read_frames(source, first, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenDevice:
    """The screen in absolute seconds, before the recording's origin is known.

    Args:
        flips: float64 `(num_flips,)`, absolute seconds.
        trials: The trials and the index of their first flip in `flips`.
        frames: Reads the frames of the trials.
        notes: For the user.
    """

    flips: NDArray[np.float64]
    trials: TrialList
    frames: TrialFrames
    notes: tuple[str, ...]

    def relative_to(self, origin_seconds: float) -> tuple[Screen, tuple[Trial, ...]]:
        """Return screen and trials in seconds from the recording's origin."""
        flips = self.flips - origin_seconds
        entries, first = self.trials.entries, self.trials.first_flip
        lengths = np.array([entry.num_frames for entry in entries])
        # No flip follows the last frame: it lasts as long as a usual one.
        ends = np.append(flips, flips[-1] + _frame_seconds(self.trials, flips))[first + lengths]
        # Flips outside the listed trials are dropped, because their frames are not known.
        kept = np.concatenate(
            [np.arange(at, at + length) for at, length in zip(first, lengths, strict=True)]
        )
        first_kept = np.cumsum(lengths) - lengths
        trials = []
        for number, (entry, source) in enumerate(zip(entries, self.frames.sources, strict=True)):
            name = entry.meta.optional_text("condition")
            trials.append(
                Trial(
                    start_seconds=float(flips[first[number]]),
                    end_seconds=float(ends[number]),
                    kind=entry.kind,
                    tier=entry.meta.optional_text("tier"),
                    condition=f"blank {source}" if name is None and entry.kind == "blank" else name,
                    first_flip=int(first_kept[number]),
                    num_flips=entry.num_frames,
                    identified_by_frames=isinstance(source, FrameFile) and name is None,
                )
            )
        screen = Screen(
            flip_seconds=flips[kept],
            frame_height=self.frames.height,
            frame_width=self.frames.width,
            read_frames=self.frames.read,
        )
        return screen, tuple(trials)


def open_screen(folder: Path, meta: Meta) -> ScreenDevice:
    """Open the screen of a session: read flips, fields of the trials and headers of the frames.

    Args:
        folder: The screen's folder.
        meta: Its meta.yml.

    Raises:
        RecordingError: Trials, flips and frames do not fit together.
    """
    path = folder / "timestamps.npy"
    if not path.is_file():
        raise RecordingError(f"{path} is missing: when frames were shown is not known")
    flips = read_times(path)
    trials = read_trials(folder, num_flips=flips.size)
    by_name = bool(meta.flag("use_stimuli_names"))
    files = {
        entry.name: _read_trial_header(folder, entry, by_name=by_name)
        for entry in trials.entries
        if entry.kind in ("video", "image")
    }
    height, width, size_notes = _find_frame_size(folder, trials.entries, list(files.values()))
    sources = tuple(
        files[entry.name] if entry.name in files else _grey_level(entry) for entry in trials.entries
    )
    return ScreenDevice(
        flips=flips,
        trials=trials,
        frames=TrialFrames(sources=sources, height=height, width=width),
        notes=(
            *trials.notes,
            *size_notes,
            *_describe_content(trials.entries, files.values(), flips),
        ),
    )


def _read_trial_header(folder: Path, entry: TrialEntry, *, by_name: bool) -> FrameFile:
    if entry.meta.flag("encoded"):
        raise RecordingError(
            f"{entry.meta.source}: encoded video cannot be read, only frames in .npy files",
            hint="decode the trial's frames to data/NNNNN.npy",
        )
    stem = entry.meta.text("stimulus_name") if by_name else entry.name
    file = read_frame_header(folder / "data" / f"{stem}.npy", video=entry.kind == "video")
    if file.num_frames != entry.num_frames:
        raise RecordingError(
            f"{file.path} has {file.num_frames} frames, but `num_frames` of the trial is "
            f"{entry.num_frames}",
            hint="copy the file again, or correct the trial's fields",
        )
    return file


def _find_frame_size(
    folder: Path, entries: Sequence[TrialEntry], files: Sequence[FrameFile]
) -> tuple[int, int, list[str]]:
    """Return the most common height and width of a frame, and notes for the user."""
    if files:
        counts = Counter((file.height, file.width) for file in files)
        (height, width), num_usual = counts.most_common(1)[0]
        if num_usual == len(files):
            return height, width, []
        note = (
            f"{folder.name}: {len(files) - num_usual} of {len(files)} trials have frames of a "
            f"size other than {height} x {width}"
        )
        return height, width, [note]
    sizes = [entry.frame_size for entry in entries if entry.frame_size is not None]
    if sizes:
        return *sizes[0], []
    height, width = _DEFAULT_SIZE
    return height, width, [f"{folder.name}: no trial has a frame size; {height} x {width} is taken"]


def _grey_level(entry: TrialEntry) -> int:
    level = entry.meta.optional_number("interleave_value")
    if level is None:
        return _DEFAULT_GREY
    if not 0 <= level <= 255:
        raise RecordingError(
            f"{entry.meta.source}: `interleave_value` must lie between 0 and 255: {level:g}"
        )
    return round(level)


def _describe_content(
    entries: Sequence[TrialEntry], files: Iterable[FrameFile], flips: NDArray[np.float64]
) -> list[str]:
    """Return notes on converted, assumed and doubtful content of the screen."""
    notes = []
    num_color = sum(file.color for file in files)
    if num_color:
        notes.append(f"screen: {num_color} trials in color were made grey (luma)")
    grey = [entry for entry in entries if entry.kind in ("blank", "invalid")]
    num_unknown = sum(entry.meta.values.get("interleave_value") is None for entry in grey)
    if num_unknown:
        notes.append(
            f"screen: {num_unknown} blank trials have no interleave_value; grey {_DEFAULT_GREY} is "
            "taken"
        )
    num_doubtful = sum(entry.meta.flag("valid_trial") is False for entry in entries)
    if num_doubtful:
        notes.append(
            f"screen: {num_doubtful} trials are marked valid_trial: false; they are kept, by tier"
        )
    num_equal = int((np.diff(flips) == 0).sum())
    if num_equal:
        notes.append(f"screen: {num_equal} flips have the same time as the one before")
    return notes


def _frame_seconds(trials: TrialList, flips: NDArray[np.float64]) -> float:
    """Return the median time between frames of the first video."""
    for entry, first in zip(trials.entries, trials.first_flip.tolist(), strict=True):
        if entry.num_frames > 1:
            return float(np.median(np.diff(flips[first : first + entry.num_frames])))
    return _DEFAULT_FRAME_SECONDS
