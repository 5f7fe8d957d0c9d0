"""Raw recordings to shards: `om.preprocess`, the function of `omnimouse preprocess`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from omnimouse_cli.api.arguments import (
    PathLike,
    as_path,
    as_paths,
    explain_values,
    require_at_least,
    require_choice,
)
from omnimouse_cli.api.folders import default_recordings, default_shards
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.api.recordings import FoundAndOpened, find_and_open, raise_failures
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.reporter import Reporter

if TYPE_CHECKING:
    from omnimouse_cli.recording.find import Skipped
    from omnimouse_cli.recording.options import Split
    from omnimouse_cli.recording.recording import Recording, ResponseKind
    from omnimouse_cli.shard.catalogue import CatalogueEntry
    from omnimouse_cli.shard.preprocess import Failure, PreprocessOptions
    from omnimouse_cli.shard.responses import StoredDtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessed:
    """What a conversion did.

    Args:
        shards: Folder of the shards.
        sessions: Entries of the catalogue for the recordings that were given: session key, animal,
            neurons, hours, minutes per tier, notes, ...
        written: Keys of the sessions that were converted.
        kept: Keys of the sessions whose shards were up to date.
        skipped: What looks like data and is no recording.
        failed: Recordings that cannot be used; `om.preprocess` raises if there are any.
        recordings: The recordings as they were opened.
        jobs: Number of recordings that were converted at once.
    """

    shards: Path
    sessions: tuple["CatalogueEntry", ...]
    written: tuple[str, ...]
    kept: tuple[str, ...]
    skipped: tuple["Skipped", ...]
    failed: tuple["Failure", ...]
    recordings: tuple["Recording", ...]
    jobs: int


@explain_file_errors()
def preprocess(
    recordings: PathLike | Sequence[PathLike] | None = None,
    *,
    out: PathLike | None = None,
    dtype: "StoredDtype" = "float16",
    response_kind: "ResponseKind | None" = None,
    allow_gaps: bool = False,
    force: bool = False,
    jobs: int | None = None,
    series: str | None = None,
    stimulus: str | None = None,
    trials: str | None = None,
    running: str | None = None,
    pupil: str | None = None,
    rate: float | None = None,
    split: "Split" = "auto",
    static: bool = False,
    licence: str | None = None,
    citation: str | None = None,
    key: str | None = None,
    progress: bool | Reporter = False,
) -> Preprocessed:
    """Convert recordings to shards; shards that are up to date are kept.

    Args:
        recordings: Recordings (experanto, Sensorium, NWB, Suite2p, arrays), or folders of them; by
            default the folder recordings/.
        out: Folder of shards; by default shards/.
        dtype: Number type that responses are stored in: `float16`, `bfloat16` or `float32`.
        response_kind: `rate`, `dff`, `fluorescence` or `unknown`; None takes what the file says,
            else dF/F if any value is negative, else rates.
        allow_gaps: Whether NaN responses outside trials of kind `invalid` are gaps; else an error.
        force: Whether shards that are up to date are written again.
        jobs: Number of recordings converted at once; None is one for each core.
        series: Responses inside the file, where several would fit: a path or a kind.
        stimulus: Path of the stimulus inside the file.
        trials: Path of the table of trials inside the file, or a CSV file.
        running: Path of the running speed inside the file, or a CSV file.
        pupil: Path of the pupil inside the file, or a CSV file.
        rate: Rows of the responses per second, for files that do not say.
        split: How tiers are made where the files have none: `auto`, `conditions`, `movie-time` or
            `time`.
        static: Whether recordings of single images without a time course are opened.
        licence: Licence of the data.
        citation: How to cite the data.
        key: Session key of a single recording; None takes that of its files.
        progress: Whether lines about the progress are written on stderr; or a reporter.

    Returns:
        What was converted; `om.open_shards(result.shards)` reads it.

    Raises:
        OmniMouseError: A recording cannot be used, after all others have been converted; or an
            option, or the folder, cannot be used.
        KeyboardInterrupt: Ctrl-C; finished shards are kept, and the same call goes on.

    Example:
        >>> import omnimouse_cli as om
        >>> done = om.preprocess("recordings", out="shards", force=True)
        >>> done.written, done.sessions[0].neurons, done.sessions[0].response_kind
        (('20001-1-1',), 6, 'rate')
    """
    from omnimouse_cli.recording.options import OpenOptions
    from omnimouse_cli.recording.recording import ResponseKind
    from omnimouse_cli.shard.convert import Storage
    from omnimouse_cli.shard.jobs import number_of_jobs
    from omnimouse_cli.shard.preprocess import PreprocessOptions
    from omnimouse_cli.shard.responses import TENSOR_DTYPES

    require_choice("dtype", dtype, TENSOR_DTYPES)
    require_choice("response_kind", response_kind, get_args(ResponseKind))
    require_at_least(1, jobs=jobs)
    reporter = choose_reporter(progress)
    with explain_values():
        open_options = OpenOptions(
            series=series,
            stimulus=stimulus,
            trials=trials,
            running=running,
            pupil=pupil,
            rate_hz=rate,
            split=split,
            static=static,
            licence=licence,
            citation=citation,
            key=key,
        )
    paths, shards = as_paths(recordings), as_path(out)
    if not paths:
        paths = default_recordings()
        reporter.say(f"taking {paths[0]}/ (default)")
    found = find_and_open(paths, open_options, jobs, reporter)
    if shards is None:
        shards = default_shards()
        reporter.say(f"writing to {shards}/ (default)")
    options = PreprocessOptions(
        storage=Storage(dtype=dtype, response_kind=response_kind, allow_gaps=allow_gaps),
        open_options=open_options,
        force=force,
        jobs=number_of_jobs(jobs, len(found.opened)),
    )
    result = convert_found(found, shards, options, reporter)
    raise_failures(result.failed, len(found.opened) + len(found.failed))
    return result


def convert_found(
    found: FoundAndOpened, shards: Path, options: "PreprocessOptions", reporter: Reporter
) -> Preprocessed:
    """Convert recordings, and report the notes of each; one that fails does not stop the others.

    Args:
        found: The recordings.
        shards: Folder of the shards.
        options: How to convert.
        reporter: Shows progress and notes.
    """
    from omnimouse_cli.shard.catalogue import warn_of_mixed_kinds
    from omnimouse_cli.shard.preprocess import preprocess

    result = preprocess(found.opened, shards, options, reporter)
    present = {*result.written, *result.kept}
    converted = Preprocessed(
        shards=shards,
        sessions=tuple(one for one in result.catalogue.entries if one.session in present),
        written=result.written,
        kept=result.kept,
        skipped=found.skipped,
        failed=(*found.failed, *result.failed),
        recordings=tuple(found.opened),
        jobs=result.jobs,
    )
    _report_notes(converted, reporter)
    if options.open_options.key is not None:
        _warn_of_other_keys(converted, reporter)
    warn_of_mixed_kinds(result.catalogue.entries, reporter)
    return converted


def _warn_of_other_keys(converted: Preprocessed, reporter: Reporter) -> None:
    """Warn if the folder has a shard of the same recording under another key."""
    from omnimouse_cli.shard.catalogue import CatalogueEntry, open_shards

    new = {str(recording.path.resolve()): recording.session for recording in converted.recordings}
    for session, shard in open_shards(converted.shards).shards.items():
        if isinstance(shard, CatalogueEntry):
            continue
        key = new.get(shard.description.source.path, session)
        if key != session:
            reporter.warn(
                f"{shard.path} holds the recording of session {key} as session {session}: remove "
                "it, or the recording is trained on and scored twice"
            )


def _report_notes(converted: Preprocessed, reporter: Reporter) -> None:
    """Report what was taken of every recording, and the notes of those that were converted."""
    taken = {recording.session: recording for recording in converted.recordings}
    for entry in converted.sessions:
        recording = taken[entry.session]
        series = recording.provenance.series
        if series or recording.split != "file":
            of_series = f", responses {series}" if series else ""
            tiers = "of the files" if recording.split == "file" else f"by {recording.split}"
            reporter.say(f"{entry.session}: {recording.format}{of_series}, tiers {tiers}")
        if entry.session in converted.written:
            for note in entry.notes:
                reporter.say(f"{entry.session}: {note}")
