"""`omnimouse export-weights`: the weights of a run as a plain safetensors file."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.cli.console import print_document, print_line, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.text import format_count, pluralize


class Names(StrEnum):
    """What tensors are called in the file."""

    ours = "ours"
    published = "published"


def command_export_weights(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    *,
    out: Annotated[Path, typer.Option("--out", help="The .safetensors file; it may not exist.")],
    names: Annotated[
        Names, typer.Option("--names", help="Names of tensors: ours, or the published model's.")
    ] = Names.ours,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the weights of a run as one safetensors file, for everything else."""
    import math

    from omnimouse_cli.published.export_weights import export_weights
    from omnimouse_cli.run.load import load_run

    with reporter(quiet=quiet) as progress:
        loaded = load_run(run)
        if names is Names.published and loaded.config.model.video.layout != "reference":
            progress.warn(
                "the video encoder of this run is `aligned`: the published code orders its "
                "patches otherwise and would not compute the same"
            )
        shapes = export_weights(loaded, out, names.value)
    parameters = sum(math.prod(shape) for shape in shapes.values())
    if json_output:
        content = {"file": out, "names": names.value, "parameters": parameters, "tensors": shapes}
        print_document("export", content)
        return
    print_line(f"{out}: {pluralize(len(shapes), 'tensor')}, {format_count(parameters)} parameters")
