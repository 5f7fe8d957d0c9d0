"""Finding and opening raw recordings; one that cannot be used does not stop the others."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omnimouse_cli.errors import OmniMouseError, RecordingError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

if TYPE_CHECKING:
    from omnimouse_cli.recording.find import Skipped
    from omnimouse_cli.recording.options import OpenOptions
    from omnimouse_cli.recording.recording import Recording
    from omnimouse_cli.shard.jobs import Check
    from omnimouse_cli.shard.preprocess import Failure

# Skipped paths that are shown of one kind.
_NUM_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAndOpened:
    """Recordings that were searched for and opened.

    Args:
        opened: The recordings.
        failed: Those that cannot be used, and given paths that lead to none.
        skipped: What was skipped beside them.
    """

    opened: "tuple[Recording, ...]"
    failed: "tuple[Failure, ...]"
    skipped: "tuple[Skipped, ...]"


def find_and_open(
    paths: Sequence[Path],
    options: "OpenOptions",
    jobs: int | None,
    progress: Reporter,
    *,
    task: tuple[int, int] = (1, 1),
) -> FoundAndOpened:
    """Open every recording at and below `paths`; a failure does not stop the others.

    Args:
        paths: Recordings, or folders of recordings.
        options: How to open them.
        jobs: Number of recordings opened at once; None for one for each core.
        progress: Shows progress, and what is skipped.
        task: Number of a share of the recordings, from 1, and the number of shares; only the
            recordings of the share are opened, and paths without recordings fail in the first.

    Raises:
        OmniMouseError: There is no recording, none can be opened, or there are several and
            `options.key` names one session.
    """
    from omnimouse_cli.recording.find import find_recordings
    from omnimouse_cli.shard.jobs import map_as_completed, number_of_jobs
    from omnimouse_cli.shard.preprocess import Failure

    found = find_recordings(paths)
    if options.key is not None and len(found.recordings) > 1:
        raise OmniMouseError(
            f"--key is the key of one session, and {', '.join(map(str, paths))} holds "
            f"{pluralize(len(found.recordings), 'recording')}",
            hint="name one recording: omnimouse preprocess RECORDING --key KEY",
        )
    report_skipped(found.skipped, progress)
    opened: dict[Path, Recording | Failure] = {}
    number, num_tasks = task
    recordings = found.recordings[number - 1 :: num_tasks]
    progress.start("opening recordings", len(recordings))
    open_one = partial(_open, options)
    num_jobs = number_of_jobs(jobs, len(recordings))
    with closing(map_as_completed(open_one, recordings, num_jobs)) as ends:
        for path, outcome in ends:
            opened[path] = outcome
            progress.advance("opening recordings")
    progress.finish("opening recordings")
    in_order = [opened[path] for path in recordings]
    failed = [outcome for outcome in in_order if isinstance(outcome, Failure)]
    if number == 1:
        failed += [Failure(session=str(path), error=error) for path, error in found.failed]
    usable = tuple(outcome for outcome in in_order if not isinstance(outcome, Failure))
    if not usable:
        raise_failures(failed, len(failed))
    return FoundAndOpened(opened=usable, failed=tuple(failed), skipped=found.skipped)


def _open(options: "OpenOptions", path: Path, check: "Check") -> "Recording | Failure":
    from omnimouse_cli.recording.open import open_recording
    from omnimouse_cli.shard.preprocess import Failure

    check()
    try:
        return open_recording(path, options)
    except RecordingError as error:
        return Failure(session=path.name, error=error)


def report_skipped(skipped: Sequence["Skipped"], progress: Reporter) -> None:
    """Report skipped paths, one line for each reason."""
    by_reason: dict[str, list[Path]] = defaultdict(list)
    for entry in skipped:
        by_reason[entry.reason].append(entry.path)
    for reason, paths in by_reason.items():
        shown = ", ".join(str(path) for path in paths[:_NUM_SHOWN])
        others = len(paths) - _NUM_SHOWN
        more = f" and {pluralize(others, 'other')}" if others > 0 else ""
        progress.say(f"skipped {shown}{more}: {reason}")


def failure_records(failed: Sequence["Failure"]) -> list[dict[str, Any]]:
    """Return failures as the JSON documents have them."""
    return [
        {"recording": f.session, "error": f.error.message, "hint": f.error.hint} for f in failed
    ]


def raise_failures(failed: Sequence["Failure"], num_recordings: int) -> None:
    """Raise the failures as one error, if there are any; a hint that all share stands once.

    Raises:
        OmniMouseError: The only failure itself, or one that names all.
    """
    if not failed:
        return
    first = failed[0].error
    if len(failed) == 1:
        raise first
    is_one_hint = len({failure.error.hint for failure in failed}) == 1
    lines = ""
    for failure in failed:
        lines += f"\n  {failure.error.message}"
        if failure.error.hint and not is_one_hint:
            lines += f"\n    hint: {failure.error.hint}"
    raise OmniMouseError(
        f"{len(failed)} of {num_recordings} recordings cannot be used:{lines}",
        hint=first.hint if is_one_hint else None,
    )
