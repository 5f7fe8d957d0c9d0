"""`omnimouse mei`: most and least exciting stimuli of neurons, validated by other runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnimouse_cli.cli.console import print_document, print_line, print_table, reporter
from omnimouse_cli.cli.options import (
    AllowOtherDataOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    SeedOption,
    ShardsOption,
)
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns

if TYPE_CHECKING:
    from omnimouse_cli.probing.mei import ExcitingStimuli


def command_mei(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, as an ensemble; of several, the last one only validates, unless "
            "--validate names others. By default the newest finished run."
        ),
    ] = None,
    *,
    session: Annotated[
        str | None, typer.Option(help="Session key; by default the first of the run.")
    ] = None,
    neurons: Annotated[
        str,
        typer.Option(
            help="Columns of the recording from 0, not unit ids, separated by commas; or best:N: "
            "those that the first run predicts best on its validation tier."
        ),
    ] = "best:10",
    kind: Annotated[
        str,
        typer.Option(help="image, shown still for a second, or video; grey comes before either."),
    ] = "image",
    least: Annotated[
        bool, typer.Option("--least", help="Also make least exciting stimuli.")
    ] = False,
    starts: Annotated[
        int,
        typer.Option(
            min=1,
            help="Starts of each neuron: best natural stimulus, for images best grating, noise.",
        ),
    ] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the gradient ascent.")] = 40,
    prior: Annotated[
        str,
        typer.Option(help="Filter of gradients: smooth (a blur), natural (1/f) or none."),
    ] = "smooth",
    mean: Annotated[
        float | None,
        typer.Option(help="Mean grey level of every frame; by default of natural stimuli."),
    ] = None,
    contrast: Annotated[
        float, typer.Option(help="RMS contrast of the screen in every frame, in grey levels.")
    ] = 12.0,
    state: Annotated[
        str | None,
        typer.Option(help="State of behavior: median (the default with shards), mean or missing."),
    ] = None,
    validate: Annotated[
        list[Path] | None,
        typer.Option(help="Run of another seed that validates the stimuli; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the results; by default RUN/mei/SESSION-KIND.")
    ] = None,
    shards: ShardsOption = None,
    allow_other_data: AllowOtherDataOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Make the stimuli that excite neurons most, validated by runs that did not make them."""
    from omnimouse_cli.api.mei import most_exciting
    from omnimouse_cli.probing.mei_output import describe

    with reporter(quiet=quiet) as progress:
        result = most_exciting(
            run,
            session=session,
            neurons=neurons,
            kind=kind,  # type: ignore[arg-type] # checked by MeiOptions
            least=least,
            starts=starts,
            steps=steps,
            prior=prior,  # type: ignore[arg-type] # checked by MeiOptions
            mean=mean,
            contrast=contrast,
            state=state,  # type: ignore[arg-type] # checked by SessionModel
            validate=validate,
            out=out,
            shards=shards,
            allow_other_data=allow_other_data,
            seed=seed,
            device=device,
            progress=progress,
        )
    if json_output:
        print_document("mei", describe(result))
        return
    _print(result)


def _print(result: "ExcitingStimuli") -> None:
    from omnimouse_cli.probing.mei_output import GROUPS, NAMES, list_rows
    from omnimouse_cli.text import format_number

    rows = list_rows(result)
    headings = {}
    for column in rows[0]:
        group, _, stimulus = column.partition("_")
        if column not in ("neuron", "unit_id"):
            headings[column] = f"{NAMES[stimulus]}, {group}"
    table = ResultTable(
        f"most exciting {result.options.kind}s of {result.session}: mean response over a "
        f"second ({result.unit})",
        *name_columns("neuron"),
        *number_columns(*headings.values()),
    )
    for row in rows:
        table.add_row(str(row["neuron"]), *(format_number(row[column]) for column in headings))
    print_table(table)
    print_line(GROUPS)
    print_line(
        f"RMS contrast of the screen: {result.contrast:.0f} grey levels; of gratings and of "
        f"natural stimuli, as they were shown: {result.video_contrast:.0f}"
    )
    for note in result.notes:
        print_line(note)
