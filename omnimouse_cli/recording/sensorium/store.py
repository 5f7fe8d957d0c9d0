"""The files of a Sensorium set, in a folder or in a zip archive, which is read where it lies."""

import contextlib
import io
import math
import re
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.files import parse_json
from omnimouse_cli.recording.npy_header import NpyHeader, parse_npy_header

TIERS = "meta/trials/tiers.npy"
CONFIG = "config.json"
_TRIAL_FILE = re.compile(r"data/([^/]+)/(\d+)\.npy")
_NAME = re.compile(r"(dynamic|static)\d+-\d+-\d+.*\.zip", re.IGNORECASE)
_ENCRYPTED_FLAG = 1
# Longer headers of `.npy` files are not believed; NumPy has the same limit.
_MAX_HEADER_BYTES = 10_000
_COPY_HINT = "download or copy it again"


@dataclass(frozen=True, kw_only=True)
class Store:
    """The files of one set; paths are relative to the set's own folder, with `/`.

    Args:
        path: The folder or the zip archive.
        name: Name of the set: that of the folder, of the archive's top folder or of the archive.
        files: Length in bytes of every file.
        archive: The open archive; None for a folder.
        prefix: What precedes the paths in the archive.
    """

    path: Path
    name: str
    files: Mapping[str, int]
    archive: zipfile.ZipFile | None = None
    prefix: str = ""

    def where(self, file: str) -> str:
        """Return the path of a file for messages."""
        return f"{self.path}: {file}" if self.archive else str(self.path / file)

    @cached_property
    def trial_files(self) -> Mapping[str, Mapping[int, str]]:
        """Files by variable and by number of the trial."""
        found: dict[str, dict[int, str]] = {}
        for file in self.files:
            match = _TRIAL_FILE.fullmatch(file)
            if match:
                found.setdefault(match[1], {})[int(match[2])] = file
        return found

    def variable(self, name: str) -> Mapping[int, str]:
        """Return the files of a variable by number of the trial; none if the set lacks it.

        `links` of config.json names the folder of a variable that has another name.

        Raises:
            RecordingError: A link is no plain name, or links form a circle.
        """
        links = self.links
        folder, passed = name, {name}
        while folder in links:
            folder = links[folder]
            if folder in passed:
                raise RecordingError(
                    f"{self.where(CONFIG)}: `links` of {name} form a circle",
                    hint="a link names the folder in data/ that holds the variable",
                )
            passed.add(folder)
        if folder not in self.trial_files:
            # Some sets name the variable that a folder holds, not the folder of a variable.
            reverse = [key for key, value in links.items() if value == name]
            folder = next((key for key in reverse if key in self.trial_files), folder)
        return self.trial_files.get(folder, {})

    @cached_property
    def links(self) -> dict[str, str]:
        """`links` of config.json: folder in data/ by name of a variable."""
        if CONFIG not in self.files:
            return {}
        with self._open(CONFIG) as stream:
            text = stream.read()
        try:
            content = parse_json(text)
        except ValueError as error:
            raise RecordingError(
                f"{self.where(CONFIG)} is no JSON: {error}", hint="download or copy it again"
            ) from error
        links = content.get("links") if isinstance(content, dict) else None
        if not isinstance(links, dict):
            return {}
        for key, value in links.items():
            if not isinstance(value, str) or PurePosixPath(value).name != value or value == "..":
                raise RecordingError(
                    f"{self.where(CONFIG)}: `links.{key}` must be the name of a folder in data/: "
                    f"{value!r}",
                    hint="files outside the set are not read",
                )
        return dict(links)

    def read_header(self, file: str) -> NpyHeader:
        """Read the header of a `.npy` file.

        Raises:
            RecordingError: The file is missing, damaged, or holds Python objects.
        """
        with self._open(file) as stream:
            return self._read_header(file, stream)

    def read_array(self, file: str) -> NDArray[Any]:
        """Read a whole `.npy` file; pickled objects are refused.

        Raises:
            RecordingError: The file is missing, damaged, or holds Python objects.
        """
        with self._open(file) as stream:
            header = self._read_header(file, stream)
            data = stream.read()
        values: NDArray[Any] = np.frombuffer(data, header.dtype, math.prod(header.shape))
        return values.reshape(header.shape, order="F" if header.column_major else "C")

    def read_texts(self, file: str, num_trials: int, notes: list[str]) -> list[str] | None:
        """Return one text per trial; None, with a note, if the file cannot be read as that."""
        try:
            values = self.read_array(file)
        except RecordingError as error:
            notes.append(f"not used: {error.message}")
            return None
        if values.shape != (num_trials,):
            notes.append(f"not used: {file} has shape {values.shape} for {num_trials} trials")
            return None
        return [text.strip() for text in values.astype(np.str_).tolist()]

    def read_first(self, file: str) -> tuple[NpyHeader, NDArray[Any]]:
        """Read the values along the last axis at index 0 of all other axes, `array[0, ..., 0, :]`.

        Of an array in C order only these are read.
        """
        with self._open(file) as stream:
            header = self._read_header(file, stream)
            is_short = header.column_major or len(header.shape) < 2
            if not is_short:
                data = stream.read(header.shape[-1] * header.dtype.itemsize)
                return header, np.frombuffer(data, header.dtype)
        values = self.read_array(file)
        return header, values[(0,) * (values.ndim - 1)]

    def has_value(self, file: str) -> bool:
        """Return whether any value is neither 0 nor NaN; a text is a value. Stops at the first."""
        with self._open(file) as stream:
            dtype = self._read_header(file, stream).dtype
            if dtype.kind not in "iuf":
                return True
            while data := stream.read(dtype.itemsize << 14):
                values = np.frombuffer(data, dtype)
                if ((values > 0) | (values < 0)).any():
                    return True
        return False

    def _read_header(self, file: str, stream: IO[bytes]) -> NpyHeader:
        start = stream.read(8)
        # Only version 1.0 has a short field for the header's length.
        start += stream.read(2 if start[6:7] == b"\x01" else 4)
        length = int.from_bytes(start[8:], "little")
        if length > _MAX_HEADER_BYTES:
            raise ValueError("it is no .npy file")
        head = start + stream.read(length)
        header = _parse_header(head)
        if header.dtype.hasobject:
            raise RecordingError(
                f"{self.where(file)} holds Python objects, which are not read, because reading "
                "them can run a program",
                hint="save it again as numbers or as text: array.astype(str)",
            )
        expected = len(head) + math.prod(header.shape) * header.dtype.itemsize
        if expected != self.files[file]:
            raise ValueError(f"it has {self.files[file]:,} bytes, its header says {expected:,}")
        return header

    @contextlib.contextmanager
    def _open(self, file: str) -> Iterator[IO[bytes]]:
        """Open a file; errors of reading it become RecordingErrors that name it."""
        if file not in self.files:
            raise RecordingError(f"{self.where(file)} is missing", hint=_COPY_HINT)
        try:
            if self.archive is None:
                with (self.path / file).open("rb") as stream:
                    yield stream
            else:
                with self.archive.open(self.prefix + file) as stream:
                    yield stream
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise RecordingError(
                f"{self.where(file)} cannot be read: {error}", hint=_COPY_HINT
            ) from error
        except (NotImplementedError, RuntimeError) as error:
            raise RecordingError(
                f"{self.where(file)} cannot be read: {error}",
                hint="unpack the archive and give the folder",
            ) from error


