"""`omnimouse preprocess`: convert raw recordings to memory-mapped token shards."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.api.folders import default_recordings, default_shards
from omnimouse_cli.api.preprocess import Preprocessed, convert_found
from omnimouse_cli.api.recordings import failure_records, find_and_open, raise_failures
from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption, parse_task
from omnimouse_cli.cli.raw import (
    CitationOption,
    KeyOption,
    LicenceOption,
    PupilOption,
    RateOption,
    RunningOption,
    SeriesOption,
    SplitChoice,
    SplitOption,
    StaticOption,
    StimulusOption,
    TrialsOption,
)
from omnimouse_cli.cli.slurm import (
    SlurmOption,
    SlurmRequest,
    parse_request,
    print_submission,
    require_slurm,
    submit,
    warn_of_failures,
)
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns, text_columns
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import format_count, format_minutes, format_percent

if TYPE_CHECKING:
    from omnimouse_cli.recording.recording import Recording
    from omnimouse_cli.shard.preprocess import PreprocessOptions


class _Dtype(StrEnum):
    float16 = "float16"
    bfloat16 = "bfloat16"
    float32 = "float32"


class _Kind(StrEnum):
    rate = "rate"
    dff = "dff"
    fluorescence = "fluorescence"
    unknown = "unknown"


def command_preprocess(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(help="Recordings, or folders of recordings; by default recordings/."),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of shards; by default shards/.")
    ] = None,
    dtype: Annotated[
        _Dtype, typer.Option(help="Number type that responses are stored in.")
    ] = _Dtype.float16,
    response_kind: Annotated[
        _Kind | None,
        typer.Option(
            help="Kind of the responses: spike rates or counts, dF/F, raw fluorescence, or "
            "unknown; by default what the file says (raw fluorescence is stored as dF/F), else "
            "dF/F if any value is negative, else rates."
        ),
    ] = None,
    allow_gaps: Annotated[
        bool,
        typer.Option(
            "--allow-gaps", help="Treat NaN responses outside trials of kind `invalid` as gaps."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Convert recordings again whose shards are up to date.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of recordings converted at once; by default one for each core.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", metavar="I/N", help="Convert the I-th of N shares of the recordings."
        ),
    ] = None,
    slurm: SlurmOption = None,
    series: SeriesOption = None,
    stimulus: StimulusOption = None,
    trials: TrialsOption = None,
    running: RunningOption = None,
    pupil: PupilOption = None,
    rate: RateOption = None,
    split: SplitOption = SplitChoice.auto,
    static: StaticOption = False,
    licence: LicenceOption = None,
    citation: CitationOption = None,
    key: KeyOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Convert recordings to shards; shards that are up to date are kept."""
    from omnimouse_cli.recording.options import OpenOptions
    from omnimouse_cli.shard.convert import Storage
    from omnimouse_cli.shard.jobs import number_of_jobs
    from omnimouse_cli.shard.preprocess import PreprocessOptions

    request = None
    if slurm is not None:
        require_slurm()
        request = parse_request(slurm, also=("tasks",))
        if request.gpus is not None:
            raise OmniMouseError("--slurm gpus: preprocess computes on the CPU", hint="use cpus=N")
    storage = Storage(
        dtype=dtype.value,
        response_kind=None if response_kind is None else response_kind.value,
        allow_gaps=allow_gaps,
    )
    open_options = OpenOptions(
        series=series,
        stimulus=stimulus,
        trials=trials,
        running=running,
        pupil=pupil,
        rate_hz=rate,
        split=split.value,
        static=static,
        licence=licence,
        citation=citation,
        key=key,
    )
    with reporter(quiet=quiet) as progress:
        if not recordings:
            recordings = default_recordings()
            progress.say(f"taking {recordings[0]}/ (default)")
        share = (1, 1) if task is None else parse_task(task)
        found = find_and_open(recordings, open_options, jobs, progress, task=share)
        folder = out if out is not None else default_shards()
        if out is None:
            progress.say(f"writing to {folder}/ (default)")
        options = PreprocessOptions(
            storage=storage,
            open_options=open_options,
            force=force,
            jobs=number_of_jobs(jobs, len(found.opened)),
        )
        num_recordings = len(found.opened) + len(found.failed)
        if request is not None:
            warn_of_failures(folder / "slurm", progress)
            _submit(found.opened, folder, options, request, jobs=jobs, json_output=json_output)
            raise_failures(found.failed, num_recordings)
            return
        result = convert_found(found, folder, options, progress)
    if json_output:
        print_document("preprocess", _content(result))
    elif result.sessions:
        print_table(_table(result))
    raise_failures(result.failed, num_recordings)
    print_next("train", folder, quiet=quiet, json_output=json_output)


