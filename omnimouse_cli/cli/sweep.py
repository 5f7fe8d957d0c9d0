"""`omnimouse sweep`: train the grid of runs that a scaling law needs, one by one; resumable."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from omnimouse_cli.cli.console import print_document, print_table, reporter
from omnimouse_cli.cli.folders import default_shards, folder
from omnimouse_cli.cli.options import JsonOption, QuietOption, split_words
from omnimouse_cli.cli.train import (
    ConfigOption,
    EpochsOption,
    GpusOption,
    MinutesOption,
    NoCompileOption,
    ProcsOption,
    SetOption,
    StepsOption,
    TrainDeviceOption,
)
from omnimouse_cli.cli.train_job import length_overrides
from omnimouse_cli.cli.train_ranks import Ranks, require_devices, resolve_ranks, run_job
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.folder import is_run, read_config, read_summary

if TYPE_CHECKING:
    from omnimouse_cli.config.run import RunConfig
    from omnimouse_cli.train.run import TrainingJob
    from omnimouse_cli.train.sweep import Cell


def command_sweep(
    shards: Annotated[
        Path | None, typer.Argument(help="Folder of shards; by default shards/.")
    ] = None,
    *,
    models: Annotated[
        str, typer.Option("--models", help="Model sizes, separated by commas.")
    ] = "nano,tiny",
    sessions: Annotated[
        str | None,
        typer.Option(
            "--sessions",
            help="Numbers of sessions, separated by commas; by default 1, 2, 4, ... and all.",
        ),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, separated by commas.")] = "42",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the runs; by default runs/sweep.")
    ] = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    gpus: GpusOption = None,
    procs: ProcsOption = None,
    device: TrainDeviceOption = "auto",
    no_compile: NoCompileOption = False,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train every size on every subset with every seed; finished runs are kept, others resumed."""
    from omnimouse_cli.train.sweep import grid, unfinished

    ranks = resolve_ranks(gpus=gpus, procs=procs, device=device)
    if ranks.is_launched:
        raise OmniMouseError(
            "a sweep starts its own ranks and cannot run under torchrun or srun",
            hint="use --gpus N or --procs N",
        )
    require_devices(ranks)
    all_overrides = [*(overrides or ()), *length_overrides(steps, epochs, minutes)]
    if no_compile:
        all_overrides.append("train.compile=false")
    with reporter(quiet=quiet) as progress:
        if shards is None:
            shards = default_shards()
            progress.say(f"taking {shards}/ (default)")
        root = out if out is not None else folder("runs") / "sweep"
        counts = _numbers("--sessions", sessions) if sessions else _powers_of_two(shards)
        cells = grid(split_words(models), counts, _numbers("--seeds", seeds))
        jobs = _resolve_jobs(cells, shards, root, config, all_overrides, progress=progress)
        remaining = unfinished(cells, root)
        progress.say(f"{len(cells)} runs in {root}, {len(cells) - len(remaining)} already finished")
        failures = _train_all(
            [(cell, jobs[cell]) for cell in remaining], ranks, progress, quiet=quiet
        )
    _print(cells, root, failures, json_output=json_output)
    if failures:
        cell, error = next(iter(failures.items()))
        raise OmniMouseError(
            f"{len(failures)} of {len(cells)} runs failed; {cell.name}: {error.message}",
            hint=error.hint,
        )


def _numbers(option: str, text: str) -> list[int]:
    words = split_words(text)
    if not words or not all(word.isdigit() for word in words):
        raise OmniMouseError(
            f"{option} must be whole numbers separated by commas: {text!r}",
            hint=f"for example {option} 1,2,4",
        )
    return [int(word) for word in words]


def _powers_of_two(shards: Path) -> list[int]:
    """Return 1, 2, 4, ... and the number of all sessions."""
    from omnimouse_cli.batch.dataset import open_dataset

    count = len(open_dataset(shards).sessions)
    return sorted({min(2**power, count) for power in range(count.bit_length() + 1)})


