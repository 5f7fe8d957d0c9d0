"""`omnimouse train`: a model learns from a data set, on one process or many."""

from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.cli.console import reporter
from omnimouse_cli.cli.options import JsonOption, QuietOption
from omnimouse_cli.cli.train_order import Length, Wish, order_of
from omnimouse_cli.cli.train_ranks import (
    Ranks,
    ranks_of,
    require_devices,
    train_on,
    train_where_launched,
)
from omnimouse_cli.cli.train_result import print_plan, print_summary

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="nano, tiny, 1M, 5M, 20M, 80M or 300M; by default nano."),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file; a run's config.toml trains it again.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="One configuration key, as model.layers=4; may be repeated."),
]
StepsOption = Annotated[int | None, typer.Option("--steps", min=1, help="Train so many steps.")]
EpochsOption = Annotated[
    float | None, typer.Option("--epochs", help="Train so many passes over the data.")
]
MinutesOption = Annotated[
    float | None, typer.Option("--minutes", help="Train so long; the cool-down ends in time.")
]
GpusOption = Annotated[
    int | None, typer.Option("--gpus", min=1, help="Train on so many GPUs, a process on each.")
]
ProcsOption = Annotated[
    int | None, typer.Option("--procs", min=1, help="Train on the CPU in so many processes.")
]
TrainDeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda or auto (cuda where there is one).")
]
InitFromOption = Annotated[
    Path | None,
    typer.Option(
        "--init-from",
        metavar="RUN",
        help="Begin with a finished run's configuration and weights; with "
        "--set model.feed_forward=dendritic a SwiGLU run becomes a dendritic one.",
    ),
]
NoCompileOption = Annotated[
    bool, typer.Option("--no-compile", help="Do not compile the model on a GPU.")
]
AdaptFromOption = Annotated[
    Path | None,
    typer.Option(
        "--adapt-from",
        help="Finished run whose core is frozen: only vectors of animals and tables of sessions "
        "learn.",
    ),
]
UnfreezeOption = Annotated[
    str | None,
    typer.Option(
        "--unfreeze",
        help="Parts of that core that learn too, with commas: identities, response_tokens, "
        "behavior, latents, video, encoder, fusion, decoder, readout, linear_paths or all.",
    ),
]


def command_train(
    places: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SHARDS", help="The data set, by default shards/; with --resume, the run."
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; by default a new one in runs/.")
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    sets: SetOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    sessions: Annotated[
        str | None,
        typer.Option("--sessions", help="How many sessions, the first ones, or keys with commas."),
    ] = None,
    gpus: GpusOption = None,
    procs: ProcsOption = None,
    device: TrainDeviceOption = "auto",
    seed: Annotated[
        int | None, typer.Option("--seed", help="Seed of everything that is random.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with a run from its last checkpoint: the one that is named, that of "
            "--out, or the newest unfinished one.",
        ),
    ] = False,
    init_from: InitFromOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how large the training would be.")
    ] = False,
    no_compile: NoCompileOption = False,
    adapt_from: AdaptFromOption = None,
    unfreeze: UnfreezeOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on shards; RUN gets its configuration, metrics, checkpoints and weights."""
    wish = Wish(
        places=tuple(places or ()),
        out=out,
        model=model,
        config=config,
        sets=tuple(sets or ()),
        length=Length(steps=steps, epochs=epochs, minutes=minutes),
        sessions=sessions,
        seed=seed,
        resume=resume,
        init_from=init_from,
        no_compile=no_compile,
        adapt_from=adapt_from,
        unfreeze=unfreeze,
    )
    ranks = ranks_of(gpus=gpus, procs=procs, device=device)
    if dry_run:
        print_plan(wish, ranks, json_output=json_output, quiet=quiet)
        return
    run = _train(wish, ranks, quiet=quiet)
    if run is not None:
        print_summary(run, json_output=json_output)


def _train(wish: Wish, ranks: Ranks, *, quiet: bool) -> Path | None:
    """Train; gives the run to whoever is to tell its result."""
    if ranks.is_launched:
        return train_where_launched(wish, ranks, quiet=quiet)
    require_devices(ranks)
    with reporter(quiet=quiet) as progress:
        order = order_of(wish, progress)
        train_on(order, ranks, progress, quiet=quiet)
    return order.run
