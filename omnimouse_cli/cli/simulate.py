"""`omnimouse simulate`: write raw recordings of simulated mice with a known noise ceiling."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.api.simulate import simulate
from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption, SeedOption
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns

if TYPE_CHECKING:
    from omnimouse_cli.recording.simulated.simulation import SimulatedSession


def command_simulate(
    out: Annotated[Path, typer.Argument(help="Folder that receives one folder per session.")],
    sessions: Annotated[int, typer.Option(help="Recordings.")] = 2,
    animals: Annotated[int, typer.Option(help="Mice; the sessions are dealt to them.")] = 1,
    neurons: Annotated[int, typer.Option(help="Neurons of each recording.")] = 128,
    *,
    minutes: Annotated[float, typer.Option(help="Length of each recording.")] = 6.0,
    seed: SeedOption = 0,
    multiplicative: Annotated[
        float | None,
        typer.Option(
            help="Share of neurons driven by the product of two behavioral signals, the others "
            "by the sum of two. By default all are driven by motion energies of the stimulus."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace simulated recordings that are there.")
    ] = False,
    quiet: QuietOption = False,
    json_output: JsonOption = False,
) -> None:
    """Simulate a small mouse with a known answer, as raw recordings."""
    with reporter(quiet=quiet) as progress:
        simulated = simulate(
            out,
            sessions=sessions,
            animals=animals,
            neurons=neurons,
            minutes=minutes,
            seed=seed,
            multiplicative=multiplicative,
            force=force,
            progress=progress,
        )
    if json_output:
        print_document("simulation", {"sessions": [_record(session) for session in simulated]})
    else:
        print_table(_table(simulated))
    print_next("preprocess", out, quiet=quiet, json_output=json_output)


def _record(simulated: "SimulatedSession") -> dict[str, Any]:
    ceilings = simulated.ceilings
    return {
        "session": simulated.session,
        "animal": simulated.animal,
        "neurons": simulated.neurons,
        "minutes": simulated.minutes,
        "path": simulated.path,
        "tier": "test",
        "windows": ceilings.windows,
        "ceilings": {
            "predict": ceilings.predict,
            "population": ceilings.population,
            "forecast": ceilings.forecast,
            **ceilings.decode,
        },
    }


def _table(simulated: "Sequence[SimulatedSession]") -> ResultTable:
    records = [_record(session) for session in simulated]
    ceilings = list(records[0]["ceilings"])
    table = ResultTable(
        "simulated recordings; noise ceiling of the single-trial correlation on the test tier",
        *name_columns("session"),
        *number_columns("neurons", "minutes", *ceilings),
        omit=("minutes", "neurons"),
    )
    for record in records:
        scores = [f"{record['ceilings'][name]:.3f}" for name in ceilings]
        table.add_row(record["session"], str(record["neurons"]), f"{record['minutes']:g}", *scores)
    return table
