"""Opens recordings of every supported raw format."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.arrays import session as arrays
from omnimouse_cli.recording.experanto import session as experanto
from omnimouse_cli.recording.nwb import session as nwb
from omnimouse_cli.recording.options import CONTENT_OPTIONS, OpenOptions
from omnimouse_cli.recording.other_files import describe_other
from omnimouse_cli.recording.recording import Recording
from omnimouse_cli.recording.sensorium import session as sensorium
from omnimouse_cli.recording.split.tiers import assign_tiers
from omnimouse_cli.recording.suite2p import session as suite2p


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFormat:
    """One raw format.

    Args:
        name: Name of the format, as `nwb`.
        markers: Files by which it is recognized, in words, for the message that nothing was found.
        matches: Whether a path looks like a recording of this format, even a damaged one; reads
            no file.
        open: Opens the recording; signals and frames are read on demand.
        options: Names of the `OpenOptions` about contents of the files that it follows; the others
            are noted as without effect.
    """

    name: str
    markers: str
    matches: Callable[[Path], bool]
    open: Callable[[Path, OpenOptions], Recording]
    options: tuple[str, ...] = CONTENT_OPTIONS


# The first entry that matches a path opens it. ARCHITECTURE.md says how to add a raw format;
# sensorium/session.py is the module to copy, tests/recording/sensorium/test_session.py its test.
RAW_FORMATS = (
    RawFormat(
        name="experanto",
        markers=experanto.MARKERS,
        matches=experanto.is_session,
        open=experanto.open_session,
        options=(),
    ),
    RawFormat(
        name="nwb",
        markers=nwb.MARKERS,
        matches=nwb.is_session,
        open=nwb.open_session,
    ),
    RawFormat(
        name="sensorium",
        markers=sensorium.MARKERS,
        matches=sensorium.is_set,
        open=sensorium.open_set,
        options=(),
    ),
    RawFormat(
        name="suite2p",
        markers=suite2p.MARKERS,
        matches=suite2p.is_session,
        open=suite2p.open_session,
    ),
    # Last: its files have the most general names.
    RawFormat(
        name="arrays",
        markers=arrays.MARKERS,
        matches=arrays.is_session,
        open=arrays.open_session,
    ),
)


def open_recording(path: Path, options: OpenOptions | None = None) -> Recording:
    """Open one recording; its rows and frames stay on disk.

    Args:
        path: The recording: a folder or a single file, as its raw format has it.
        options: What the user says about the recording; None says nothing.

    Raises:
        RecordingError: The path does not exist, is no recording, or a damaged one.

    Example:
        >>> import tempfile
        >>> from omnimouse_cli.recording.simulated.settings import SimulationConfig
        >>> from omnimouse_cli.recording.simulated.simulation import simulate
        >>> from omnimouse_cli.reporter import Silent
        >>> folder = tempfile.TemporaryDirectory()
        >>> config = SimulationConfig(sessions=1, neurons=16, minutes=1)
        >>> session, = simulate(Path(folder.name), config, reporter=Silent())
        >>> recording = open_recording(session.path)
        >>> recording.session, recording.responses.read_rows(0, 60).shape
        ('20001-1-1', (60, 16))
        >>> folder.cleanup()
    """
    with translate_os_errors(path):
        require_path(path)
        _require_files(path)
        for raw_format in RAW_FORMATS:
            if raw_format.matches(path):
                return _open(path, raw_format, options or OpenOptions())
        raise no_recording(path)


def _open(path: Path, raw_format: RawFormat, options: OpenOptions) -> Recording:
    recording = raw_format.open(path, options)
    provenance = recording.provenance
    provenance = replace(
        provenance,
        licence=options.licence or provenance.licence,
        citation=options.citation or provenance.citation,
    )
    unused = [
        f"--{name.removesuffix('_hz')} has no effect on recordings of format {raw_format.name}"
        for name in CONTENT_OPTIONS
        if name not in raw_format.options and getattr(options, name) is not None
    ]
    recording = replace(
        recording,
        format=raw_format.name,
        provenance=provenance,
        notes=(*recording.notes, *unused, *_key_notes(recording, options)),
    )
    return assign_tiers(recording, options.split)


def _key_notes(recording: Recording, options: OpenOptions) -> list[str]:
    if options.key is None:
        return []
    return [f"session: the key {options.key} was given with --key; animal {recording.animal}"]


def is_recording(path: Path) -> bool:
    """Return whether a path looks like a recording of a raw format, even a damaged one."""
    return any(raw_format.matches(path) for raw_format in RAW_FORMATS)


@contextlib.contextmanager
def translate_os_errors(path: Path) -> Iterator[None]:
    """Raise an error of the file system as a RecordingError that names the file."""
    try:
        yield
    except OSError as error:
        raise RecordingError(
            f"{error.filename or path} cannot be read: {error.strerror or error}",
            hint="check the recording's permissions and its disk",
        ) from error


def require_path(path: Path) -> None:
    """Raise RecordingError if nothing is at a path."""
    if path.exists():
        return
    if path.is_symlink():
        raise RecordingError(
            f"{path} is a link to something that is not here: {path.readlink()}",
            hint="get it first, as with `datalad get`, or mount its disk",
        )
    raise RecordingError(f"{path} does not exist", hint="check the path of the recording")


def _require_files(folder: str | Path) -> None:
    """Raise RecordingError if a recording holds a pipe or a device, which would be waited for."""
    if not Path(folder).is_dir():
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _require_files(entry.path)
            elif not (entry.is_file() or entry.is_dir()) and Path(entry.path).exists():
                raise RecordingError(
                    f"{entry.path} is a pipe or a device, not a file",
                    hint="remove it, or copy the recording again",
                )


def no_recording(path: Path) -> RecordingError:
    """Return the error that a path is no recording; its hint says what it is."""
    other = describe_other(path)
    if is_recording(path.parent):
        hint = f"this is a part of a recording; give the whole recording: {path.parent}"
    elif other is not None:
        hint = f"this is {other}"
    else:
        hint = "give a recording, or a folder of recordings"
    markers = "; ".join(raw_format.markers for raw_format in RAW_FORMATS)
    return RecordingError(f"{path} is no recording: looked for {markers}", hint=hint)
