"""`omnimouse dendrites`: the surfaces of a run; its sub-command compares activations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from omnimouse_cli.cli.console import print_document, print_line, print_table, reporter
from omnimouse_cli.cli.dendrites_compare import require_libraries
from omnimouse_cli.cli.folders import folder
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.errors import OmniMouseError

if TYPE_CHECKING:
    from omnimouse_cli.dendrites.soft_xor import Analysed

DEFAULT_COMMAND = "surfaces"
FIGURE, DOCUMENT = "surfaces.png", "surfaces.json"


class RunOrCommand(TyperGroup):
    """A group whose first word may also be what its default command takes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's own
        """Put the default command before everything that is none."""
        asks_for_help = args[:1] == ["--help"]
        if not asks_for_help and (not args or args[0] not in self.commands):
            args = [DEFAULT_COMMAND, *args]
        return super().parse_args(ctx, args)


def command_surfaces(
    run: Annotated[
        Path | None, typer.Argument(help="A comparison or a run; by default the newest one.")
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of figure and JSON; by default RUN.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what units have learned: each surface, how like a soft XOR it is, and how often."""
    require_libraries("dendrites")
    from omnimouse_cli.dendrites.soft_xor import analyse_run, draw
    from omnimouse_cli.files import write_document, written_atomically

    with reporter(quiet=quiet) as talk:
        if run is None:
            run = newest_comparison()
            talk.say(f"taking {run} (the newest comparison)")
        analysed = analyse_run(run, talk)
        place = out or run
        with written_atomically(place / FIGURE) as stream:
            draw(analysed, title=f"{run.resolve().name}: learned functions", stream=stream)
        write_document(place / DOCUMENT, "dendrites", _content(analysed, run))
        talk.say(f"wrote {place / FIGURE} and {place / DOCUMENT}")
    if as_json:
        print_document("dendrites", _content(analysed, run))
    else:
        _print(analysed)


def newest_comparison() -> Path:
    """Give the comparison of the runs folder that was begun last.

    Raises:
        OmniMouseError: There is none.
    """
    found = sorted(folder("runs").glob("*/comparison.json"), key=lambda one: one.stat().st_mtime)
    if not found:
        raise OmniMouseError(
            f"no run was named and no comparison is in {folder('runs')}/",
            hint="make one with: omnimouse dendrites compare --data digits",
        )
    return found[-1].parent


def _content(analysed: "list[Analysed]", run: Path) -> dict[str, Any]:
    import dataclasses

    from omnimouse_cli.dendrites.soft_xor import counted, networks_of

    return {
        "run": run.resolve().name,
        "activations": [one.to_dict() for one in analysed],
        **dataclasses.asdict(counted(analysed)),
        "networks": [
            {"network": name, **dataclasses.asdict(counted(analysed, name))}
            for name in networks_of(analysed)
        ],
    }


def _print(analysed: "list[Analysed]") -> None:
    from omnimouse_cli.dendrites.soft_xor import counted, networks_of

    table = Table(title="Learned functions where 90 % of their arguments lie")
    for name in ("network", "layer", "seed", "curvature"):
        table.add_column(name)
    names = ("R2 product", "R2 silu(a) b", "R2 quadratic", "power l = 1", "power l = 2")
    for name in names:
        table.add_column(name, justify="right")
    for one in analysed:
        surface, function = one.surface, one.function
        numbers = [*surface.r2.values(), *surface.angular_power.values()]
        heading = (function.network, function.layer, str(function.seed), surface.curvature)
        table.add_row(*heading, *(f"{number:.3f}" for number in numbers))
    print_table(table)
    for name in networks_of(analysed):
        count = counted(analysed, name)
        print_line(
            f"{name}: {count.hyperbolic} of {count.total} functions are soft XORs (hyperbolic), "
            f"95 % interval {100 * count.low:.0f} to {100 * count.high:.0f} %"
        )
