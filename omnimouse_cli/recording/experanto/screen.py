"""The screen of a session folder: flips, trials and their frames."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.files import read_times
from omnimouse_cli.recording.experanto.frames import (
    UNIT_TOLERANCE,
    FrameFile,
    find_highest_level,
    read_frame_header,
    read_frames,
)
from omnimouse_cli.recording.experanto.trial_ends import find_ends
from omnimouse_cli.recording.experanto.trials import TrialEntry, TrialList, read_trials
from omnimouse_cli.recording.meta import Meta
from omnimouse_cli.recording.recording import Content, Screen, Trial
from omnimouse_cli.recording.resize import FRAME_HEIGHT, FRAME_WIDTH
from omnimouse_cli.text import pluralize

_DEFAULT_GREY = 128
# The width of a frame may differ by this share from that of the stored aspect ratio.
_MAX_DEFORMATION = 0.05


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
        ends: float64 `(num_trials,)`: end of each trial, absolute seconds.
        trials: The trials and the index of their first flip in `flips`.
        frames: Reads the frames of the trials.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    flips: NDArray[np.float64]
    ends: NDArray[np.float64]
    trials: TrialList
    frames: TrialFrames
    notes: tuple[str, ...]

    def relative_to(self, origin_seconds: float) -> tuple[Screen, tuple[Trial, ...]]:
        """Return screen and trials in seconds from the recording's origin."""
        flips = self.flips - origin_seconds
        ends = self.ends - origin_seconds
        entries, first = self.trials.entries, self.trials.first_flip
        lengths = np.array([entry.num_frames for entry in entries])
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
                    tier=entry.tier,
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

    @property
    def content(self) -> Content:
        """What the screen holds, for `omnimouse inspect`."""
        kinds = Counter(entry.kind for entry in self.trials.entries)
        counts = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        return Content(
            path="screen",
            what=f"{self.flips.size} flips, trials: {counts}; frames {self.frames.height} x "
            f"{self.frames.width}",
            use="frames, trials and tiers",
        )


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
    files, file_notes = _read_headers(folder, meta, trials.entries)
    files, unit_notes = _find_units(files)
    height, width, size_notes = _find_frame_size(folder, trials.entries, list(files.values()))
    sources = tuple(
        files[entry.name] if entry.name in files else _grey_level(entry) for entry in trials.entries
    )
    ends, end_notes = find_ends(trials, flips)
    return ScreenDevice(
        flips=flips,
        ends=ends,
        trials=trials,
        frames=TrialFrames(sources=sources, height=height, width=width),
        notes=(
            *trials.notes,
            *end_notes,
            *file_notes,
            *size_notes,
            *unit_notes,
            *_describe_content(trials.entries, files.values(), flips),
        ),
    )


def _read_headers(
    folder: Path, meta: Meta, entries: Sequence[TrialEntry]
) -> tuple[dict[str, FrameFile], list[str]]:
    """Read the header of the frames of each trial that has some, by name of the trial.

    Args:
        folder: The screen's folder.
        meta: Its meta.yml, which says whether frames are stored once by the stimulus' name.
        entries: The trials.

    Returns:
        The headers, and notes for the user.
    """
    # The second is the word of earlier versions of the format.
    by_name = bool(meta.flag("use_stimuli_names") or meta.flag("image_names"))
    headers: dict[tuple[Path, str], FrameFile] = {}
    files: dict[str, FrameFile] = {}
    num_named = 0
    for entry in entries:
        if entry.kind not in ("video", "image"):
            continue
        if entry.meta.flag("encoded"):
            raise RecordingError(
                f"{entry.meta.source}: encoded video cannot be read, only frames in .npy files",
                hint="decode the trial's frames to data/NNNNN.npy",
            )
        path = folder / "data" / f"{entry.name}.npy"
        if by_name or (entry.stimulus_name is not None and not path.is_file()):
            path = folder / "data" / f"{entry.require_stimulus_name()}.npy"
            num_named += not by_name
        file = headers.get((path, entry.kind))
        if file is None:
            file = read_frame_header(path, video=entry.kind == "video")
            headers[path, entry.kind] = file
        if file.num_frames != entry.num_frames:
            raise RecordingError(
                f"{file.path} has {file.num_frames} frames, but `num_frames` of the trial is "
                f"{entry.num_frames}",
                hint="copy the file again, or correct the trial's fields",
            )
        files[entry.name] = file
    if not num_named:
        return files, []
    trials = pluralize(num_named, "trial")
    note = f"{folder.name}: the frames of {trials} were found by the name of the stimulus"
    return files, [note]


