"""Recordings become a data set: what is missing is converted, what is there is kept."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from omnimouse_cli.errors import RecordingError, ShardError
from omnimouse_cli.recording.recording import Recording
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.catalogue import SHARD_SUFFIX, Catalogue, refresh_catalogue
from omnimouse_cli.shard.convert import Storage, convert
from omnimouse_cli.shard.fingerprint import fingerprint
from omnimouse_cli.shard.format import LaterVersionError
from omnimouse_cli.shard.read import open_shard
from omnimouse_cli.shard.write import remove_abandoned


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessOptions:
    """How recordings are converted.

    Args:
        storage: How responses are stored.
        force: Convert also what is up to date.
    """

    storage: Storage = field(default_factory=Storage)
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A recording that cannot be used."""

    session: str
    error: RecordingError


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessResult:
    """What a call has done.

    Args:
        catalogue: The whole data set afterwards.
        written: Sessions that were converted.
        kept: Sessions that were up to date.
        failed: Recordings that cannot be used.
    """

    catalogue: Catalogue
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[Failure, ...]


def preprocess(
    recordings: Sequence[Recording], out: Path, options: PreprocessOptions, reporter: Reporter
) -> PreprocessResult:
    """Write a shard for every recording, and the catalogue of the folder.

    A shard appears whole or not at all. One whose recording and options have not changed is kept;
    a recording that cannot be used does not stop the others.

    Args:
        recordings: Each with a session key of its own.
        out: Folder of shards; may hold other sessions already.
        options: How to convert.
        reporter: Hears of progress.

    Raises:
        RecordingError: Two recordings have the same session key; nothing was written.
        ShardError: `out` cannot be a folder of shards, or holds shards of a later version.
        OmniMouseError: The disk is full; what is finished is kept.
        KeyboardInterrupt: With a text that says what is kept.
    """
    paths = _shard_paths(recordings, out)
    _make_folder(out)
    remove_abandoned(out)
    catalogue = refresh_catalogue(out, reporter)
    written: list[str] = []
    kept: list[str] = []
    failed: list[Failure] = []
    reporter.start("sessions", len(recordings))
    for recording, path in zip(recordings, paths, strict=True):
        mark = fingerprint(recording.path, asdict(options.storage))
        if not options.force and _is_current(path, mark):
            kept.append(recording.session)
            reporter.advance("sessions")
            continue
        try:
            _convert(recording, path, options.storage, mark, reporter)
        except RecordingError as error:
            failed.append(Failure(session=recording.session, error=error))
        except KeyboardInterrupt as interruption:
            text = (
                f"{len(written) + len(kept)} of {len(recordings)} sessions are in {out} and kept; "
                "run the same command to go on"
            )
            raise KeyboardInterrupt(text) from interruption
        else:
            written.append(recording.session)
            catalogue = refresh_catalogue(out, reporter, changed=[path])
        reporter.advance("sessions")
    reporter.finish("sessions")
    return PreprocessResult(
        catalogue=catalogue, written=tuple(written), kept=tuple(kept), failed=tuple(failed)
    )


def shard_name(session: str) -> str:
    """Give the file name of a session's shard; what file systems dislike becomes `_`."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", session).lstrip(".") + SHARD_SUFFIX


def _shard_paths(recordings: Sequence[Recording], out: Path) -> list[Path]:
    taken: dict[str, Recording] = {}
    for recording in recordings:
        other = taken.setdefault(shard_name(recording.session), recording)
        if other is not recording:
            raise RecordingError(
                f"{other.path} and {recording.path} have the same session key: {recording.session}",
                hint="leave one of them out, or give it another `data_key` in its meta.json",
            )
    return [out / shard_name(recording.session) for recording in recordings]


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


def _is_current(path: Path, mark: str) -> bool:
    if not path.exists():
        return False
    try:
        return open_shard(path).description.source.fingerprint == mark
    except LaterVersionError:
        raise
    except ShardError:
        # Whatever is wrong with it, it is about to be written anew.
        return False


def _convert(
    recording: Recording, path: Path, storage: Storage, mark: str, reporter: Reporter
) -> None:
    reporter.start(recording.session, 1.0)
    try:
        convert(
            recording,
            path,
            storage=storage,
            fingerprint=mark,
            advance=lambda share: reporter.advance(recording.session, share),
        )
    finally:
        reporter.finish(recording.session)
