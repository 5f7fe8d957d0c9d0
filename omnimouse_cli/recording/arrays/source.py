"""Where the arrays and tables of a recording are: a folder of files, or one `.npz`."""

import math
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays.npy import ZIP_ERRORS, StoredArray, open_npy, open_npz_member
from omnimouse_cli.recording.arrays.tables import (
    SECONDS,
    Table,
    read_csv,
    split_unit,
    table_of_arrays,
)
from omnimouse_cli.recording.meta import Meta, read_json
from omnimouse_cli.recording.recording import Content

SESSION_FILE = "session.json"
# Folders in which an array or a table may stand, beside the recording's folder itself.
_STIMULUS, BEHAVIOR = "stimulus", "behavior"
_RATES = ("rate_hz", "native_rate_hz")
# The options that name another array; those of tables have the name of the table.
_OPTIONS = {"responses": "--series", "frames": "--stimulus"}
# A number or a text of a session is no longer than this.
_MAX_FIELD_BYTES = 4096
# An array as text is read into memory as a whole.
_MAX_CSV_BYTES = 128 * 2**20
# A line of numbers, as against one of names.
_NUMBERS = re.compile(r"([-+.\deE]+|nan)?( *[,;\t] *([-+.\deE]+|nan)?)*", re.IGNORECASE)
# More files of one ending than this, as frames of a microscope, are listed as one row.
_MAX_LISTED_FILES = 5
_NOT_TAKEN = "not taken: none of the names that are read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder with `.npy` and `.csv` files; those of the stimulus may be in `stimulus/`.

    Args:
        path: The folder.
        contents: What was found and what it is taken for; filled while the recording is opened.
    """

    path: Path
    contents: list[Content] = field(default_factory=list)

    def fields(self) -> Meta:
        """Return the fields of session.json; none without the file."""
        path = self.path / SESSION_FILE
        if not path.is_file():
            return Meta(source=str(path), values={})
        fields = read_json(path)
        self.note_content(str(path), ", ".join(fields.values), "session")
        return fields

    def array(self, name: str, given: str | None = None) -> StoredArray | None:
        """Return the array of a name from its `.npy` or `.csv` file; None if there is none.

        Args:
            name: Name without ending, as `times`.
            given: File that the user names, in the folder or anywhere.

        Raises:
            RecordingError: The file is damaged, or the given one does not exist.
        """
        path = self._find(name, ".npy", given) or self._find(name, ".csv", None)
        if path is None:
            return None
        return _read_matrix(path) if path.suffix == ".csv" else open_npy(path)

    def table(
        self, name: str, text_columns: Sequence[str] = (), given: str | None = None
    ) -> Table | None:
        """Return the table of a name from its `.csv` file; None if there is none.

        Args:
            name: Name without ending, as `trials`.
            text_columns: Columns that hold texts.
            given: File that the user names, in the folder or anywhere.

        Raises:
            RecordingError: The file is damaged, or the given one does not exist.
        """
        path = self._find(name, ".csv", given)
        return None if path is None or path.suffix != ".csv" else read_csv(path, text_columns)

    def behavior_names(self) -> tuple[str, ...]:
        """Return the names of tables in `behavior/`."""
        return tuple(sorted(path.stem for path in (self.path / BEHAVIOR).glob("[!.]*.csv")))

    def _find(self, name: str, ending: str, given: str | None) -> Path | None:
        if given is not None:
            path = self.path / given if (self.path / given).is_file() else Path(given)
            if not path.is_file():
                option = _OPTIONS.get(name, f"--{name}")
                kinds = ", or rate, dff or fluorescence" if option == "--series" else ""
                raise RecordingError(
                    f"{given}, which {option} names, does not exist, neither in {self.path} nor in "
                    "the current folder",
                    hint=f"{option} takes the path of a file{kinds}",
                )
            return path
        folders = (self.path, self.path / _STIMULUS, self.path / BEHAVIOR)
        paths = (folder / f"{name}{ending}" for folder in folders)
        return next((path for path in paths if path.is_file()), None)

    def note_content(self, source: str, what: str, use: str) -> None:
        """Add a row to `contents`; `source` is a path, of which the part inside is kept."""
        inside, folder = Path(source).absolute(), self.path.absolute()
        if inside.is_relative_to(folder):
            inside = inside.relative_to(folder)
        self.contents.append(Content(path=str(inside), what=what, use=use))

    def note_rest(self) -> None:
        """Add rows to `contents` for the files that were not read, many of one ending as one."""
        known = {content.path for content in self.contents}
        by_ending: dict[str, list[str]] = {}
        for folder in (self.path, self.path / _STIMULUS, self.path / BEHAVIOR):
            for path in sorted(folder.glob("[!.]*")):
                inside = str(path.relative_to(self.path))
                if path.is_file() and inside not in known:
                    by_ending.setdefault(path.suffix, []).append(inside)
        for ending, paths in by_ending.items():
            many = len(paths) > _MAX_LISTED_FILES
            rows = [f"{len(paths)} files *{ending}"] if many else paths
            self.contents.extend(Content(path=row, what="file", use=_NOT_TAKEN) for row in rows)

    def describe_unread(self) -> list[str]:
        """Return a note on the arrays and tables that `note_rest` found."""
        unread = [content.path for content in self.contents if content.use == _NOT_TAKEN]
        named = [path for path in unread if path.endswith((".npy", ".csv"))]
        return [f"files not read: {', '.join(named)}"] if named else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An `.npz` with the same arrays; the column of a table is the array `<table>_<column>`.

    Args:
        path: The file.
        names: Names of the arrays in it.
        contents: What was found and what it is taken for; filled while the recording is opened.
    """

    path: Path
    names: tuple[str, ...]
    contents: list[Content] = field(default_factory=list)

    def fields(self) -> Meta:
        """Return arrays with a single value, as fields of session.json."""
        values: dict[str, object] = {}
        # Others would be unpacked where they are compressed.
        small = npz_names(self.path, max_bytes=_MAX_FIELD_BYTES)
        for name in small:
            stored = open_npz_member(self.path, name)
            # MATLAB has no numbers without axes.
            if not stored.shape or (name in _RATES and stored.shape in ((1,), (1, 1))):
                values[name] = stored.load().item()
                self.note_content(name, f"{values[name]}", "session")
        return Meta(source=str(self.path), values=values)

    def array(self, name: str, given: str | None = None) -> StoredArray | None:
        """Return an array; None if there is none.

        Args:
            name: Name of the array.
            given: Another name, that the user gives.

        Raises:
            RecordingError: The array is damaged, or there is none of the given name.
        """
        if given is not None and given not in self.names:
            raise RecordingError(
                f"{self.path} has no array {given}, which {_OPTIONS.get(name, name)} names",
                hint=f"it has {', '.join(self.names)}",
            )
        wanted = given or name
        return open_npz_member(self.path, wanted) if wanted in self.names else None

    def table(
        self, name: str, text_columns: Sequence[str] = (), given: str | None = None
    ) -> Table | None:
        """Return the arrays `<name>_<column>` as a table; None if there are none.

        Args:
            name: Name of the table, as `trials`.
            text_columns: Not needed: arrays know whether they hold texts.
            given: A CSV file that the user names.

        Raises:
            RecordingError: Columns have different lengths.
        """
        if given is not None:
            return read_csv(Path(given), text_columns)
        columns: dict[str, NDArray[np.generic]] = {}
        for member in self.names:
            if member.startswith(f"{name}_"):
                stored = open_npz_member(self.path, member)
                columns[member.removeprefix(f"{name}_")] = stored.load()
        return table_of_arrays(f"{self.path}: {name}_*", columns) if columns else None

    def behavior_names(self) -> tuple[str, ...]:
        """Return the names of tables `behavior_<name>_<column>`: none, an `.npz` has no folders."""
        return ()

    def note_content(self, source: str, what: str, use: str) -> None:
        """Add a row to `contents`; `source` is a path, of which the part inside is kept."""
        inside = source.removeprefix(f"{self.path}: ")
        self.contents.append(Content(path=inside, what=what, use=use))

    def note_rest(self) -> None:
        """Add rows to `contents` for the arrays that were not read."""
        known = {content.path for content in self.contents}
        tables = tuple(path.removesuffix("*") for path in known if path.endswith("_*"))
        for name in self.names:
            if name not in known and not (tables and name.startswith(tables)):
                self.contents.append(Content(path=name, what="array", use=_NOT_TAKEN))

    def describe_unread(self) -> list[str]:
        """Return a note on the arrays that `note_rest` found."""
        unread = [content.path for content in self.contents if content.use == _NOT_TAKEN]
        return [f"arrays not read: {', '.join(unread)}"] if unread else []


