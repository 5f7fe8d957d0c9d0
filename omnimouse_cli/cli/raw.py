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

# Skipped paths that are shown of one kind.
_NUM_SHOWN = 3
# Lowest and highest rate that --rate takes.
_RATES_HZ = (1e-3, 1e6)


class SplitChoice(StrEnum):
    """The values of --split."""

    auto = "auto"
    conditions = "conditions"
    movie_time = "movie-time"
    time = "time"


def _option(name: str, help_text: str, **settings: Any) -> Any:  # noqa: ANN401 - as Typer has it
    return typer.Option(name, help=help_text, rich_help_panel="Raw files", **settings)


def _require_rate(rate: float | None) -> float | None:
    low, high = _RATES_HZ
    if rate is not None and not low <= rate <= high:
        raise typer.BadParameter(
            f"{rate:g} Hz is no rate of responses; give their rows per second, from {low:g} to "
            f"{high:,.0f}"
        )
    return rate


def _parse_split(text: str) -> SplitChoice:
    if text not in tuple(SplitChoice):
        raise typer.BadParameter(f"no split {text!r}; give one of {', '.join(SplitChoice)}")
    return SplitChoice(text)


SeriesOption = Annotated[
    str | None,
    _option(
        "--series",
        "Responses inside the file, where several would fit: a path, or rate, dff, fluorescence.",
        metavar="PATH",
    ),
]
StimulusOption = Annotated[
    str | None, _option("--stimulus", "Stimulus inside the file.", metavar="PATH")
]
TrialsOption = Annotated[
    str | None,
    _option("--trials", "Table of trials inside the file, or a CSV file.", metavar="PATH"),
]
RunningOption = Annotated[
    str | None,
    _option("--running", "Running speed inside the file, or a CSV file.", metavar="PATH"),
]
PupilOption = Annotated[
    str | None, _option("--pupil", "Pupil inside the file, or a CSV file.", metavar="PATH")
]
RateOption = Annotated[
    float | None,
    _option(
        "--rate",
        "Rows of the responses per second, for files that do not say.",
        metavar="HZ",
        callback=_require_rate,
    ),
]
SplitOption = Annotated[
    SplitChoice,
    _option(
        "--split",
        "How tiers are made where the files have none: repeated conditions are test; all "
        "repeats of 10 s of a movie are in one tier; by time within blocks; auto takes what fits.",
        metavar=f"[{'|'.join(SplitChoice)}]",
        parser=_parse_split,
    ),
]
StaticOption = Annotated[
    bool, _option("--static", "Open recordings of single images without a time course.")
]
LicenceOption = Annotated[str | None, _option("--licence", "Licence of the data, as CC-BY-4.0.")]
CitationOption = Annotated[str | None, _option("--citation", "How to cite the data.")]


def find_and_open(
    paths: Sequence[Path],
    options: "OpenOptions",
    jobs: int | None,
    progress: Reporter,
    *,
    task: tuple[int, int] = (1, 1),
) -> tuple[list["Recording"], list["Failure"], tuple["Skipped", ...]]:
    """Open every recording at and below `paths`; a failure does not stop the others.

    Args:
        paths: Recordings, or folders of recordings.
        options: How to open them.
        jobs: Number of recordings opened at once; None for one for each core.
        progress: Shows progress, and what is skipped.
        task: Number of a share of the recordings, from 1, and the number of shares; only the
            recordings of the share are opened, and paths without recordings fail in the first.

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
