"""The trials that a screen folder lists, with their fields and the flips that belong to them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.meta import Meta, read_json, read_yaml
from omnimouse_cli.recording.recording import TrialKind

_KINDS = ("video", "image", "blank", "invalid")
_FIVE_DIGITS = re.compile(r"\d{5}")
_NUM_SPOT_CHECKS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialEntry:
    """One trial as the files describe it.

    Args:
        name: Its five digits.
        meta: Its fields.
        kind: Content of the screen.
        num_frames: Number of flips; only videos have more than one.
    """

    name: str
    meta: Meta
    kind: TrialKind
    num_frames: int

    @property
    def tier(self) -> str | None:
        """The data split as it is written; a blank of tier `blank` has none."""
        tier = self.meta.optional_text("tier")
        # The experanto library counts a trial without a tier to a tier of this name.
        if tier is not None and tier.lower() == "blank" and self.kind in ("blank", "invalid"):
            return None
        return tier

    @property
    def stimulus_name(self) -> str | None:
        """Name under which the frames may be stored; `image_name` is the older word."""
        for key in ("stimulus_name", "image_name"):
            name = self.meta.optional_text(key)
            if name is not None:
                return name.removesuffix(".npy")
        return None

    def require_stimulus_name(self) -> str:
        """Return `stimulus_name`; raise RecordingError without one, or if it leaves the folder."""
        name = self.stimulus_name
        if name is None:
            return self.meta.text("stimulus_name")
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise RecordingError(
                f"{self.meta.source}: a stimulus must be named by a file in screen/data: {name!r}",
                hint="copy the frames into screen/data and name them there",
            )
        return name

    @property
    def frame_size(self) -> tuple[int, int] | None:
        """Height and width of the frames as `image_size` states them; None without it."""
        match self.meta.values.get("image_size"):
            case [int(height), int(width), *_]:
                return height, width
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialList:
    """All trials of a screen.

    Args:
        entries: In numeric order, which is temporal order.
        first_flip: int64 `(len(entries),)`: index in timestamps.npy of each trial's first flip.
        notes: One sentence for each thing that was assumed, repaired or left out.
    """

    entries: tuple[TrialEntry, ...]
    first_flip: NDArray[np.int64]
    notes: tuple[str, ...]


def read_trials(screen: Path, *, num_flips: int) -> TrialList:
    """Read all trials in numeric order; nothing is written into the recording.

    combined_meta.json, which opens much faster, is used if it agrees with the NNNNN.yml files and
    with the number of flips; otherwise the yml files are.

    Args:
        screen: The screen's folder.
        num_flips: Number of flips in timestamps.npy.

    Raises:
        RecordingError: There are no trials, or their frames cannot be matched to the flips.
    """
    combined = screen / "combined_meta.json"
    files = {
        path.stem: path
        for path in sorted((screen / "meta").glob("*.yml"))
        if _FIVE_DIGITS.fullmatch(path.stem)
    }
    if not combined.is_file() and not files:
        raise RecordingError(
            f"{screen} has no trials: neither combined_meta.json nor meta/NNNNN.yml is there",
            hint="copy the screen folder again",
        )
    if not combined.is_file():
        return _assign_flips(_read_files(files), num_flips, screen / "meta", [])
    fields = _read_combined(combined)
    difference = _find_difference(fields, files, num_flips)
    if difference is None:
        return _assign_flips(fields, num_flips, combined, [])
    of_files = _read_files(files)
    # A folder with only some of its yml files must not hide the trials of a complete list.
    if _count_frames(of_files) != num_flips and _count_frames(fields) == num_flips:
        note = f"screen: meta/NNNNN.yml are not complete ({difference}); combined_meta.json is read"
        return _assign_flips(fields, num_flips, combined, [note])
    note = f"screen: combined_meta.json is stale ({difference}); meta/NNNNN.yml are read"
    return _assign_flips(of_files, num_flips, screen / "meta", [note])


def _read_files(files: dict[str, Path]) -> dict[str, Meta]:
    return {name: read_yaml(path) for name, path in files.items()}


def _read_combined(path: Path) -> dict[str, Meta]:
    fields = {}
    for name, values in read_json(path).values.items():
        if not _FIVE_DIGITS.fullmatch(name) or not isinstance(values, dict):
            raise RecordingError(
                f"{path}: every trial must be a five-digit name with fields: {name!r}"
            )
        fields[name] = Meta(source=f"{path}, trial {name}", values=values)
    return fields


def _count_frames(fields: dict[str, Meta]) -> int:
    return sum(_to_entry(name, meta).num_frames for name, meta in fields.items())


def _find_difference(fields: dict[str, Meta], files: dict[str, Path], num_flips: int) -> str | None:
    """Return how combined_meta.json differs from the yml files or the flips; None if it does not.

    Args:
        fields: Fields of the trials in combined_meta.json.
        files: The yml files; without any, nothing is compared.
        num_flips: Number of flips in timestamps.npy.
    """
    if not files:
        return None
    if fields.keys() != files.keys():
        return f"it has {len(fields)} trials, meta/ has {len(files)}"
    num_frames = _count_frames(fields)
    if num_frames != num_flips:
        return f"it has {num_frames} frames, timestamps.npy has {num_flips}"
    names = sorted(files)
    # Reading all of 12,000 yml files takes seconds, so an edit of a single trial can be missed.
    for index in np.unique(np.linspace(0, len(names) - 1, _NUM_SPOT_CHECKS).astype(int)).tolist():
        name = names[index]
        if dict(read_yaml(files[name]).values) != dict(fields[name].values):
            return f"trial {name} differs from meta/{name}.yml"
    return None


def _to_entry(name: str, meta: Meta) -> TrialEntry:
    kind = meta.text("modality").lower()
    if kind not in _KINDS:
        raise RecordingError(
            f"{meta.source}: `modality` must be one of {', '.join(_KINDS)}: {kind}",
            hint="other trial kinds cannot be read; mark the trial as `invalid`",
        )
    num_frames = meta.count("num_frames") if kind == "video" else 1
    if num_frames == 0:
        raise RecordingError(f"{meta.source}: `num_frames` must be positive: 0")
    return TrialEntry(name=name, meta=meta, kind=cast(TrialKind, kind), num_frames=num_frames)


def _assign_flips(
    fields: dict[str, Meta], num_flips: int, source: Path, notes: list[str]
) -> TrialList:
    """Find each trial's flips by counting frames or, where that fails, by first_frame_idx.

    The experanto library always counts, which is right if the trials have as many frames as there
    are flips. If a trial is missing, only first_frame_idx tells which flips belong to which trial.

    Args:
        fields: Fields of the trials by name.
        num_flips: Number of flips in timestamps.npy.
        source: File or folder of the fields, for messages.
        notes: Notes for the user so far.

    Raises:
        RecordingError: There are no trials, or neither way fits the flips.
    """
    entries = tuple(_to_entry(name, meta) for name, meta in sorted(fields.items()))
    if not entries:
        raise RecordingError(f"{source} lists no trial", hint="copy the screen folder again")
    lengths = np.array([entry.num_frames for entry in entries])
    counted = np.cumsum(lengths) - lengths
    listed = [entry.meta.optional_count("first_frame_idx") for entry in entries]
    if int(lengths.sum()) == num_flips:
        notes += _check_first_frames(entries, counted, listed)
        return TrialList(entries=entries, first_flip=counted, notes=tuple(notes))
    stated = np.array([-1 if first is None else first for first in listed])
    ends = stated + lengths
    if None in listed or bool((ends[:-1] > stated[1:]).any()) or ends[-1] > num_flips:
        raise RecordingError(
            f"{source} counts {lengths.sum()} frames in {len(entries)} trials, but timestamps.npy "
            f"has {num_flips} flips, and first_frame_idx does not tell which flips are whose",
            hint="the screen folder is incomplete or combined_meta.json is stale; export it again",
        )
    notes.append(
        f"screen: {num_flips - lengths.sum()} of {num_flips} flips belong to no trial; trials are "
        "placed by first_frame_idx"
    )
    return TrialList(entries=entries, first_flip=stated, notes=tuple(notes))


def _check_first_frames(
    entries: tuple[TrialEntry, ...], counted: NDArray[np.int64], listed: list[int | None]
) -> list[str]:
    """Compare each first_frame_idx with the number of frames before its trial."""
    offsets = {
        first - before
        for first, before in zip(listed, counted.tolist(), strict=True)
        if first is not None
    }
    if offsets <= {0}:
        return []
    if len(offsets) == 1:
        return [f"screen: first_frame_idx counts from {offsets.pop()}; frames are taken in order"]
    for entry, first, before in zip(entries, listed, counted.tolist(), strict=True):
        if first is not None and first != before:
            raise RecordingError(
                f"{entry.meta.source}: `first_frame_idx` is {first}, but {before} frames lie "
                "before the trial",
                hint="`num_frames` of an earlier trial is wrong; export the screen folder again",
            )
    raise AssertionError("offsets differ, so one of them is not 0")
