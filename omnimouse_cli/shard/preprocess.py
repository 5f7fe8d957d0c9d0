"""Conversion of recordings to a data set: missing shards are written, current ones are kept."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from omnimouse_cli.errors import LaterVersionError, RecordingError, ShardError
from omnimouse_cli.files import names_a_file
from omnimouse_cli.recording.options import OpenOptions
from omnimouse_cli.recording.recording import Recording
from omnimouse_cli.recording.session_key import key_as_file_name
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.shard.catalogue import SHARD_SUFFIX, Catalogue, refresh_catalogue
from omnimouse_cli.shard.convert import Storage, convert
from omnimouse_cli.shard.jobs import Check, map_as_completed, number_of_jobs
from omnimouse_cli.shard.read import open_shard
from omnimouse_cli.shard.write import remove_abandoned

# Raised when the same files and options give another shard than before.
CONVERSION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessOptions:
    """How recordings are converted.

    Args:
        storage: How responses are stored.
        open_options: Options with which the recordings were opened; shards depend on them.
        force: Whether shards that are up to date are written again.
        jobs: Number of recordings that are converted at once.
    """

    storage: Storage = field(default_factory=Storage)
    open_options: OpenOptions = field(default_factory=OpenOptions)
    force: bool = False
    jobs: int = 1

    def __post_init__(self) -> None:
        """Raise ValueError if there is no job."""
        if self.jobs < 1:
            raise ValueError(f"`jobs` must be positive: {self.jobs}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A recording that cannot be used."""

    session: str
    error: RecordingError


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessResult:
    """Result of a conversion.

    Args:
        catalogue: The whole data set afterwards.
        written: Sessions that were converted.
        kept: Sessions that were up to date.
        failed: Recordings that cannot be used.
        jobs: Number of recordings that were converted at once.
    """

    catalogue: Catalogue
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[Failure, ...]
    jobs: int


def preprocess(
    recordings: Sequence[Recording], out: Path, options: PreprocessOptions, reporter: Reporter
) -> PreprocessResult:
    """Write a shard for every recording, and the catalogue of the folder.

    A shard appears whole or not at all. One whose recording and options have not changed is kept;
    a recording that cannot be used does not stop the others. The result does not depend on the
    number of jobs, and is in the order of the recordings.

    Args:
        recordings: Recordings with different session keys.
        out: Folder of shards; may hold other sessions already.
        options: How to convert.
        reporter: Shows the progress; with several jobs it is called from several threads.

    Raises:
        RecordingError: Two recordings have the same session key; nothing was written.
        ShardError: `out` cannot be a folder of shards, or holds shards of a later version.
        OmniMouseError: The disk is full; finished shards are kept.
        KeyboardInterrupt: With a message about what is kept.
    """
    paths = _shard_paths(recordings, out)
    _make_folder(out)
    remove_abandoned(out)
    refresh_catalogue(out, reporter)
    jobs = number_of_jobs(options.jobs, len(recordings))
    results: dict[str, Literal["written", "kept"] | Failure] = {}

    def convert_one(recording: Recording, check: Check) -> None:
        session, path = recording.session, paths[recording.session]
        progress = _Progress(session, reporter, check, is_alone=jobs == 1)
        fingerprint = compute_fingerprint(recording.path, _shard_options(options))
        # Also with `force`: a shard of a later version raises here, and is never replaced.
        if _is_current(path, fingerprint) and not options.force:
            results[session] = "kept"
            progress.complete()
            return
        with progress:
            try:
                if not options.force:
                    _require_same_source(path, recording)
                convert(
                    recording,
                    path,
                    storage=options.storage,
                    fingerprint=fingerprint,
                    advance=progress.advance,
                )
                results[session] = "written"
            except RecordingError as error:
                results[session] = Failure(session=session, error=error)

    reporter.start("sessions", len(recordings))
    try:
        with closing(map_as_completed(convert_one, recordings, jobs)) as completed:
            for _ in completed:
                pass
    except KeyboardInterrupt as interruption:
        refresh_catalogue(out, Silent())
        num_kept = sum(not isinstance(result, Failure) for result in results.values())
        text = (
            f"sessions in {out}, which are kept: {num_kept} of {len(recordings)}; "
            "run the same command to go on"
        )
        raise KeyboardInterrupt(text) from interruption
    reporter.finish("sessions")
    in_order = [(recording.session, results[recording.session]) for recording in recordings]
    return PreprocessResult(
        # Its warnings were shown at the beginning.
        catalogue=refresh_catalogue(out, Silent()),
        written=tuple(session for session, result in in_order if result == "written"),
        kept=tuple(session for session, result in in_order if result == "kept"),
        failed=tuple(result for _, result in in_order if isinstance(result, Failure)),
        jobs=jobs,
    )


