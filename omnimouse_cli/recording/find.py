"""Finds the recordings below folders, of several formats side by side, at any depth."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.open import (
    RAW_FORMATS,
    is_recording,
    no_recording,
    require_path,
    translate_os_errors,
)
from omnimouse_cli.recording.other_files import describe_other

# Folders below a given one that are searched.
MAX_DEPTH = 8
# Folders below a given one in which a search looks: a whole disk has more.
MAX_FOLDERS = 10_000
# Files of these kinds may be recordings; all others are told by their suffix alone.
_RECORDING_SUFFIXES = frozenset((".nwb", ".zip", ".npz", ".h5", ".hdf5"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something that looks like data and is no recording.

    Args:
        path: The file or folder.
        reason: What it is, and what to do with it.
    """

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecordings:
    """Result of a search.

    Args:
        recordings: In the order of the given paths, those of one folder by name, each once.
        skipped: What was found beside them.
        failed: Given paths that lead to no recording, with the error.
    """

    recordings: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
    failed: tuple[tuple[Path, RecordingError], ...]


def find_recordings(paths: Sequence[Path]) -> FoundRecordings:
    """Return the recordings at and below `paths`.

    Folders are searched to a depth of 8, through links as well, each folder once and at most 10,000
    of them; a recording's own folders are not, nor hidden ones.

    Args:
        paths: Recordings and folders of recordings.

    Raises:
        RecordingError: None of the paths leads to a recording.
    """
    search = _Search()
    failed: list[tuple[Path, RecordingError]] = []
    for path in paths:
        num_skipped = len(search.skipped)
        try:
            with translate_os_errors(path):
                require_path(path)
                search.visited.clear()
                search.is_over = False
                if not search.visit(path, is_folder=path.is_dir(), depth=0):
                    skipped = search.skipped[num_skipped:]
                    # What the error names is not listed once more.
                    if len(skipped) == 1:
                        del search.skipped[num_skipped:]
                    failed.append((path, _nothing_found(path, skipped)))
        except RecordingError as error:
            failed.append((path, error))
    if not search.recordings:
        raise failed[0][1]
    return FoundRecordings(
        recordings=tuple(search.recordings.values()),
        skipped=tuple(search.skipped),
        failed=tuple(failed),
    )


@dataclass(slots=True)
class _Search:
    """State of a search.

    Attributes:
        recordings: Recordings by their resolved path.
        skipped: What was found beside them.
        visited: Device and inode of every folder below a given path that was searched.
        is_over: Whether too many folders were searched below that path.
    """

    recordings: dict[Path, Path] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)
    is_over: bool = False

    def visit(self, path: Path, *, is_folder: bool, depth: int) -> int:
        """Add a recording, or what lies in a folder, or what is skipped.

        Returns:
            How many recordings were met, also those that were added before.

        Raises:
            OSError: The path itself cannot be read.
        """
        if self.is_over:
            return 0
        suffix = path.suffix.lower()
        # Pipes and devices are never opened.
        may_be_one = is_folder or (suffix in _RECORDING_SUFFIXES and path.is_file())
        if may_be_one and is_recording(path):
            self.recordings.setdefault(path.resolve(), path)
            return 1
        # A store has thousands of files and no recording in it.
        if is_folder and suffix != ".zarr":
            return self._visit_folder(path, depth)
        reason = describe_other(path)
        if reason is not None:
            self.skipped.append(Skipped(path=path, reason=reason))
        return 0

    def _visit_folder(self, folder: Path, depth: int) -> int:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in self.visited:
            return 0
        if len(self.visited) >= MAX_FOLDERS:
            self.is_over = True
            reason = (
                f"the first of the folders that were not searched, after {MAX_FOLDERS:,} others; "
                "name a folder nearer to the recordings"
            )
            self.skipped.append(Skipped(path=folder, reason=reason))
            return 0
        self.visited.add((status.st_dev, status.st_ino))
        if depth > MAX_DEPTH:
            reason = f"a folder more than {MAX_DEPTH} folders deep; name it itself to search it"
            self.skipped.append(Skipped(path=folder, reason=reason))
            return 0
        with os.scandir(folder) as entries:
            # Only links need a look at the disk to find out whether they lead to a folder.
            inside = sorted((e.name, _is_folder(e)) for e in entries if not e.name.startswith("."))
        num_found = 0
        for name, is_folder in inside:
            path = folder / name
            try:
                if _is_unpacked(path):
                    reason = "an archive that is unpacked beside it; the folder is taken"
                    self.skipped.append(Skipped(path=path, reason=reason))
                    continue
                num_found += self.visit(path, is_folder=is_folder, depth=depth + 1)
            except (OSError, RecordingError) as error:
                text = error.strerror if isinstance(error, OSError) else error.message
                self.skipped.append(Skipped(path=path, reason=f"cannot be read: {text}"))
        return num_found


def _is_unpacked(path: Path) -> bool:
    """Return whether a path is a zip archive whose folder lies beside it and is a recording."""
    folder = path.with_suffix("")
    return path.suffix.lower() == ".zip" and folder.is_dir() and is_recording(folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # A link to itself.
        return False


def _nothing_found(path: Path, skipped: Sequence[Skipped]) -> RecordingError:
    if not skipped or skipped[0].path == path:
        return no_recording(path)
    first, num_others = skipped[0], len(skipped) - 1
    others = f" ({num_others} more beside it)" if num_others else ""
    formats = ", ".join(raw_format.name for raw_format in RAW_FORMATS)
    return RecordingError(
        f"{path} holds no recording: {first.path.relative_to(path)} is {first.reason}{others}",
        hint=f"give recordings of the formats {formats}",
    )
