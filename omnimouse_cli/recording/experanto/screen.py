"""The screen of a session folder: flips, trials, and the frames behind them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.frames import FrameFile, probe_frames, read_frames
from omnimouse_cli.recording.experanto.meta import Meta, read_times
from omnimouse_cli.recording.experanto.trials import TrialEntry, TrialList, image_size, read_trials
from omnimouse_cli.recording.recording import Screen, Trial

_DEFAULT_GREY = 128
_DEFAULT_SIZE = (36, 64)
_DEFAULT_FRAME_SECONDS = 1 / 30


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialFrames:
    """Gives the frames of each trial: a file's, or one grey frame.

    Args:
        sources: Per trial its file, or the grey level of its one frame.
        height: Rows of a frame.
        width: Columns of a frame.
    """

    sources: tuple[FrameFile | int, ...]
    height: int
    width: int

    def read(self, trial_number: int) -> NDArray[np.uint8]:
        """Read one trial, uint8 `(num_flips, height, width)`."""
        source = self.sources[trial_number]
        if isinstance(source, int):
            return np.full((1, self.height, self.width), source, np.uint8)
        return read_frames(source)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenDevice:
    """The screen before the recording's origin is known.

    Args:
        flips: float64 `(num_flips,)`, absolute seconds.
        listed: The trials and where in `flips` they begin.
        frames: Where the frames are.
        notes: For the user.
    """

    flips: NDArray[np.float64]
    listed: TrialList
    frames: TrialFrames
    notes: tuple[str, ...]

    def since(self, origin_seconds: float) -> tuple[Screen, tuple[Trial, ...]]:
        """Give screen and trials in seconds from the recording's origin."""
        flips = self.flips - origin_seconds
        entries, first = self.listed.entries, self.listed.first_flip
        lengths = np.array([entry.num_frames for entry in entries])
        # The last frame has no successor: it counts for one ordinary frame.
        ends = np.append(flips, flips[-1] + _frame_seconds(self.listed, flips))[first + lengths]
        # Flips of trials that the files do not list are dropped: what they showed is not known.
        own = np.concatenate(
            [np.arange(at, at + length) for at, length in zip(first, lengths, strict=True)]
        )
        number_of_first = np.cumsum(lengths) - lengths
        trials = tuple(
            Trial(
                start_seconds=float(flips[first[number]]),
                end_seconds=float(ends[number]),
                kind=entry.kind,
                tier=entry.meta.optional_text("tier"),
                condition=_condition(entry, source),
                first_flip=int(number_of_first[number]),
                num_flips=entry.num_frames,
                identified_by_frames=isinstance(source, FrameFile) and _named(entry) is None,
            )
            for number, (entry, source) in enumerate(zip(entries, self.frames.sources, strict=True))
        )
        screen = Screen(
            flip_seconds=flips[own],
            frame_height=self.frames.height,
            frame_width=self.frames.width,
            read_trial=self.frames.read,
        )
        return screen, trials


def open_screen(folder: Path, meta: Meta) -> ScreenDevice:
    """Open the screen of a session: reads flips, trial fields and the headers of frames.

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
    listed = read_trials(folder, num_flips=flips.size)
    entries = listed.entries
    named = bool(meta.flag("use_stimuli_names"))
    files = {
        entry.name: _probe_trial(folder, entry, named=named)
        for entry in entries
        if entry.kind in ("video", "image")
    }
    height, width, size_notes = _frame_size(folder, entries, list(files.values()))
    frames = TrialFrames(
        sources=tuple(
            files[entry.name] if entry.name in files else _grey(entry) for entry in entries
        ),
        height=height,
        width=width,
    )
    notes = [*listed.notes, *size_notes, *_content_notes(entries, list(files.values()), flips)]
    return ScreenDevice(
        flips=flips,
        listed=listed,
        frames=frames,
        notes=tuple(notes),
    )


def _probe_trial(folder: Path, entry: TrialEntry, *, named: bool) -> FrameFile:
    if entry.meta.flag("encoded"):
        raise RecordingError(
            f"{entry.meta.where}: encoded video cannot be read, only frames in .npy files",
            hint="decode the trial's frames to data/NNNNN.npy",
        )
    stem = entry.meta.text("stimulus_name") if named else entry.name
    file = probe_frames(folder / "data" / f"{stem}.npy", video=entry.kind == "video")
    if file.num_frames != entry.num_frames:
        raise RecordingError(
            f"{file.path} has {file.num_frames} frames, but `num_frames` of the trial is "
            f"{entry.num_frames}",
            hint="copy the file again, or correct the trial's fields",
        )
    return file


def _frame_size(
    folder: Path, entries: tuple[TrialEntry, ...], files: list[FrameFile]
) -> tuple[int, int, list[str]]:
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
    sizes = [size for entry in entries if (size := image_size(entry.meta)) is not None]
    if sizes:
        return *sizes[0], []
    height, width = _DEFAULT_SIZE
    return height, width, [f"{folder.name}: no trial has a frame size; {height} x {width} is taken"]


def _grey(entry: TrialEntry) -> int:
    level = entry.meta.optional_number("interleave_value")
    if level is None:
        return _DEFAULT_GREY
    if not 0 <= level <= 255:
        raise RecordingError(
            f"{entry.meta.where}: `interleave_value` must lie between 0 and 255: {level:g}"
        )
    return round(level)


def _named(entry: TrialEntry) -> str | None:
    return entry.meta.optional_text("condition")


def _condition(entry: TrialEntry, source: FrameFile | int) -> str | None:
    """Name a trial's stimulus, unless it is known by its frames alone."""
    named = _named(entry)
    if named is None and entry.kind == "blank":
        return f"blank {source}"
    return named


def _content_notes(
    entries: tuple[TrialEntry, ...], files: list[FrameFile], flips: NDArray[np.float64]
) -> list[str]:
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


def _frame_seconds(listed: TrialList, flips: NDArray[np.float64]) -> float:
    """Give the usual time from one frame of a video to the next."""
    for entry, first in zip(listed.entries, listed.first_flip.tolist(), strict=True):
        if entry.num_frames > 1:
            return float(np.median(np.diff(flips[first : first + entry.num_frames])))
    return _DEFAULT_FRAME_SECONDS
