"""`omnimouse dendrites`: surfaces of the learned functions of runs, and how many are soft XORs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from omnimouse_cli.api.folders import folder
from omnimouse_cli.api.libraries import require_libraries
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
from omnimouse_cli.errors import OmniMouseError

if TYPE_CHECKING:
    from omnimouse_cli.dendrites.soft_xor import AnalyzedFunction, SoftXorCount
    from omnimouse_cli.dendrites.surface import FunctionKey, Surface

DEFAULT_COMMAND = "surfaces"
FIGURE, DOCUMENT = "surfaces.png", "surfaces.json"


class RunOrCommand(TyperGroup):
    """A group whose first argument may be an argument of its default command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - Typer's own
        """Insert the default command where the first argument names no command."""
        if args[:1] not in (["-h"], ["--help"]) and (not args or args[0] not in self.commands):
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
        str, typer.Option(help="Tier whose windows give a training run's arguments.")
    ] = "test",
    shards: ShardsOption = None,
    allow_other_data: AllowOtherDataOption = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show the functions that units have learned, and test whether they have become soft XORs."""
    require_libraries("dendrites", "scipy", "matplotlib", "sklearn")
    from omnimouse_cli.dendrites.learned_surfaces import analyze_run, draw
    from omnimouse_cli.dendrites.transformer import ArgumentSampling
    from omnimouse_cli.files import require_folder, write_atomically, write_document
    from omnimouse_cli.training.parallel.world import select_device

    sampling = ArgumentSampling(
        tier=tier,
        shards=shards,
        allow_other_data=allow_other_data,
        seed=seed,
        device=select_device(device).type,
    )
    with reporter(quiet=quiet) as talk:
        runs = list(dict.fromkeys(run or []))
        if not runs:
            runs = [find_newest_comparison()]
            talk.say(f"taking {runs[0]} (the newest comparison)")
        target = out or runs[0]
        if out is not None:
            require_folder(out)
        analyzed = [one for path in runs for one in analyze_run(path, talk, sampling)]
        names = [path.resolve().name for path in runs]
        content = _build_content(analyzed, names)
        with write_atomically(target / FIGURE) as stream:
            draw(analyzed, title=f"{', '.join(names)}: learned functions", stream=stream)
        write_document(target / DOCUMENT, "dendrites", content)
        talk.say(f"wrote {target / FIGURE} and {target / DOCUMENT}")
    if json_output:
        print_document("dendrites", content)
    else:
        _print(analyzed)


def find_newest_comparison() -> Path:
    """Return the comparison in the runs folder that was begun last.

    Raises:
        OmniMouseError: There is none.
    """
    files = sorted(folder("runs").glob("*/comparison.json"), key=lambda one: one.stat().st_mtime)
    if not files:
        raise OmniMouseError(
            f"no run was named and no comparison is in {folder('runs')}/",
            hint="make one with: omnimouse dendrites compare --data digits",
        )
    return files[-1].parent


def _build_content(analyzed: "list[AnalyzedFunction]", runs: list[str]) -> dict[str, Any]:
    import dataclasses

    from omnimouse_cli.dendrites.soft_xor import (
        RULE,
        count_by_layer,
        count_soft_xors,
        list_networks,
    )

    return {
        "run": runs[0] if len(runs) == 1 else None,
        "runs": runs,
        "activations": [one.to_dict() for one in analyzed],
        **dataclasses.asdict(count_soft_xors(analyzed)),
        "networks": [
            {"network": name, **dataclasses.asdict(count_soft_xors(analyzed, name))}
            for name in list_networks(analyzed)
        ],
        "layers": [
            {
                "network": network,
                "layer": layer,
                "cell_type": cell_type,
                **dataclasses.asdict(count),
            }
            for (network, layer, cell_type), count in count_by_layer(analyzed).items()
        ],
        "rule": RULE,
    }


def _print(analyzed: "list[AnalyzedFunction]") -> None:
    from omnimouse_cli.dendrites.soft_xor import count_by_layer, count_soft_xors, list_networks

    has_types = any(one.function.cell_type for one in analyzed)
    table = ResultTable(
        "learned functions where 90 % of their arguments lie, before > after training",
        *name_columns("network", "layer", *(["type"] if has_types else []), "seed", "soft XOR"),
        *number_columns("power l = 2", "R2 product", "power l = 1", "R2 silu(a) b", "R2 quadratic"),
        *name_columns("curvature"),
        omit=("R2 quadratic", "power l = 1", "curvature", "R2 silu(a) b"),
    )
    for one in analyzed:
        function = one.function
        cell_type = [str(function.cell_type)] if has_types else []
        heading = (function.network, function.layer, *cell_type, str(function.seed))
        pairs = zip(_describe(one.start), _describe(one.surface), strict=True)
        table.add_row(*heading, *(f"{before} > {after}" for before, after in pairs))
    print_table(table)
    layers = count_by_layer(analyzed)
    if any(count.changes for count in layers.values()):
        print_table(_build_layer_table(layers, has_types=has_types))
    for network in list_networks(analyzed):
        count = count_soft_xors(analyzed, network)
        claim = f"most networks learn a soft XOR: {count.verdict}: " if count.verdict else ""
        print_line(f"{network}: {claim}{count.sentence}")


def _describe(surface: "Surface | None") -> list[str]:
    """Return the cells of one surface; "-" for one that is not known."""
    if surface is None:
        return ["-"] * 7
    numbers = (
        surface.angular_power[2],
        surface.r2["turned_product"],
        surface.angular_power[1],
        surface.r2["silu_product"],
        surface.r2["quadratic"],
    )
    word = "yes" if surface.is_soft_xor else "no"
    return [word, *(f"{number:.2f}" for number in numbers), surface.curvature]


def _build_layer_table(
    layers: "dict[FunctionKey, SoftXorCount]", *, has_types: bool
) -> ResultTable:
    headings = ("network", "layer", *(["type"] if has_types else []))
    table = ResultTable(
        "soft XORs over seeds, and changes with training [95 % interval]",
        *name_columns(*headings, "soft XORs"),
        *number_columns("power l = 2", "R2 product"),
        *name_columns("learned"),
    )
    for (network, layer, cell_type), count in layers.items():
        changes = [
            f"{one.change.value:+.2f} [{one.change.low:+.2f}, {one.change.high:+.2f}]"
            for one in count.changes.values()
        ]
        table.add_row(
            network,
            layer,
            *([str(cell_type)] if has_types else []),
            f"{count.soft_xors_at_start} > {count.soft_xors} of {count.total}",
            *(changes or ("-", "-")),
            count.verdict or "no test",
        )
    return table
