"""`omnimouse train`: train a model on a data set, in one process or several."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from omnimouse_cli.api.arguments import as_words
from omnimouse_cli.api.train_job import TrainOptions, claim_run, resolve_job
from omnimouse_cli.api.train_ranks import Ranks, require_devices, resolve_ranks
from omnimouse_cli.cli.completion import complete_sessions, in_list
from omnimouse_cli.cli.console import print_next, reporter
from omnimouse_cli.cli.options import AllowOtherDataOption, JsonOption, QuietOption
from omnimouse_cli.cli.started_again import continue_own_run
from omnimouse_cli.cli.train_output import print_plan, print_summary
from omnimouse_cli.cli.train_ranks import run_job, train_as_launched_rank

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="nano, tiny, 1M, 5M, 20M, 80M or 300M, by default nano; cnn-twin, a convolutional "
        "digital twin that only predicts; nano-plain, a nano without shortcuts.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="TOML file; a run's config.toml trains it again.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set one configuration key, as model.layers=4; may be repeated."),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", min=1, help="Length in optimizer steps.")
]
EpochsOption = Annotated[
    float | None,
    typer.Option(
        "--epochs", help="Length in epochs, passes over the data: tokens seen over unique tokens."
    ),
]
MinutesOption = Annotated[
    float | None, typer.Option("--minutes", help="Length in minutes; the cool-down ends in time.")
]
GpusOption = Annotated[
    int | None, typer.Option("--gpus", min=1, help="Number of GPUs; one process trains on each.")
]
ProcsOption = Annotated[
    int | None, typer.Option("--procs", min=1, help="Number of processes that train on the CPU.")
]
TrainDeviceOption = Annotated[
    str, typer.Option("--device", help="cpu, cuda or auto (cuda where there is one).")
]
InitFromOption = Annotated[
    Path | None,
    typer.Option(
        "--init-from",
        metavar="RUN",
        help="Start with the configuration and weights of a finished run; with "
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
        help="Finished run whose core is used frozen: only embeddings of animals, sessions and "
        "neurons are trained.",
    ),
]
UnfreezeOption = Annotated[
    str | None,
    typer.Option(
        "--unfreeze",
        help="Parts of that core that are trained too, separated by commas: identities, "
        "response_tokens, behavior, latents, video, encoder, fusion, decoder, readout, "
        "linear_paths or all.",
    ),
]

TrackOption = Annotated[
    str | None,
    typer.Option(
        "--track",
        help="Also write the metrics for tensorboard, wandb or trackio (extras of these names), "
        "separated by commas; offline. A resumed run goes on with its own; none ends that.",
    ),
]


def command_train(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SHARDS", help="Folder of shards, by default shards/; with --resume, the run."
        ),
    ] = None,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; by default a new one in runs/.")
    ] = None,
    model: ModelOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    steps: StepsOption = None,
    epochs: EpochsOption = None,
    minutes: MinutesOption = None,
    sessions: Annotated[
        str | None,
        typer.Option(
            "--sessions",
            autocompletion=in_list(complete_sessions),
            help="Number of sessions (the first ones), or their keys separated by commas.",
        ),
    ] = None,
    gpus: GpusOption = None,
    procs: ProcsOption = None,
    device: TrainDeviceOption = "auto",
    restarts: Annotated[
        int,
        typer.Option(
            "--restarts",
            min=0,
            help="Start again from the newest checkpoint when a process dies or hangs, on the GPUs "
            "that still work, until it has failed this often without a new checkpoint.",
        ),
    ] = 0,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of everything random.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue a run from its newest checkpoint: the RUN given, that of --out, or the "
            "newest unfinished one. With SHARDS and --out, a run that does not exist is begun.",
        ),
    ] = False,
    init_from: InitFromOption = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only check that training can begin, and print its length, time, parameters, "
            "FLOPs and memory.",
        ),
    ] = False,
    no_compile: NoCompileOption = False,
    adapt_from: AdaptFromOption = None,
    unfreeze: UnfreezeOption = None,
    allow_other_data: AllowOtherDataOption = False,
    track: TrackOption = None,
    json_output: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a model on shards; the run folder gets configuration, metrics, checkpoints, weights."""
    options = TrainOptions(
        paths=tuple(paths or ()),
        out=out,
        model=model,
        config=config,
        overrides=tuple(overrides or ()),
        steps=steps,
        epochs=epochs,
        minutes=minutes,
        sessions=sessions,
        seed=seed,
        resume=resume,
        init_from=init_from,
        no_compile=no_compile,
        adapt_from=adapt_from,
        unfreeze=unfreeze,
        allow_other_data=allow_other_data,
        track=as_words(track or ""),
    )
    ranks = resolve_ranks(gpus=gpus, procs=procs, device=device, restarts=restarts)
    if dry_run:
        print_plan(options, ranks, json_output=json_output, quiet=quiet)
        words = [word for word in sys.argv[2:] if word != "--dry-run"]
        print_next("train", *words, quiet=quiet, json_output=json_output)
        return
    run = _train(options, ranks, quiet=quiet, restarts=restarts)
    if run is not None:
        print_summary(run, json_output=json_output)
        print_next("eval", run, quiet=quiet, json_output=json_output)


def _train(options: TrainOptions, ranks: Ranks, *, quiet: bool, restarts: int) -> Path | None:
    """Train and return the run folder; None on ranks that do not report the result."""
    if ranks.is_launched:
        return train_as_launched_rank(options, ranks, quiet=quiet)
    require_devices(ranks)
    with reporter(quiet=quiet) as progress:
        own = continue_own_run(options, None, progress)
        with claim_run(resolve_job(own, progress), own) as job:
            run_job(job, ranks, progress, quiet=quiet, restarts=restarts)
            return job.run