@lru_cache(maxsize=256)
def _parse_header(head: bytes) -> NpyHeader:
    """Return the header at the start of a `.npy` file; raise ValueError."""
    return parse_npy_header(io.BytesIO(head))


def is_set(path: Path) -> bool:
    """Return whether a folder or a zip archive looks like a Sensorium set, even a damaged one.

    An archive that cannot be read is taken for one: no other archive is a recording.
    """
    if path.is_dir():
        return (path / "meta/trials").is_dir() or (path / "data/responses").is_dir()
    if path.suffix.lower() != ".zip" or not path.is_file():
        return False
    if _NAME.fullmatch(path.name):
        # The list of a large archive takes a second to read.
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/" + TIERS) or name == TIERS for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return True


def open_store(path: Path) -> Store:
    """List the files of a set.

    Raises:
        RecordingError: The archive cannot be read, is encrypted, or holds no set or several.
    """
    return _open_folder(path) if path.is_dir() else _open_archive(path)


def _open_folder(path: Path) -> Store:
    files: dict[str, int] = {}
    if (path / CONFIG).is_file():
        files[CONFIG] = (path / CONFIG).stat().st_size
    folders = [*(path / "data").glob("*"), path / "meta/trials", path / "meta/neurons"]
    folders += (path / "meta/statistics").glob("*/*")
    for folder in folders:
        for file in folder.iterdir() if folder.is_dir() else ():
            if file.suffix == ".npy":
                files[file.relative_to(path).as_posix()] = file.stat().st_size
    return Store(path=path, name=path.resolve().name, files=files)


def _open_archive(path: Path) -> Store:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise RecordingError(
            f"{path} cannot be read as a zip archive: {error}", hint=_COPY_HINT
        ) from error
    try:
        store = _list_archive(path, archive)
    except RecordingError:
        archive.close()
        raise
    # The archive is closed with its store, also where the garbage collector frees both.
    weakref.finalize(store, archive.close)
    return store


def _list_archive(path: Path, archive: zipfile.ZipFile) -> Store:
    members = [member for member in archive.infolist() if not member.is_dir()]
    prefixes = [m.filename.removesuffix(TIERS) for m in members if m.filename.endswith(TIERS)]
    prefixes = [prefix for prefix in prefixes if not prefix.startswith("__MACOSX/")]
    if len(prefixes) != 1:
        found = ", ".join(prefixes) if prefixes else "none"
        raise RecordingError(
            f"{path} must hold one Sensorium set with a file {TIERS}: found {found}",
            hint="give an archive as the competition has it, or unpack it and give the folder",
        )
    (prefix,) = prefixes
    inside = [member for member in members if member.filename.startswith(prefix)]
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in inside):
        raise RecordingError(
            f"{path} is encrypted and cannot be read",
            hint="unpack it with its password and give the folder",
        )
    return Store(
        path=path,
        name=PurePosixPath(prefix).name or path.stem,
        files={member.filename.removeprefix(prefix): member.file_size for member in inside},
        archive=archive,
        prefix=prefix,
    )
