"""`omnimouse sweep`: train the grid of runs that a scaling law needs; resumable, and shareable."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from omnimouse_cli.api.folders import default_shards, folder
from omnimouse_cli.api.sessions_option import is_number
from omnimouse_cli.cli.console import print_document, print_next, print_table, reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption, parse_task
from omnimouse_cli.cli.slurm import (
    SlurmOption,
    SlurmRequest,
    merge_gpus,
    parse_request,
    print_submission,
    require_slurm,
    submit,
    warn_of_failures,
)
from omnimouse_cli.cli.sweep_job import SweepOptions, require_same_options, resolve_sweep
from omnimouse_cli.cli.tables import ResultTable, name_columns, number_columns
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
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.run.folder import is_finished, read_summary
from omnimouse_cli.text import pluralize, split_words

if TYPE_CHECKING:
    from omnimouse_cli.cli.sweep_job import Sweep
    from omnimouse_cli.reporter import Reporter
    from omnimouse_cli.training.sweep import Cell

FIGURE = "sweep.png"


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
            help="Numbers of sessions, separated by commas, by default 1, 2, 4, ... and all; or "
            "the keys of the sessions of which 1, 2, 4, ... and all are taken.",
        ),
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds, separated by commas.")] = "42,43,44",
    subsets: Annotated[
        int,
        typer.Option(
            "--subsets",
            min=1,
            help="Random subsets of each number of sessions; 1 takes the first sessions.",
        ),
    ] = 3,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Choose learning rates first: half, once and twice those of each size, on the "
            "fewest sessions; the grid then takes the best.",
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the runs; by default runs/sweep.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="RUN", help="Train one run of the grid, by its name."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", metavar="I/N", help="Train the I-th of N shares of the grid."),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", min=1, help="Number of runs trained at once; GPUs are divided among them."
        ),
    ] = None,
    slurm: SlurmOption = None,
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
    """Train every size on every subset with every seed; finished runs are kept, others resumed.

    Several processes may train one grid at the same time, each a run of its own: srun -n 4
    omnimouse sweep, or the same command in several shells or jobs.
    """
    from omnimouse_cli.cli.sweep_workers import join_step, train_at_once, train_in_turn
    from omnimouse_cli.training.sweep import warn_without_locks

    worker = join_step(gpus=gpus, device=device, jobs=jobs)
    request = None
    if slurm is not None:
        require_slurm()
        request = merge_gpus(parse_request(slurm), gpus)
        gpus = request.gpus
    if request is not None and jobs is not None:
        raise OmniMouseError(
            "--jobs and --slurm cannot be given together", hint="--slurm at_once=N limits its jobs"
        )
    with reporter(quiet=quiet) as progress:
        if shards is None:
            shards = default_shards()
            progress.say(f"taking {shards}/ (default)")
        options = SweepOptions(
            shards=shards,
            root=out if out is not None else folder("runs") / "sweep",
            models=split_words(models),
            sessions=sessions,
            seeds=_parse_seeds(seeds),
            subsets=subsets,
            tune=tune,
            config=config,
            overrides=tuple(overrides or ()),
            steps=steps,
            epochs=epochs,
            minutes=minutes,
            gpus=gpus,
            procs=procs,
            device=device,
            no_compile=no_compile,
        )
        sweep = resolve_sweep(options, progress, trains_here=request is None)
        cells = sweep.choose(only=only, task=None if task is None else parse_task(task))
        require_same_options(sweep, cells)
        finished = sum(is_finished(sweep.run_of(cell)) for cell in cells)
        runs = pluralize(len(cells), "run")
        progress.say(f"{runs} in {sweep.root}, {finished} already finished")
        warn_without_locks(sweep.root, progress)
        if request is not None:
            _submit(sweep, cells, request, progress, json_output=json_output)
            return
        if jobs is None:
            failures = train_in_turn(sweep, cells, progress, quiet=quiet)
        else:
            failures = train_at_once(sweep, cells, jobs, progress)
        if tune:
            _keep_rates(sweep, progress)
    # Tasks of srun write to one stdout: the first one prints the result.
    if worker == 0:
        with reporter(quiet=quiet) as progress:
            _draw(sweep.root, progress)
        _print(sweep, cells, failures, json_output=json_output)
    if failures:
        cell, error = next(iter(failures.items()))
        raise OmniMouseError(
            f"{len(failures)} of {pluralize(len(cells), 'run')} failed; {cell.name}: "
            f"{error.message}",
            hint=error.hint,
        )
    if worker == 0:
        print_next("scaling-report", sweep.root, quiet=quiet, json_output=json_output)


def _parse_seeds(text: str) -> tuple[int, ...]:
    words = split_words(text)
    if not words or not all(is_number(word) for word in words):
        raise OmniMouseError(
            f"--seeds must be whole numbers separated by commas: {text!r}",
            hint="for example --seeds 1,2,4",
        )
    return tuple(int(word) for word in words)


def _keep_rates(sweep: "Sweep", progress: "Reporter") -> None:
    """Write the best learning rates of sizes whose tuning runs have all finished."""
    from omnimouse_cli.training.tuning import choose_factors, write_factors

    factors = choose_factors(sweep.cells, sweep.root)
    if factors:
        path = write_factors(sweep.options.root, factors)
        chosen = ", ".join(f"{factor:g} times for {model}" for model, factor in factors.items())
        progress.say(f"learning rates: {chosen}; {path} is read when the grid is trained")


def _submit(
    sweep: "Sweep",
    cells: Sequence["Cell"],
    request: SlurmRequest,
    progress: "Reporter",
    *,
    json_output: bool,
) -> None:
    """Submit a job for each run that has not finished and that no process trains."""
    from omnimouse_cli.training.sweep import is_claimed, unfinished

    waiting = []
    for cell in unfinished(cells, sweep.root):
        if is_claimed(cell, sweep.root):
            progress.say(f"{cell.name} is not submitted: another process trains it")
        else:
            waiting.append(cell)
    warn_of_failures(sweep.root / "slurm", progress)
    submission = submit(
        [sweep.options.command(cell.name) for cell in waiting], request, sweep.root / "slurm"
    )
    print_submission(submission, [cell.name for cell in waiting], "run", json_output=json_output)


def _print(
    sweep: "Sweep",
    cells: Sequence["Cell"],
    failures: Mapping["Cell", OmniMouseError],
    *,
    json_output: bool,
) -> None:
    rows = [_row(sweep, cell, failures.get(cell)) for cell in cells]
    if json_output:
        print_document("sweep", {"folder": sweep.root, "runs": rows})
        return
    table = ResultTable(
        f"{sweep.root}: {pluralize(len(cells), 'run')}",
        *name_columns("run"),
        *number_columns("core parameters", "unique tokens", "epochs", "validation loss"),
        omit=("unique tokens", "core parameters", "epochs"),
    )
    for row in rows:
        if row["state"] != "finished":
            table.add_row(row["run"], row["state"])
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


def _draw(root: Path, progress: "Reporter") -> None:
    """Write the figure of the finished runs below a folder, if Matplotlib is installed."""
    from omnimouse_cli.evaluation.store import has_matplotlib
    from omnimouse_cli.files import write_atomically
    from omnimouse_cli.report.curves import read_curves
    from omnimouse_cli.report.curves_figure import require_one_loss
    from omnimouse_cli.report.runs import read_run_table
    from omnimouse_cli.report.sweep_figure import draw_sweep

    if not has_matplotlib():
        progress.warn("no figure: Matplotlib is not installed; pip install 'omnimouse[report]'")
        return
    try:
        table = read_run_table([root])
        curves = [read_curves(Path(row.source)) for row in table.rows]
        require_one_loss(curves)
    except OmniMouseError as error:
        progress.warn(f"no figure: {error.message}")
        return
    with write_atomically(root / FIGURE) as stream:
        draw_sweep(table.rows, curves, stream, title=f"{root.resolve().name}: {table.title}")
    progress.say(f"wrote {root / FIGURE}")


def _row(sweep: "Sweep", cell: "Cell", failure: OmniMouseError | None) -> dict[str, Any]:
    from omnimouse_cli.training.sweep import is_claimed

    row: dict[str, Any] = {"run": cell.name, **dataclasses.asdict(cell)}
    if failure is not None:
        return {**row, "state": "failed", "error": failure.message}
    if not is_finished(sweep.run_of(cell)):
        return {**row, "state": "training" if is_claimed(cell, sweep.root) else "unfinished"}
    summary = read_summary(sweep.run_of(cell))
    return {
        **row,
        "state": "finished",
        "parameters": summary["parameters"]["core"],
        "unique_tokens": summary["unique_tokens"],
        "epochs": summary["epochs"],
        "neural_loss": summary["validation"]["neural_loss"],
    }
