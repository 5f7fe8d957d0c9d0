"""`omnimouse dendrites`: the surfaces of a run; its sub-command compares activations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from omnimouse_cli.cli.console import print_document, print_line, print_table, reporter
from omnimouse_cli.cli.dendrites_compare import require_libraries
from omnimouse_cli.cli.folders import folder
from omnimouse_cli.cli.options import (
    DeviceOption,
    JsonOption,
    QuietOption,
    SeedOption,
    ShardsOption,
)
from omnimouse_cli.errors import OmniMouseError

if TYPE_CHECKING:
    from omnimouse_cli.dendrites.soft_xor import Analysed, Count, Place

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
        list[Path] | None,
        typer.Argument(
            help="Comparisons and training runs, as seeds of each other; by default the newest "
            "comparison."
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder of figure and JSON; by default the first RUN."),
    ] = None,
    tier: Annotated[
        str, typer.Option(help="Over whose windows a training run's arguments are measured.")
    ] = "test",
    shards: ShardsOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what units have learned: each surface, how like a soft XOR it is, and how often."""
    require_libraries("dendrites")
    from omnimouse_cli.dendrites.learned import Measuring
    from omnimouse_cli.dendrites.soft_xor import analyse_run, draw
    from omnimouse_cli.files import write_atomically, write_document
    from omnimouse_cli.train.parallel.world import select_device

    measuring = Measuring(tier=tier, shards=shards, seed=seed, device=select_device(device).type)
    with reporter(quiet=quiet) as talk:
        runs = list(dict.fromkeys(run or []))
        if not runs:
            runs = [newest_comparison()]
            talk.say(f"taking {runs[0]} (the newest comparison)")
        analysed = [one for place in runs for one in analyse_run(place, talk, measuring)]
        names = [place.resolve().name for place in runs]
        content = _content(analysed, names)
        place = out or runs[0]
        with write_atomically(place / FIGURE) as stream:
            draw(analysed, title=f"{', '.join(names)}: learned functions", stream=stream)
        write_document(place / DOCUMENT, "dendrites", content)
        talk.say(f"wrote {place / FIGURE} and {place / DOCUMENT}")
    if as_json:
        print_document("dendrites", content)
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


def _content(analysed: "list[Analysed]", runs: list[str]) -> dict[str, Any]:
    import dataclasses

    from omnimouse_cli.dendrites.soft_xor import counted, counted_by_layer, networks_of

    return {
        "run": runs[0] if len(runs) == 1 else None,
        "runs": runs,
        "activations": [one.to_dict() for one in analysed],
        **dataclasses.asdict(counted(analysed)),
        "networks": [
            {"network": name, **dataclasses.asdict(counted(analysed, name))}
            for name in networks_of(analysed)
        ],
        "layers": [
            {
                "network": network,
                "layer": layer,
                "cell_type": cell_type,
                **dataclasses.asdict(count),
            }
            for (network, layer, cell_type), count in counted_by_layer(analysed).items()
        ],
    }


def _print(analysed: "list[Analysed]") -> None:
    from omnimouse_cli.dendrites.soft_xor import counted, counted_by_layer, networks_of

    table = Table(title="Learned functions where 90 % of their arguments lie")
    has_types = any(one.function.cell_type for one in analysed)
    for name in ("network", "layer", *(["type"] if has_types else []), "seed", "curvature"):
        table.add_column(name)
    names = ("R2 product", "R2 silu(a) b", "R2 quadratic", "power l = 1", "power l = 2")
    for name in names:
        table.add_column(name, justify="right")
    for one in analysed:
        surface, function = one.surface, one.function
        numbers = [*surface.r2.values(), *surface.angular_power.values()]
        cell_type = [str(function.cell_type)] if has_types else []
        heading = (function.network, function.layer, *cell_type, str(function.seed))
        table.add_row(*heading, surface.curvature, *(f"{number:.3f}" for number in numbers))
    print_table(table)
    layers = counted_by_layer(analysed)
    if any(count.total > 1 for count in layers.values()):
        print_table(_layers(layers, has_types=has_types))
    for name in networks_of(analysed):
        count = counted(analysed, name)
        print_line(f"{name}: {_share(count, 'functions are soft XORs (hyperbolic)')}")


def _layers(layers: "dict[Place, Count]", *, has_types: bool) -> Table:
    table = Table(title="Soft XORs over seeds")
    for name in ("network", "layer", *(["type"] if has_types else []), "hyperbolic"):
        table.add_column(name)
    for (network, layer, cell_type), count in layers.items():
        places = (network, layer, *([str(cell_type)] if has_types else []))
        table.add_row(*places, _share(count, "seeds"))
    return table


def _share(count: "Count", what: str) -> str:
    return (
        f"{count.hyperbolic} of {count.total} {what}, 95 % interval "
        f"{100 * count.low:.0f} to {100 * count.high:.0f} %"
    )