def _submit(
    opened: Sequence["Recording"],
    folder: Path,
    options: "PreprocessOptions",
    request: SlurmRequest,
    *,
    jobs: int | None,
    json_output: bool,
) -> None:
    """Submit the recordings whose shards are missing or out of date, divided among jobs."""
    from omnimouse_cli.shard.preprocess import find_outdated

    paths = [recording.path for recording in find_outdated(opened, folder, options)]
    num_tasks = min(request.tasks or len(paths), len(paths))
    shares = [paths[first::num_tasks] for first in range(num_tasks)]
    at_once = jobs or request.options.get("cpus_per_task", 1)
    commands = [(*_command(share, folder, options), "--jobs", str(at_once)) for share in shares]
    submission = submit(commands, request, folder / "slurm")
    names = [", ".join(path.name for path in share) for share in shares]
    print_submission(submission, names, "share", json_output=json_output)


def _command(paths: Sequence[Path], folder: Path, options: "PreprocessOptions") -> tuple[str, ...]:
    """Return the command that converts some recordings, for another process."""
    stated, storage = options.open_options, options.storage
    values = {
        "--out": folder,
        "--dtype": storage.dtype,
        "--response-kind": storage.response_kind,
        "--series": stated.series,
        "--stimulus": stated.stimulus,
        "--trials": stated.trials,
        "--running": stated.running,
        "--pupil": stated.pupil,
        "--rate": stated.rate_hz,
        "--split": stated.split,
        "--licence": stated.licence,
        "--citation": stated.citation,
        "--key": stated.key,
    }
    flags = {
        "--allow-gaps": storage.allow_gaps,
        "--force": options.force,
        "--static": stated.static,
    }
    words = [sys.executable, "-m", "omnimouse_cli", "preprocess", *map(str, paths)]
    for name, value in values.items():
        words += [] if value is None else [name, str(value)]
    return (*words, *(name for name, is_set in flags.items() if is_set))


def _content(result: Preprocessed) -> dict[str, Any]:
    taken = {
        recording.session: {
            "format": recording.format,
            "series": recording.provenance.series or None,
            "split": recording.split,
            "state": "written" if recording.session in result.written else "kept",
        }
        for recording in result.recordings
    }
    return {
        "shards": result.shards,
        "jobs": result.jobs,
        "sessions": [{**asdict(entry), **taken[entry.session]} for entry in result.sessions],
        "failed": failure_records(result.failed),
        "skipped": [asdict(entry) for entry in result.skipped],
        "totals": {
            "sessions": len(result.sessions),
            "neurons": sum(entry.neurons for entry in result.sessions),
            "tokens": sum(entry.tokens for entry in result.sessions),
            "hours": sum(entry.hours for entry in result.sessions),
        },
    }


def _table(result: Preprocessed) -> ResultTable:
    title = f"{result.shards}: {len(result.written)} written, {len(result.kept)} up to date"
    if result.failed:
        title += f", {len(result.failed)} failed"
    table = ResultTable(
        title,
        *name_columns("session"),
        *number_columns("neurons", "minutes", "tokens"),
        *text_columns("responses", "tiers (minutes)"),
        *number_columns("valid"),
        *text_columns("dropped (minutes)"),
        omit=("valid", "tokens", "responses", "dropped (minutes)"),
    )
    for entry in result.sessions:
        table.add_row(
            entry.session,
            f"{entry.neurons:,}",
            f"{60 * entry.hours:.1f}",
            format_count(entry.tokens),
            f"{entry.response_kind}, {entry.dtype}",
            _minutes(entry.tiers),
            format_percent(entry.valid_fraction),
            _minutes(entry.dropped) or "nothing",
        )
    return table


def _minutes(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {format_minutes(minutes)}" for name, minutes in parts.items())
