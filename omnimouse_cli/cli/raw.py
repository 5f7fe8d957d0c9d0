"""Raw recordings on the command line: their options, the search for them, and opening them."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.errors import OmniMouseError, RecordingError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

if TYPE_CHECKING:
    from omnimouse_cli.recording.find import Skipped
    from omnimouse_cli.recording.options import OpenOptions
    from omnimouse_cli.recording.recording import Recording
    from omnimouse_cli.shard.jobs import Check
    from omnimouse_cli.shard.preprocess import Failure

_PANEL = "Raw files"
# Skipped paths that are shown of one kind.
_NUM_SHOWN = 3


class SplitChoice(StrEnum):
    """The values of --split."""

    auto = "auto"
    conditions = "conditions"
    movie_time = "movie-time"
    time = "time"


def _path_option(name: str, help_text: str) -> Any:  # noqa: ANN401 - as Typer has it
    return typer.Option(name, help=help_text, metavar="PATH", rich_help_panel=_PANEL)


SeriesOption = Annotated[
    str | None,
    _path_option("--series", "Responses inside the file, where several series would fit."),
]
StimulusOption = Annotated[str | None, _path_option("--stimulus", "Stimulus inside the file.")]
TrialsOption = Annotated[
    str | None, _path_option("--trials", "Table of trials inside the file, or a CSV file.")
]
RunningOption = Annotated[
    str | None, _path_option("--running", "Running speed inside the file, or a CSV file.")
]
PupilOption = Annotated[
    str | None, _path_option("--pupil", "Pupil inside the file, or a CSV file.")
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="HZ",
        min=1e-3,
        max=1e6,
        help="Rows of the responses per second, for files that do not say.",
        rich_help_panel=_PANEL,
    ),
]
SplitOption = Annotated[
    SplitChoice,
    typer.Option(
        "--split",
        help="How tiers are made where the files have none: repeated conditions are test; all "
        "repeats of 10 s of a movie are in one tier; by time within blocks; auto takes what fits.",
        rich_help_panel=_PANEL,
    ),
]
StaticOption = Annotated[
    bool,
    typer.Option(
        "--static",
        help="Open recordings of single images without a time course.",
        rich_help_panel=_PANEL,
    ),
]
LicenceOption = Annotated[
    str | None,
    typer.Option("--licence", help="Licence of the data, as CC-BY-4.0.", rich_help_panel=_PANEL),
]
CitationOption = Annotated[
    str | None,
    typer.Option("--citation", help="How to cite the data.", rich_help_panel=_PANEL),
]


def find_and_open(
    paths: Sequence[Path], options: "OpenOptions", jobs: int | None, progress: Reporter
) -> tuple[list["Recording"], list["Failure"], tuple["Skipped", ...]]:
    """Open every recording at and below `paths`; a failure does not stop the others.

    Returns:
        The recordings; those that cannot be used, and given paths that lead to none; and what was
        skipped beside them, which is reported too.

    Raises:
        OmniMouseError: There is no recording, or none can be opened.
    """
    from omnimouse_cli.recording.find import find_recordings
    from omnimouse_cli.shard.jobs import map_as_completed, number_of_jobs
    from omnimouse_cli.shard.preprocess import Failure

    found = find_recordings(paths)
    report_skipped(found.skipped, progress)
    opened: dict[Path, Recording | Failure] = {}
    recordings = found.recordings
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
    failed += [Failure(session=str(path), error=error) for path, error in found.failed]
    usable = [outcome for outcome in in_order if not isinstance(outcome, Failure)]
    if not usable:
        raise_failures(failed, len(failed))
    return usable, failed, found.skipped


def _open(options: "OpenOptions", path: Path, check: "Check") -> "Recording | Failure":
    from omnimouse_cli.recording.open import open_recording
    from omnimouse_cli.shard.preprocess import Failure

    check()
    try:
        return open_recording(path, options)
    except RecordingError as error:
        return Failure(session=path.name, error=error)


def report_skipped(skipped: Sequence["Skipped"], progress: Reporter) -> None:
    """Say in one line per reason what was skipped."""
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
    """Raise the failures as one error, if there are any.

    Raises:
        OmniMouseError: The only failure itself, or one that names all.
    """
    if not failed:
        return
    first = failed[0].error
    if len(failed) == 1:
        raise first
    lines = "".join(f"\n  {failure.error.message}" for failure in failed)
    raise OmniMouseError(
        f"{len(failed)} of {num_recordings} recordings cannot be used:{lines}", hint=first.hint
    )