def _find_units(files: Mapping[str, FrameFile]) -> tuple[dict[str, FrameFile], list[str]]:
    """Find frames stored from 0 to 1, which is decided over all trials of one sort of number.

    Args:
        files: Headers by name of the trial.

    Returns:
        The headers with `is_unit`, and notes for the user.
    """
    found, notes = dict(files), []
    for kinds in ("f", "iu"):
        names = [name for name, file in files.items() if file.dtype.kind in kinds]
        # Frames stored by name belong to many trials.
        distinct = {files[name].path: files[name] for name in names}
        highest = find_highest_level(distinct.values())
        if highest in (0.0, float("inf")):
            continue
        dtypes = ", ".join(sorted({str(files[name].dtype) for name in names}))
        what = f"screen: the frames of {pluralize(len(names), 'trial')} ({dtypes})"
        if highest > 1 + UNIT_TOLERANCE:
            notes.append(f"{what} reach {highest:g} of 255 only: they are as good as black")
            continue
        notes.append(f"{what} lie between 0 and 1 throughout; they were multiplied by 255")
        for name in names:
            found[name] = dataclasses.replace(files[name], is_unit=True)
    return found, notes


def _find_frame_size(
    folder: Path, entries: Sequence[TrialEntry], files: Sequence[FrameFile]
) -> tuple[int, int, list[str]]:
    """Return the most common height and width of a frame, and notes for the user."""
    if files:
        counts = Counter((file.height, file.width) for file in files)
        (height, width), num_usual = counts.most_common(1)[0]
        notes = []
        if num_usual < len(files):
            notes.append(
                f"{folder.name}: trials with frames of a size other than {height} x {width}: "
                f"{len(files) - num_usual} of {len(files)}"
            )
        notes += [_describe_deformation(*size) for size in counts if _is_deformed(*size)]
        return height, width, notes
    sizes = [entry.frame_size for entry in entries if entry.frame_size is not None]
    if sizes:
        return *sizes[0], []
    note = f"{folder.name}: no trial has a frame size; {FRAME_HEIGHT} x {FRAME_WIDTH} is taken"
    return FRAME_HEIGHT, FRAME_WIDTH, [note]


def _is_deformed(height: int, width: int) -> bool:
    return abs(width * FRAME_HEIGHT / (height * FRAME_WIDTH) - 1) > _MAX_DEFORMATION


def _describe_deformation(height: int, width: int) -> str:
    note = (
        f"screen: frames of {height} x {width} (height x width) are deformed to {FRAME_HEIGHT} x "
        f"{FRAME_WIDTH}, which has another aspect ratio ({FRAME_WIDTH / FRAME_HEIGHT:.2f} instead "
        f"of {width / height:.2f})"
    )
    if height > width:
        return f"{note}; they are upright, so their axes may have been exchanged by the exporter"
    return note


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
    entries: Sequence[TrialEntry], files: Collection[FrameFile], flips: NDArray[np.float64]
) -> list[str]:
    """Return notes on converted, assumed and doubtful content of the screen."""
    notes = []
    num_color = sum(file.color for file in files)
    if num_color:
        notes.append(f"screen: {pluralize(num_color, 'trial')} in color made grey (luma)")
    grey = [entry for entry in entries if entry.kind in ("blank", "invalid")]
    num_unknown = sum(entry.meta.values.get("interleave_value") is None for entry in grey)
    if num_unknown:
        notes.append(
            f"screen: {pluralize(num_unknown, 'blank trial has', 'blank trials have')} no "
            f"interleave_value; grey {_DEFAULT_GREY} is taken"
        )
    num_doubtful = sum(entry.meta.flag("valid_trial") is False for entry in entries)
    if num_doubtful:
        notes.append(
            f"screen: trials that are marked valid_trial: false are kept, by tier: {num_doubtful}"
        )
    num_equal = int((np.diff(flips) == 0).sum())
    if num_equal:
        flips_have = pluralize(num_equal, "flip has", "flips have")
        notes.append(f"screen: {flips_have} the same time as the one before")
    return notes