def find_outdated(
    recordings: Sequence[Recording], out: Path, options: PreprocessOptions
) -> list[Recording]:
    """Return the recordings whose shards `preprocess` would write.

    Args:
        recordings: Recordings with different session keys.
        out: Folder of shards, which need not exist.
        options: How they would be converted.

    Raises:
        RecordingError: Two recordings have the same session key.
        LaterVersionError: A shard is of a later version.
    """
    paths = _shard_paths(recordings, out)
    stated = _shard_options(options)
    return [
        recording
        for recording in recordings
        if options.force
        or not _is_current(paths[recording.session], compute_fingerprint(recording.path, stated))
    ]


class _Progress:
    """Progress of one recording: a bar of its own if it is alone, else its share of `sessions`.

    Args:
        session: Session key.
        reporter: Has a task `sessions`, in which this recording counts for 1.
        check: Called before each advance; raises if the job was cancelled.
        is_alone: Whether no other recording is converted at the same time.
    """

    def __init__(self, session: str, reporter: Reporter, check: Check, *, is_alone: bool) -> None:
        self._session = session
        self._reporter = reporter
        self._check = check
        self._is_alone = is_alone
        self._share = 0.0

    def __enter__(self) -> None:
        if self._is_alone:
            self._reporter.start(self._session, 1.0)

    def advance(self, share: float) -> None:
        """Add a share of the recording."""
        self._check()
        if self._is_alone:
            self._reporter.advance(self._session, share)
        else:
            self._share += share
            self._reporter.advance("sessions", share)

    def complete(self) -> None:
        """Count the recording as done."""
        self._reporter.advance("sessions", 1.0 - self._share)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_alone:
            self._reporter.finish(self._session)
        if kind is None:
            self.complete()


def compute_fingerprint(path: Path, options: Mapping[str, object]) -> str:
    """Return a text that changes when a file's name, size or time changes, or an option does.

    Args:
        path: The recording: a folder or a single file. Contents are not read.
        options: Whatever else the shard depends on.
    """
    root = path if path.is_dir() else path.parent
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(file, file.stat()) for file in found if file.is_file()]
    files = [(str(file.relative_to(root)), s.st_size, s.st_mtime_ns) for file, s in facts]
    text = json.dumps([CONVERSION, dict(sorted(options.items())), files])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _shard_options(options: PreprocessOptions) -> dict[str, object]:
    """Return the options that a shard depends on; those of opening only if they say something."""
    stated: dict[str, object] = asdict(options.storage)
    silent = asdict(OpenOptions())
    for name, value in asdict(options.open_options).items():
        if value != silent[name]:
            stated[f"open.{name}"] = value
        # Tables may be files outside of the recording.
        if isinstance(value, str) and names_a_file(value):
            status = Path(value).stat()
            stated[f"open.{name} file"] = (status.st_size, status.st_mtime_ns)
    return stated


def shard_name(session: str) -> str:
    """Return the file name of a session's shard."""
    return key_as_file_name(session) + SHARD_SUFFIX


def _shard_paths(recordings: Sequence[Recording], out: Path) -> dict[str, Path]:
    """Return the path of each session's shard; raise RecordingError if two are the same."""
    taken: dict[str, Recording] = {}
    for recording in recordings:
        other = taken.setdefault(shard_name(recording.session), recording)
        if other is not recording:
            raise RecordingError(
                f"{other.path} and {recording.path} have the same session key: {recording.session}",
                hint="convert them one by one, one of them with another key: --key KEY",
            )
    return {recording.session: out / shard_name(recording.session) for recording in recordings}


def _require_same_source(path: Path, recording: Recording) -> None:
    """Raise RecordingError if a shard is of another recording, which is still there."""
    try:
        source = Path(open_shard(path).description.source.path)
        is_other = source != recording.path.resolve() and source.exists()
    except (ShardError, OSError):
        return
    if is_other:
        raise RecordingError(
            f"{path} is of {source}, and {recording.path} has the same session key: "
            f"{recording.session}",
            hint="give this one another key with --key KEY, or replace the shard with --force",
        )


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ShardError(
            f"{out} cannot be a folder of shards: {error.strerror}",
            hint="name another folder with --out",
        ) from error
    if not os.access(out, os.W_OK):
        raise ShardError(
            f"{out} cannot be a folder of shards: it is not writable",
            hint="name another folder with --out",
        )


def _is_current(path: Path, fingerprint: str) -> bool:
    if not path.exists():
        return False
    try:
        return open_shard(path).description.source.fingerprint == fingerprint
    except LaterVersionError:
        raise
    except ShardError:
        # A damaged shard is written again.
        return False
