"""`omnimouse report`: one HTML page about runs, from the files that they wrote."""

from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.api.report import PAGE, run_report
from omnimouse_cli.cli.console import print_document, print_line, print_next, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.run.folder import is_run


def command_report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="RUN...",
            help="Run folders, or folders of them; by default the newest finished run.",
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help=f"The HTML file; by default RUN/{PAGE}, of several runs {PAGE} in the folder "
            "that holds all of them.",
        ),
    ] = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write one page about runs: data, learning curves, scores, neurons, traces, environment.

    It reads only what runs and their evaluations wrote, loads nothing from elsewhere, and can be
    sent to a colleague as one file. Example: omnimouse report runs/demo --out demo.html
    """
    with reporter(quiet=quiet) as progress:
        page = run_report(runs, out=out, progress=progress)
    if json_output:
        print_document("report", {"page": page})
    else:
        print_line(str(page))
    named = [run if is_run(run) else "RUN" for run in (runs or ())[:1]]
    print_next("probe", *named, quiet=quiet, json_output=json_output)
