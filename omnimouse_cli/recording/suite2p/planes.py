"""The plane folders of a suite2p run: which ROIs are cells, at which rate, in which files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.npy import StoredArray, open_npy
from omnimouse_cli.recording.pickles import read_pickled_dict

_PLANE = re.compile(r"plane(\d+)")
_SERIES_FILES = ("spks.npy", "F.npy")
# Version 0.x writes ops.npy; 1.x the others. The first that states a value is taken.
SETTINGS_FILES = ("ops.npy", "settings.npy", "db.npy", "reg_outputs.npy")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plane:
    """One plane folder.

    Args:
        folder: The folder.
        number: Number of the plane in its name; None for `combined` or another name.
        traces: The series by file name, each `(rois, time)`.
        cells: int64 `(cells,)`: rows of the traces that are cells.
        num_rois: Number of ROIs.
        settings: What ops.npy, or settings.npy and db.npy, state.
        unread: A sentence for each of these files that could not be read.
    """

    folder: Path
    number: int | None
    traces: Mapping[str, StoredArray]
    cells: NDArray[np.int64]
    num_rois: int
    settings: Mapping[str, Any]
    unread: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """Number of time points."""
        return next(iter(self.traces.values())).shape[1]

    def number_of(self, *keys: str) -> float | None:
        """Return the first of the settings that is a number; keys with a dot lead into groups."""
        for key in keys:
            value: Any = self.settings
            for part in key.split("."):
                value = value.get(part) if isinstance(value, Mapping) else None
            if isinstance(value, int | float | np.integer | np.floating):
                return float(value)
        return None

    def bad_frames(self) -> NDArray[np.bool_]:
        """Return which time points suite2p excluded, bool `(num_rows,)`.

        Raises:
            RecordingError: `badframes` has another length.
        """
        stored = self.settings.get("badframes")
        if stored is None or np.size(stored) == 0:
            return np.zeros(self.num_rows, np.bool_)
        flags = np.asarray(stored).astype(np.bool_).reshape(-1)
        if flags.size < self.num_rows:
            raise RecordingError(
                f"{self.folder}: `badframes` has {flags.size} entries, but the traces have "
                f"{self.num_rows} time points",
                hint="copy the folder again",
            )
        return flags[: self.num_rows]


def find_plane_folders(path: Path) -> list[Path]:
    """Return the folders of planes in a session folder, its `suite2p` folder, or a plane itself.

    `combined` holds the planes once more and is returned only where there are none.
    """
    if any((path / file).is_file() for file in (*_SERIES_FILES, "iscell.npy")):
        return [path]
    for folder in (path, path / "suite2p"):
        planes = [child for child in folder.glob("plane*") if _PLANE.fullmatch(child.name)]
        planes = [child for child in planes if child.is_dir()]
        if planes:
            return sorted(planes, key=plane_number)
        if (folder / "combined").is_dir():
            return [folder / "combined"]
    return []


def plane_number(folder: Path) -> int:
    """Return the number in a plane folder's name; -1 for another name."""
    match = _PLANE.fullmatch(folder.name)
    return int(match[1]) if match else -1


def count_time_points(folder: Path) -> list[int]:
    """Return the number of time points of a plane and of those beside it, as far as they exist."""
    beside = find_plane_folders(folder.absolute().parent) if plane_number(folder) >= 0 else [folder]
    lengths = []
    for other in beside:
        found = [other / name for name in _SERIES_FILES if (other / name).is_file()]
        lengths += [open_npy(path).shape[-1] for path in found[:1]]
    return lengths


def open_plane(folder: Path, notes: list[str]) -> Plane | None:
    """Open a plane folder; None if it has no traces, as of a plane without any ROI.

    Args:
        folder: The folder.
        notes: What is excluded or assumed is added here.

    Raises:
        RecordingError: Files are damaged or contradict each other.
    """
    names = ("spks.npy", "F.npy", "Fneu.npy")
    traces = {name: open_npy(folder / name) for name in names if (folder / name).is_file()}
    if "spks.npy" not in traces and "F.npy" not in traces:
        notes.append(f"{folder.name}: has neither spks.npy nor F.npy and is excluded")
        return None
    first = next(iter(traces.values()))
    for stored in traces.values():
        if len(stored.shape) != 2 or stored.shape != first.shape:
            raise RecordingError(
                f"{stored.source} must have the shape (ROIs, time) of {Path(first.source).name}: "
                f"{stored.shape} and {first.shape}",
                hint="copy the folder again, or run suite2p again",
            )
    number = plane_number(folder)
    settings, unread = _read_settings(folder)
    notes += [f"{message}; it is not used" for message in unread]
    return Plane(
        folder=folder,
        number=None if number < 0 else number,
        traces=traces,
        cells=_read_cells(folder, first.shape[0], notes),
        num_rois=first.shape[0],
        settings=settings,
        unread=tuple(unread),
    )


def _read_cells(folder: Path, num_rois: int, notes: list[str]) -> NDArray[np.int64]:
    path = folder / "iscell.npy"
    if not path.is_file():
        notes.append(f"{folder.name}: iscell.npy is missing; all {num_rois} ROIs are kept")
        return np.arange(num_rois)
    stored = open_npy(path).load()
    flags = stored[:, 0] if stored.ndim == 2 and stored.shape[1] > 0 else stored.reshape(-1)
    if len(flags) != num_rois:
        raise RecordingError(
            f"{path} has {len(flags)} ROIs, but the traces have {num_rois}",
            hint="copy the folder again: iscell.npy belongs to another run of suite2p",
        )
    return np.flatnonzero(flags > 0).astype(np.int64)


def _read_settings(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Return what the pickled files of a plane and of the folder above state; and errors."""
    settings: dict[str, Any] = {}
    unread: list[str] = []
    places: Sequence[Path] = (folder, folder.parent) if plane_number(folder) >= 0 else (folder,)
    for place in places:
        for name in SETTINGS_FILES:
            path = place / name
            if not path.is_file():
                continue
            try:
                values = read_pickled_dict(path)
            except RecordingError as error:
                unread.append(error.message)
                continue
            settings = values | settings
    return settings, unread
