"""`omnimouse export-weights`: write the weights of a run as a plain safetensors file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.cli.console import print_document, print_line, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.text import format_count, pluralize


class Names(StrEnum):
    """Naming scheme of the tensors in the file."""

    ours = "ours"
    published = "published"


def command_export_weights(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    *,
    out: Annotated[
        Path, typer.Option("--out", help="The .safetensors file; it must not exist yet.")
    ],
    names: Annotated[
        Names,
        typer.Option("--names", help="Names of tensors: ours, or those of the published model."),
    ] = Names.ours,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the weights of a run as one safetensors file for other programs."""
    import math

    from omnimouse_cli.published.convert import export_weights
    from omnimouse_cli.run.load import load_run

    with reporter(quiet=quiet) as progress:
        loaded = load_run(run)
        if names is Names.published and loaded.config.model.video.layout != "reference":
            progress.warn(
                "the video encoder of this run has the layout `aligned`: the published code orders "
                "patches differently and would compute other features"
            )
        shapes = export_weights(loaded, out, names.value)
    parameters = sum(math.prod(shape) for shape in shapes.values())
    if json_output:
        content = {"file": out, "names": names.value, "parameters": parameters, "tensors": shapes}
        print_document("export", content)
        return
    print_line(f"{out}: {pluralize(len(shapes), 'tensor')}, {format_count(parameters)} parameters")
