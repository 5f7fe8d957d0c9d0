"""`omnimouse import-weights`: convert a published checkpoint to a run folder."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.cli.tables import ResultTable, pair_table
from omnimouse_cli.errors import explain_interruption
from omnimouse_cli.text import format_count, pluralize

if TYPE_CHECKING:
    from omnimouse_cli.published.checkpoint import PublishedCheckpoint
    from omnimouse_cli.reporter import Reporter


def command_import_weights(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CKPT_DIR", help="Folder with rank_0.ckpt, rank_1.ckpt, ...")
    ],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; by default a new one in runs/.")
    ] = None,
    shards: Annotated[
        Path | None,
        typer.Option(
            "--shards",
            help="Folder of shards with sessions of the checkpoint: their numbers of neurons are "
            "checked, and `eval` uses them by default.",
        ),
    ] = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Import the weights of a published checkpoint; nothing in its files is executed."""
    from omnimouse_cli.api.new_run import new_run
    from omnimouse_cli.published.checkpoint import read_checkpoint
    from omnimouse_cli.published.convert import import_weights

    with reporter(quiet=quiet) as progress, explain_interruption():
        published = read_checkpoint(checkpoint, progress)
        _report_differences(published, shards, progress)
        run = new_run(out, published.model.size)
        summary = import_weights(
            published, run, shards=shards, command_line=tuple(sys.argv), reporter=progress
        )
    sessions = [
        {"session": item.session, "animal": item.animal, "neurons": item.neurons}
        for item in published.sessions
    ]
    if json_output:
        content = {"folder": run, "step": published.step, "epoch": published.epoch}
        parameters = summary["parameters"]
        model = {"model": published.model.size, "parameters": parameters, "sessions": sessions}
        print_document("import", {**content, **model})
        return
    print_table(_table(run, published, summary["parameters"]))
    print_next("eval", run, quiet=quiet)


def _report_differences(
    published: "PublishedCheckpoint", shards: Path | None, progress: "Reporter"
) -> None:
    """Warn where the model is of no published size or sessions are missing from the shards."""
    from omnimouse_cli.published.model_config import find_differences
    from omnimouse_cli.run.load import open_sessions

    different = find_differences(published.model)
    if different:
        progress.warn(
            f"the weights are of no published size; the nearest is {published.model.size}, with "
            f"{', '.join(different)}"
        )
    if shards is None:
        return
    found = len(open_sessions(shards, published.sessions, published.folder).sessions)
    if found < len(published.sessions):
        progress.warn(f"{found} of {len(published.sessions)} sessions are in {shards}")


def _table(run: Path, published: "PublishedCheckpoint", parameters: dict[str, int]) -> ResultTable:
    neurons = sum(session.neurons for session in published.sessions)
    core, tables = format_count(parameters["core"]), format_count(parameters["tables"])
    animals = pluralize(len(published.animals), "animal")
    pairs = {
        "model": published.model.size,
        "parameters": f"{core} core, {tables} session embeddings",
        "sessions": f"{len(published.sessions)} of {animals}",
        "neurons": f"{neurons:,}",
        "step": "unknown" if published.step is None else f"{published.step:,}",
    }
    return pair_table(str(run), pairs.items())