Source = Folder | Archive


def _read_matrix(path: Path) -> StoredArray:
    """Read a matrix of numbers from a CSV file, with or without a first line of names."""
    if path.stat().st_size > _MAX_CSV_BYTES:
        raise RecordingError(
            f"{path} has {path.stat().st_size / 2**20:,.0f} MiB; an array as text is read up to "
            f"{_MAX_CSV_BYTES // 2**20} MiB",
            hint="write it with numpy.save",
        )
    try:
        with path.open(encoding="utf-8-sig") as stream:
            first_line = stream.readline()
            has_names = _NUMBERS.fullmatch(first_line.strip()) is None
        values = np.loadtxt(
            path,
            np.float64,
            delimiter=max(",;\t", key=first_line.count),
            skiprows=int(has_names),
            ndmin=2,
            encoding="utf-8-sig",
        )
    except ValueError as error:
        raise RecordingError(
            f"{path} is no table of numbers: {error}",
            hint="write rows of numbers with a decimal point, separated by commas",
        ) from error
    if has_names and values.shape[1] == 1:
        # Only times have a unit: a column of milliseconds.
        values *= SECONDS.get(split_unit(first_line.strip().strip('"').lower())[1], 1.0)
    return StoredArray(
        source=str(path), path=path, shape=values.shape, dtype=values.dtype, values=values
    )


def npz_names(path: Path, max_bytes: float = math.inf) -> tuple[str, ...]:
    """Return the names of the arrays in an `.npz`; none if it is no zip file.

    Args:
        path: The `.npz`.
        max_bytes: Names of larger arrays are omitted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if entry.file_size <= max_bytes]
    except (OSError, ValueError, *ZIP_ERRORS):
        return ()
    names = (entry.filename for entry in entries)
    return tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))
