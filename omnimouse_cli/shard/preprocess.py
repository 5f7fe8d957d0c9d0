"""Recordings become a data set: what is missing is converted, what is there is kept."""

import os
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from omnimouse_cli.errors import LaterVersionError, RecordingError, ShardError
from omnimouse_cli.recording.recording import Recording
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.shard.catalogue import SHARD_SUFFIX, Catalogue, refresh_catalogue
from omnimouse_cli.shard.convert import Storage, convert
from omnimouse_cli.shard.fingerprint import fingerprint
from omnimouse_cli.shard.jobs import Check, as_they_end, number_of_jobs
from omnimouse_cli.shard.progress import RecordingProgress
from omnimouse_cli.shard.read import open_shard
from omnimouse_cli.shard.write import remove_abandoned


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessOptions:
    """How recordings are converted.

    Args:
        storage: How responses are stored.
        force: Convert also what is up to date.
        jobs: How many recordings at once.
    """

    storage: Storage = field(default_factory=Storage)
    force: bool = False
    jobs: int = 1

    def __post_init__(self) -> None:
        """Refuse a number of jobs that does nothing."""
        if self.jobs < 1:
            raise ValueError(f"`jobs` must be positive: {self.jobs}")


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
        jobs: How many recordings were converted at once.
    """

    catalogue: Catalogue
    written: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[Failure, ...]
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    recording: Recording
    path: Path


# What became of a recording.
_Outcome = Literal["written", "kept"] | Failure


def preprocess(
    recordings: Sequence[Recording], out: Path, options: PreprocessOptions, reporter: Reporter
) -> PreprocessResult:
    """Write a shard for every recording, and the catalogue of the folder.

    A shard appears whole or not at all. One whose recording and options have not changed is kept;
    a recording that cannot be used does not stop the others. However many are converted at once,
    the result is the same, in the order of the recordings.

    Args:
        recordings: Each with a session key of its own.
        out: Folder of shards; may hold other sessions already.
        options: How to convert.
        reporter: Hears of progress; with several jobs from several threads.

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
    tasks = [_Task(recording=r, path=path) for r, path in zip(recordings, paths, strict=True)]
    jobs = number_of_jobs(options.jobs, len(tasks))
    outcomes: dict[str, _Outcome] = {}

    def work(task: _Task, check: Check) -> _Outcome:
        session = task.recording.session
        progress = RecordingProgress(session, reporter, check, is_alone=jobs == 1)
        outcomes[session] = _outcome(task, options, progress)
        return outcomes[session]

    reporter.start("sessions", len(tasks))
    try:
        with closing(as_they_end(work, tasks, jobs)) as ends:
            for task, outcome in ends:
                if outcome == "written":
                    catalogue = refresh_catalogue(out, reporter, changed=[task.path])
    except KeyboardInterrupt as interruption:
        num_kept = sum(outcome in ("written", "kept") for outcome in outcomes.values())
        text = (
            f"{num_kept} of {len(tasks)} sessions are in {out} and kept; "
            "run the same command to go on"
        )
        raise KeyboardInterrupt(text) from interruption
    reporter.finish("sessions")
    in_order = [(task.recording.session, outcomes[task.recording.session]) for task in tasks]
    return PreprocessResult(
        catalogue=catalogue,
        written=tuple(session for session, outcome in in_order if outcome == "written"),
        kept=tuple(session for session, outcome in in_order if outcome == "kept"),
        failed=tuple(outcome for _, outcome in in_order if isinstance(outcome, Failure)),
        jobs=jobs,
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


def _outcome(task: _Task, options: PreprocessOptions, progress: RecordingProgress) -> _Outcome:
    recording = task.recording
    mark = fingerprint(recording.path, asdict(options.storage))
    # Asked for in any case: what a newer omnimouse has written is not even replaced by force.
    if _is_current(task.path, mark) and not options.force:
        progress.end()
        return "kept"
    with progress:
        try:
            convert(
                recording,
                task.path,
                storage=options.storage,
                fingerprint=mark,
                advance=progress.advance,
            )
        except RecordingError as error:
            return Failure(session=recording.session, error=error)
    return "written"
