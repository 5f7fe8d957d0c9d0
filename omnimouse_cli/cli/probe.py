"""`omnimouse probe`: receptive fields and tuning of neurons, predicted by trained runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnimouse_cli.cli.console import print_document, print_line, print_next, print_table, reporter
from omnimouse_cli.cli.options import (
    AllowOtherDataOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    SeedOption,
    ShardsOption,
)
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import format_number, split_words

if TYPE_CHECKING:
    from omnimouse_cli.probing.session_probe import SessionProbe


def command_probe(
    run: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Run folders, several as an ensemble whose predictions are averaged; by default "
            "the newest finished run."
        ),
    ] = None,
    *,
    session: Annotated[
        str | None, typer.Option(help="Session key; by default all sessions of the run.")
    ] = None,
    animal: Annotated[str | None, typer.Option(help="All sessions of an animal.")] = None,
    shards: ShardsOption = None,
    allow_other_data: AllowOtherDataOption = False,
    state: Annotated[
        str | None,
        typer.Option(
            help="Behavior during the stimuli: median, mean or missing; by default median, and "
            "mean without shards."
        ),
    ] = None,
    neurons: Annotated[
        str | None,
        typer.Option(
            help="Columns of the recording from 0, not unit ids: 0,5,17 or 0-49; by default all "
            "neurons."
        ),
    ] = None,
    directions: Annotated[int, typer.Option(help="Directions of gratings, an even number.")] = 16,
    spatial: Annotated[
        str | None,
        typer.Option(help="Spatial frequencies in cycles per pixel, separated by commas."),
    ] = None,
    temporal: Annotated[
        str | None, typer.Option(help="Temporal frequencies in Hz, separated by commas.")
    ] = None,
    contrast: Annotated[float, typer.Option(help="Michelson contrast of gratings.")] = 0.8,
    full_screen: Annotated[
        bool,
        typer.Option(
            "--full-screen",
            help="Measure the tuning for direction with gratings that fill the screen, as for a "
            "model that was trained on such; by default in discs about receptive fields.",
        ),
    ] = False,
    noise_windows: Annotated[
        int, typer.Option(help="Windows of sparse noise for receptive fields.")
    ] = 640,
    gradient_windows: Annotated[
        int,
        typer.Option(help="Windows for gradients, which take most of the time; 0 for none."),
    ] = 8,
    min_score: Annotated[
        float,
        typer.Option(
            help="Least prediction score (of `eval`, strategy predict) of neurons that are given "
            "numbers."
        ),
    ] = 0.1,
    min_modulation: Annotated[
        float,
        typer.Option(
            help="Without an evaluation: least standard deviation of a neuron's response over "
            "gratings, in standard deviations of the recorded response."
        ),
    ] = 0.1,
    min_reliability: Annotated[
        float,
        typer.Option(
            help="Least correlation between halves (phases, windows or runs) of a property that is "
            "given a number."
        ),
    ] = 0.5,
    min_snr: Annotated[
        float, typer.Option(help="Least signal-to-noise ratio of a receptive field with numbers.")
    ] = 3.0,
    pictures: Annotated[
        int, typer.Option(min=0, help="Neurons of each session that the page shows.")
    ] = 24,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder; by default RUN/probe of the first run.")
    ] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Measure receptive fields and tuning on gratings and noise that were never shown.

    Per session probe.csv, probe.json and probe.npz, and one page with pictures. Definitions of all
    numbers are on the page.
    """
    from omnimouse_cli.api.probe import probe
    from omnimouse_cli.probing.table import probe_document

    with reporter(quiet=quiet) as progress:
        by_session = probe(
            run,
            session=session,
            animal=animal,
            shards=shards,
            allow_other_data=allow_other_data,
            state=state,
            neurons=None if neurons is None else _columns(neurons),
            directions=directions,
            spatial=_numbers(spatial, "--spatial"),
            temporal=_numbers(temporal, "--temporal"),
            contrast=contrast,
            full_screen=full_screen,
            noise_windows=noise_windows,
            gradient_windows=gradient_windows,
            min_score=min_score,
            min_modulation=min_modulation,
            min_reliability=min_reliability,
            min_snr=min_snr,
            pictures=pictures,
            out=out,
            seed=seed,
            device=device,
            progress=progress,
        )
    probes = list(by_session.values())
    if json_output:
        documents = [probe_document(found) for found in probes]
        print_document("probe", documents[0] if len(documents) == 1 else {"sessions": documents})
    else:
        _print(probes)
    print_next("mei", *(run or ()), quiet=quiet, json_output=json_output)


def _numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(word) for word in split_words(text))
    except ValueError as error:
        raise OmniMouseError(
            f"{option} must be numbers separated by commas: {text!r}",
            hint=f"for example {option} 0.04,0.08",
        ) from error


def _columns(text: str) -> list[int]:
    columns: list[int] = []
    for word in split_words(text):
        first, dash, last = word.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise OmniMouseError(
                f"--neurons must be whole numbers or ranges separated by commas: {text!r}",
                hint="for example --neurons 0-49,80",
            )
        columns += range(int(first), int(last if dash else first) + 1)
    return columns


def _print(probes: "Sequence[SessionProbe]") -> None:
    import numpy as np

    from omnimouse_cli.probing.behavior_state import describe_state
    from omnimouse_cli.probing.session_probe import PROPERTIES

    tuning = ("size (px)", "OSI", "DSI", "cycles/px", "Hz", "diameter (px)", "suppression",
              "half contrast")  # fmt: skip
    table = ResultTable(
        "medians of the neurons that are given numbers",
        *name_columns("session"),
        *number_columns("neurons", "reliable", *tuning),
        omit=("half contrast", "suppression", "diameter (px)", "Hz", "cycles/px"),
    )
    for found in probes:
        columns = (
            found.receptive_field.fit.size_px[:, 0],
            found.orientation.osi,
            found.orientation.dsi,
            found.spatial_frequency.preferred,
            found.temporal_frequency.preferred,
            found.size.preferred_px,
            found.size.suppression,
            found.contrast.half,
        )
        known = [values[np.isfinite(values)] for values in columns]
        table.add_row(
            found.session,
            str(len(found.neuron)),
            str(int(found.reliable.sum())),
            *(format_number(float(np.median(one)) if one.size else None) for one in known),
        )
    print_table(table)
    for found in probes:
        counts = ", ".join(
            f"{each.replace('_', ' ')} {int(found.known[each].sum())}" for each in PROPERTIES
        )
        print_line(f"{found.session}: neurons with numbers: {counts}")
        print_line(f"{found.session}: {describe_state(found.state)}")
        print_line(f"{found.session}: score: {found.score_source}")
