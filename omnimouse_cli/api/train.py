"""Training: `om.train`, the function of `omnimouse train`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omnimouse_cli.api.arguments import PathLike, as_path, as_paths, as_words, require_at_least
from omnimouse_cli.api.progress import choose_reporter
from omnimouse_cli.api.train_job import TrainOptions, claim_run, resolve_job
from omnimouse_cli.api.train_ranks import (
    require_devices,
    resolve_ranks,
    run_job,
    train_plain_rank,
)
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import explain_file_errors
from omnimouse_cli.run.folder import read_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A finished training.

    Args:
        folder: Folder of the run, which `om.load_run` and `om.evaluate` take.
        model: Name of the model size.
        steps: Optimizer steps.
        epochs: Passes over the data: tokens seen over unique tokens.
        seconds: Time that the training took.
        device: Name of the device.
        parameters: Number of parameters of the core, which all sessions share.
        validation_loss: Loss of the responses on the validation tier; None if it is not finite or
            no session has windows of that tier.
        summary: All of `summary.json`.
    """

    folder: Path
    model: str
    steps: int
    epochs: float
    seconds: float
    device: str
    parameters: int
    validation_loss: float | None
    summary: Mapping[str, Any]


def train(
    shards: PathLike | Sequence[PathLike] | None = None,
    *,
    out: PathLike | None = None,
    model: str | None = None,
    config: PathLike | None = None,
    set: Mapping[str, object] | Sequence[str] = (),
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    sessions: int | str | Sequence[str] | None = None,
    gpus: int | None = None,
    procs: int | None = None,
    device: str = "auto",
    restarts: int = 0,
    seed: int | None = None,
    resume: bool = False,
    init_from: PathLike | None = None,
    no_compile: bool = False,
    adapt_from: PathLike | None = None,
    unfreeze: str | Sequence[str] | None = None,
    allow_other_data: bool = False,
    track: str | Sequence[str] = (),
    progress: bool = False,
) -> Trained:
    """Train a model on shards, in this process unless `gpus` or `procs` start several.

    On a CPU with glibc, memory that a step frees stays with this process until it ends, which makes
    a step faster.

    Args:
        shards: Folder of shards, by default shards/; with `resume`, the run.
        out: Folder of the run; by default a new one in runs/, named by time and model.
        model: `nano` (the default), `tiny`, `1M`, `5M`, `20M`, `80M` or `300M`; `cnn-twin`, a
            convolutional digital twin that only predicts; `nano-plain`, without shortcuts.
        config: TOML file; the config.toml of a run trains it again.
        set: Configuration values by key, as `{"model.layers": 4}`, or texts `"model.layers=4"`.
        steps: Length in optimizer steps; at most one of `steps`, `epochs` and `minutes`.
        epochs: Length in epochs, passes over the data: tokens seen over unique tokens.
        minutes: Length in minutes.
        sessions: Number of sessions (the first ones), or session keys.
        gpus: Number of GPUs; a new process trains on each. A script that starts processes needs
            `if __name__ == "__main__":`.
        procs: Number of new processes that train on the CPU.
        device: `cpu`, `cuda` or `auto` (cuda where there is one).
        restarts: How often to start again from the newest checkpoint when a process dies, until it
            has failed so often without a new checkpoint.
        seed: Seed of everything random.
        resume: Whether to continue a run from its newest checkpoint: that of `shards`, of `out`
            (which is begun if it does not exist and `shards` names shards), or the newest
            unfinished one.
        init_from: Run whose configuration and weights are the start.
        no_compile: Whether the model is not compiled on a GPU.
        adapt_from: Finished run whose core is used frozen.
        unfreeze: Parts of that core that are trained too.
        allow_other_data: Whether that run, or the one of `init_from`, may have been trained on
            other data of the same sessions.
        track: Experiment trackers that the training feeds too, offline: `tensorboard`, `wandb`,
            `trackio`; a resumed run goes on with its own, and `none` ends that.
        progress: Whether lines about the progress are written on stderr.

    Returns:
        Folder and summary of the run.

    Raises:
        OmniMouseError: Data, configuration or device cannot be used.
        KeyboardInterrupt: Ctrl-C; the message says which step was saved, and `resume` continues.

    Example:
        >>> import omnimouse_cli as om
        >>> done = om.train("shards", model="nano-plain", steps=1, out="runs/one", device="cpu")
        >>> done.steps, done.model, om.load_run(done.folder).sessions
        (1, 'nano-plain', ('20001-1-1',))
    """
    require_at_least(1, steps=steps, gpus=gpus, procs=procs)
    require_at_least(0, restarts=restarts, seed=seed)
    overrides = [
        *([] if isinstance(set, Mapping) else set),
        *(_setting(*one) for one in (set.items() if isinstance(set, Mapping) else ())),
    ]
    if isinstance(sessions, int):
        require_at_least(1, sessions=sessions)
        overrides.append(f"data.max_sessions={sessions}")
    elif sessions is not None:
        overrides.append(f"data.sessions={json.dumps(as_words(sessions))}")
    options = TrainOptions(
        paths=tuple(as_paths(shards)),
        out=as_path(out),
        model=model,
        config=as_path(config),
        overrides=tuple(overrides),
        steps=steps,
        epochs=epochs,
        minutes=minutes,
        sessions=None,
        seed=seed,
        resume=resume,
        no_compile=no_compile,
        adapt_from=as_path(adapt_from),
        unfreeze=None if unfreeze is None else ",".join(as_words(unfreeze)),
        init_from=as_path(init_from),
        allow_other_data=allow_other_data,
        track=as_words(track),
    )
    ranks = resolve_ranks(gpus=gpus, procs=procs, device=device, restarts=restarts)
    if ranks.is_launched:
        raise OmniMouseError(
            "om.train cannot be one of several ranks of torchrun or srun",
            hint="start the command with them: torchrun -m omnimouse_cli train",
        )
    require_devices(ranks)
    reporter = choose_reporter(progress)
    with explain_file_errors(), claim_run(resolve_job(options, reporter), options) as job:
        run_job(
            job,
            ranks,
            reporter,
            train_rank=train_plain_rank,
            quiet=not progress,
            restarts=restarts,
        )
    return describe_run(job.run)


def _setting(key: str, value: object) -> str:
    """Return a configuration value as `--set` takes it; None is "off"."""
    return f"{key}={json.dumps('none' if value is None else value)}"


def describe_run(run: Path) -> Trained:
    """Return the result of a finished training.

    Raises:
        OmniMouseError: The run has not finished, or its summary is damaged.
    """
    summary = read_summary(run)
    return Trained(
        folder=run,
        model=summary["model"],
        steps=summary["steps"],
        epochs=summary["epochs"],
        seconds=summary["wall_seconds"],
        device=summary["device"],
        parameters=summary["parameters"]["core"],
        validation_loss=summary["validation"]["neural_loss"],
        summary=summary,
    )