def _resolve_jobs(
    cells: Sequence["Cell"],
    shards: Path,
    root: Path,
    config: Path | None,
    overrides: list[str],
    *,
    progress: Reporter,
) -> dict["Cell", "TrainingJob"]:
    """Resolve every job before the first run is trained, so that a mistake shows at once."""
    from omnimouse_cli.batch.dataset import open_dataset
    from omnimouse_cli.config.load import load_config
    from omnimouse_cli.train.run import TrainingJob
    from omnimouse_cli.train.sweep import build_cell_config

    base: dict[str, RunConfig] = {}
    for model in dict.fromkeys(cell.model for cell in cells):
        # A renamed key is reported once, not for every model.
        base[model] = load_config(config, overrides, model, reporter=Silent() if base else progress)
    if len({(item.data.sessions, item.data.max_sessions) for item in base.values()}) > 1:
        raise OmniMouseError("the sessions of a sweep must be the same for all sizes")
    data = next(iter(base.values())).data
    dataset = open_dataset(shards, sessions=data.sessions, max_sessions=data.max_sessions)
    smallest = min(cell.num_sessions for cell in cells)
    jobs = {}
    for cell in cells:
        run = root / cell.name
        fresh = build_cell_config(cell, base[cell.model], dataset, smallest)
        jobs[cell] = TrainingJob(
            # A run that has started keeps its configuration.
            config=read_config(run) if is_run(run) else fresh,
            shards=shards,
            run=run,
            resume=is_run(run),
            command_line=tuple(sys.argv),
        )
    return jobs


def _train_all(
    jobs: Sequence[tuple["Cell", "TrainingJob"]], ranks: Ranks, progress: Reporter, *, quiet: bool
) -> dict["Cell", OmniMouseError]:
    """Train one run after the other; a failed run does not stop the others."""
    failures: dict[Cell, OmniMouseError] = {}
    progress.start("runs", len(jobs))
    for cell, job in jobs:
        try:
            run_job(job, ranks, progress, quiet=quiet)
        except OmniMouseError as error:
            progress.warn(f"{cell.name}: {error.message}")
            failures[cell] = error
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(
                f"finished runs and the last checkpoint of {job.run} are kept; run the same "
                "command again to continue"
            ) from stop
        progress.advance("runs")
    progress.finish("runs")
    return failures


def _print(
    cells: Sequence["Cell"],
    root: Path,
    failures: dict["Cell", OmniMouseError],
    *,
    json_output: bool,
) -> None:
    rows = [_row(cell, root / cell.name, failures.get(cell)) for cell in cells]
    if json_output:
        print_document("sweep", {"folder": root, "runs": rows})
        return
    table = Table(title=f"{root}: {len(cells)} runs", title_justify="left")
    for name in ("run", "core parameters", "unique tokens", "epochs", "validation loss"):
        table.add_column(name, justify="left" if name == "run" else "right")
    for row in rows:
        if row["state"] == "failed":
            table.add_row(row["run"], "failed")
            continue
        loss = row["neural_loss"]
        table.add_row(
            row["run"],
            f"{row['parameters']:,}",
            f"{row['unique_tokens']:,}",
            f"{row['epochs']:.2f}",
            "-" if loss is None else f"{loss:.4f}",
        )
    print_table(table)


def _row(cell: "Cell", run: Path, failure: OmniMouseError | None) -> dict[str, Any]:
    row: dict[str, Any] = {"run": cell.name, **dataclasses.asdict(cell)}
    if failure is not None:
        return {**row, "state": "failed", "error": failure.message}
    summary = read_summary(run)
    return {
        **row,
        "state": "finished",
        "parameters": summary["parameters"]["core"],
        "unique_tokens": summary["unique_tokens"],
        "epochs": summary["epochs"],
        "neural_loss": summary["validation"]["neural_loss"],
    }
