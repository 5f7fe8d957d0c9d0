"""Opens a recording of whichever raw format a path holds."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto import session as experanto
from omnimouse_cli.recording.recording import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    name: str
    looked_for: str
    matches: Callable[[Path], bool]
    open: Callable[[Path], Recording]


_FORMATS = (
    _Format(
        name="experanto",
        looked_for=experanto.LOOKED_FOR,
        matches=experanto.is_session,
        open=experanto.open_session,
    ),
)


def open_recording(path: Path) -> Recording:
    """Open one recording; rows and frames stay on disk until they are asked for.

    Args:
        path: A session folder.

    Raises:
        RecordingError: The path does not exist, holds no recording, or one that is broken.

    Examples:
        >>> recording = open_recording(Path("recordings/17797-4-7"))  # doctest: +SKIP
        >>> recording.responses.read_rows(0, 60).shape  # doctest: +SKIP
        (60, 7253)
    """
    _require_path(path)
    with _unreadable_named(path):
        for known in _FORMATS:
            if known.matches(path):
                return known.open(path)
    raise _no_recording(path)


def find_recordings(paths: Sequence[Path]) -> list[Path]:
    """Find the recordings behind paths, each of which is one recording or a folder of them.

    Args:
        paths: As the user gave them.

    Returns:
        Recordings in the order of `paths`, those of one folder by name, none twice.

    Raises:
        RecordingError: A path does not exist or leads to no recording.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        _require_path(path)
        with _unreadable_named(path):
            inside = [path] if _is_recording(path) else []
            if not inside and path.is_dir():
                inside = [child for child in sorted(path.iterdir()) if _is_recording(child)]
        if not inside:
            raise _no_recording(path)
        for recording in inside:
            found.setdefault(recording.resolve(), recording)
    return list(found.values())


@contextlib.contextmanager
def _unreadable_named(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into an error that names the file."""
    try:
        yield
    except OSError as error:
        raise RecordingError(
            f"{error.filename or path} cannot be read: {error.strerror}",
            hint="check the recording's permissions and its disk",
        ) from error


def _is_recording(path: Path) -> bool:
    return any(known.matches(path) for known in _FORMATS)


def _require_path(path: Path) -> None:
    if not path.exists():
        raise RecordingError(f"{path} does not exist", hint="check the path of the recording")


def _no_recording(path: Path) -> RecordingError:
    looked_for = "; ".join(known.looked_for for known in _FORMATS)
    if (path / "meta.yml").is_file():
        hint = f"this is one device of a session; give the session's folder: {path.parent}"
    elif path.suffix == ".tar":
        hint = "unpack the archive first"
    else:
        hint = "give a session folder, or a folder of session folders"
    return RecordingError(f"{path} is no recording: looked for {looked_for}", hint=hint)
