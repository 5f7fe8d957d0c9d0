"""`omnimouse export-embeddings`: write the learned vectors of neurons as one table."""

from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.api.folders import newest_finished_run
from omnimouse_cli.cli.console import print_document, print_line, reporter
from omnimouse_cli.cli.options import (
    AllowOtherDataOption,
    JsonOption,
    QuietOption,
    ShardsOption,
)
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import pluralize


def command_export_embeddings(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="Run folder; by default the newest finished one."),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="The table, as .csv, .npz or .safetensors; by default embeddings.csv in the run.",
        ),
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", help="Only this session; by default all of the run.")
    ] = None,
    shards: ShardsOption = None,
    allow_other_data: AllowOtherDataOption = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write the embedding of every neuron of a run, with ids, positions and areas, as one table."""
    from omnimouse_cli.api.embeddings import write_embeddings
    from omnimouse_cli.api.load import as_run

    with reporter(quiet=quiet) as progress:
        folder = run
        if folder is None:
            folder = newest_finished_run()
            progress.say(f"taking {folder} (the newest finished run)")
        path = out if out is not None else folder / "embeddings.csv"
        if path.exists() and not force:
            raise OmniMouseError(
                f"{path} exists", hint="name another file with --out, or overwrite it with --force"
            )
        loaded = as_run(
            folder,
            shards=shards,
            device="cpu",
            reporter=progress,
            allow_other_data=allow_other_data,
        )
        keys = loaded.sessions if session is None else (session,)
        embeddings = [loaded.embeddings(key) for key in keys]
        for one in embeddings:
            if one.neurons.unit_id is None and one.neurons.position_um is None:
                progress.say(f"{one.session}: neither ids nor positions of neurons are known")
        columns = write_embeddings(path, embeddings)
    num_neurons = sum(map(len, embeddings))
    if json_output:
        content = {"file": path, "sessions": keys, "neurons": num_neurons, "columns": columns}
        print_document("embeddings", content)
        return
    width = embeddings[0].vectors.shape[1]
    print_line(
        f"{path}: {pluralize(num_neurons, 'neuron')} of {pluralize(len(keys), 'session')}, vectors "
        f"of {width} numbers"
    )
