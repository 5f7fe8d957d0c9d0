"""`omnimouse inspect`: what shards, raw recordings or runs hold, and if checksums are right."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.api.folders import default_shards, named_run
from omnimouse_cli.cli.console import print_next, reporter
from omnimouse_cli.cli.inspect_raw import inspect_raw, is_raw
from omnimouse_cli.cli.inspect_runs import find_only_runs, inspect_runs
from omnimouse_cli.cli.inspect_shards import inspect_shards
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.cli.raw import (
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
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.run.folder import is_finished


def command_inspect(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="Folder of shards, by default shards/; raw recordings, to see what is in them and "
            "what preprocess would take; a run, or a folder of runs."
        ),
    ] = None,
    *,
    session: Annotated[
        str | None, typer.Option("--session", help="Show one session in detail.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", help="Image file to write: frames, raster and behavior of a session."
        ),
    ] = None,
    at: Annotated[
        float | None,
        typer.Option(
            "--at",
            metavar="SECONDS",
            help="Start of the 20 s that --plot shows, from the recording's origin; by default "
            "the first stretch with responses and stimulus.",
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every byte and compare checksums.")
    ] = False,
    series: SeriesOption = None,
    stimulus: StimulusOption = None,
    trials: TrialsOption = None,
    running: RunningOption = None,
    pupil: PupilOption = None,
    rate: RateOption = None,
    split: SplitOption = SplitChoice.auto,
    static: StaticOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what a folder of shards or of runs holds, or raw recordings before conversion."""
    from omnimouse_cli.recording.options import OpenOptions

    options = OpenOptions(
        series=series,
        stimulus=stimulus,
        trials=trials,
        running=running,
        pupil=pupil,
        rate_hz=rate,
        split=split.value,
        static=static,
    )
    if at is not None and plot is None:
        raise OmniMouseError("--at is the time of a figure", hint="name its file with --plot")
    with reporter(quiet=quiet) as progress:
        path = path and named_run(path, progress)
        runs = [] if path is None else find_only_runs(path)
        if path is not None and runs:
            if session is not None or plot is not None or options != OpenOptions():
                raise OmniMouseError(
                    f"{path} holds runs: only --verify, --json and --quiet apply to them",
                    hint="name the folder of shards, or the raw recordings",
                )
            inspect_runs(path, runs, verify=verify, json_output=json_output, progress=progress)
            following: tuple[str | Path, ...] = _after_runs(runs)
        elif path is not None and is_raw(path):
            if plot is not None or verify:
                raise OmniMouseError(
                    f"{path} holds raw recordings: --plot and --verify are for shards",
                    hint="convert them first: omnimouse preprocess",
                )
            inspect_raw(path, options, session=session, json_output=json_output, progress=progress)
            following = ("preprocess", path)
        else:
            # A path that does not exist is most likely misspelled.
            if options != OpenOptions() and (path or default_shards()).exists():
                raise OmniMouseError(
                    f"{path or default_shards()} is a folder of shards: options of raw files, as "
                    "--series, do not apply",
                    hint="name raw recordings, or convert them again with these options",
                )
            inspect_shards(
                path,
                session=session,
                plot=plot,
                at=at,
                verify=verify,
                json_output=json_output,
                progress=progress,
            )
            following = ("train", path or default_shards())
    print_next(*following, quiet=quiet, json_output=json_output)


def _after_runs(runs: Sequence[Path]) -> tuple[str | Path, ...]:
    """Return the words of the command that usually follows: evaluate a run, or finish it."""
    finished = [run for run in runs if is_finished(run)]
    return ("eval", finished[-1]) if finished else ("train", "--resume", runs[-1])
