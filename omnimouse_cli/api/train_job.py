"""From the options of `omnimouse train` to a training job: configuration, data set, run folder."""

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.api.folders import (
    default_shards,
    folder,
    make_new_folder,
    named_run,
    suggest_run,
)
from omnimouse_cli.api.sessions_option import parse_sessions
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import (
    CONFIG,
    is_run,
    newest_unfinished_run,
    read_config,
    read_shards_folder,
)
from omnimouse_cli.text import split_words

if TYPE_CHECKING:
    from omnimouse_cli.config.run import RunConfig
    from omnimouse_cli.training.prepare import TrainingJob

# Runs that are named where another one begins.
_MOST_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The options of `omnimouse train` as parsed from the command line.

    Args:
        paths: Folder of shards, or the run to resume, or both.
        out: Folder of the run; None makes a new one in runs/.
        model: Name of a model size.
        config: TOML file.
        overrides: Values of `--set`, as `section.key=value`.
        steps: Length in optimizer steps; at most one of `steps`, `epochs` and `minutes` is set.
        epochs: Length in epochs (batch/epochs.py).
        minutes: Length in minutes.
        sessions: Number of sessions, or their keys separated by commas.
        seed: Seed of everything random.
        resume: Whether to continue a run.
        no_compile: Whether to train without compiling the model.
        adapt_from: Run whose core is adapted.
        unfreeze: Parts of that core that learn too, separated by commas.
        init_from: Run whose configuration and weights training starts with.
        allow_other_data: Whether the run that is the start, or whose core is adapted, may have been
            trained on other data of the same sessions.
        track: Experiment trackers that the training feeds.
    """

    paths: tuple[Path, ...]
    out: Path | None
    model: str | None
    config: Path | None
    overrides: tuple[str, ...]
    steps: int | None
    epochs: float | None
    minutes: float | None
    sessions: str | None
    seed: int | None
    resume: bool
    no_compile: bool
    adapt_from: Path | None
    unfreeze: str | None
    init_from: Path | None = None
    allow_other_data: bool = False
    track: tuple[str, ...] = ()

    def config_overrides(self, shards: Path, progress: Reporter) -> list[str]:
        """Return everything that the options change in the configuration, as `--set` texts.

        Args:
            shards: Folder of shards, in which a session may have a number as its key.
            progress: Says which of the two a number is taken for, where it could be either.
        """
        overrides = [*self.overrides, *length_overrides(self.steps, self.epochs, self.minutes)]
        if self.sessions is not None:
            chosen = parse_sessions(self.sessions, shards, progress)
            name = "max_sessions" if isinstance(chosen, int) else "sessions"
            overrides.append(f"data.{name}={json.dumps(chosen)}")
        if self.seed is not None:
            overrides.append(f"seed={self.seed}")
        if self.no_compile:
            overrides.append("train.compile=false")
        if self.adapt_from is not None:
            overrides.append(f"train.adapt_from={json.dumps(str(self.adapt_from.resolve()))}")
        if self.unfreeze is not None:
            overrides.append(f"train.unfreeze={json.dumps(split_words(self.unfreeze))}")
        return overrides


def length_overrides(steps: int | None, epochs: float | None, minutes: float | None) -> list[str]:
    """Return `--set` texts for the length of a training; they replace a length of a TOML file.

    Raises:
        OmniMouseError: More than one of the three is given.
    """
    lengths = {"steps": steps, "epochs": epochs, "minutes": minutes}
    given = [name for name, value in lengths.items() if value is not None]
    if len(given) > 1:
        raise OmniMouseError(
            f"only one of --steps, --epochs and --minutes can be given: {', '.join(given)}"
        )
    if not given:
        return []
    return [
        f"train.{name}={json.dumps('none') if value is None else value}"
        for name, value in lengths.items()
    ]


def resolve_job(options: TrainOptions, progress: Reporter) -> "TrainingJob":
    """Resolve the options to a training job; defaults that were taken are reported.

    Raises:
        OmniMouseError: The options contradict each other, the configuration is invalid, or there
            is no run to resume.
    """
    from omnimouse_cli.api.new_run import new_run
    from omnimouse_cli.training.prepare import TrainingJob
    from omnimouse_cli.training.trackers import require_trackers

    require_trackers(options.track)
    paths = options.paths
    if options.resume:
        paths = tuple(named_run(path, progress) for path in paths)
    runs = [path for path in paths if is_run(path)]
    shards = next((path for path in paths if path not in runs), None)
    if len(paths) > len(runs) + (shards is not None):
        raise OmniMouseError(
            f"only one folder of shards can be trained on: {', '.join(map(str, paths))}"
        )
    if options.resume and shards is not None:
        _require_run_or_shards(shards)
    if options.init_from is not None and options.adapt_from is not None:
        raise OmniMouseError(
            "--init-from and --adapt-from cannot be given together",
            hint="--init-from trains all weights, --adapt-from freezes the core",
        )
    if runs and not options.resume:
        raise OmniMouseError(
            f"{runs[0]} is a run, not a folder of shards",
            hint=f"to continue it: omnimouse train --resume {runs[0]}",
        )
    run = _run_to_resume(options, runs, shards, progress) if options.resume else None
    if run is not None and is_run(run):
        shards = shards or _shards_of(run)
        overrides = options.config_overrides(shards, progress)
        return TrainingJob(
            config=read_config(run, overrides, options.model, reporter=progress),
            shards=shards,
            run=run,
            resume=True,
            init_from=options.init_from,
            allow_other_data=options.allow_other_data,
            command_line=tuple(sys.argv),
            track=options.track,
        )
    if options.init_from is not None:
        _require_initial_run(options.init_from, options.model)
        shards = shards or _shards_of(options.init_from)
    if shards is None:
        shards = default_shards()
        if shards.exists():
            progress.say(f"taking {shards}/ (default)")
    config = _resolve_config(options, shards, progress)
    return TrainingJob(
        config=config,
        shards=shards,
        run=new_run(options.out, config.model.size),
        resume=False,
        init_from=options.init_from,
        allow_other_data=options.allow_other_data,
        command_line=tuple(sys.argv),
        track=options.track,
    )


def _resolve_config(options: TrainOptions, shards: Path, progress: Reporter) -> "RunConfig":
    """Resolve the configuration; another run that is the start provides what is not set."""
    from omnimouse_cli.config.load import load_config, read_adapted_run

    overrides = options.config_overrides(shards, progress)
    source, start = read_adapted_run(options.config, overrides), None
    if source is not None:
        from omnimouse_cli.training.start.adapt import default_adaptation, require_same_model

        start = default_adaptation(source)
    if options.init_from is not None and options.config is None:
        start = read_config(options.init_from)
        # The stored value was resolved for a start from random weights.
        train = dataclasses.replace(start.train, shortcuts_first_fraction=None)
        start = dataclasses.replace(start, train=train)
    config = load_config(options.config, overrides, options.model, start, reporter=progress)
    if start is not None and source is not None:
        require_same_model(source, start.model, config.model)
    return config


def _require_initial_run(run: Path, size: str | None) -> None:
    """Refuse a folder that is no run, or a run of another size than `--model`."""
    if is_run(run):
        run_size = read_config(run).model.size
        if size is not None and size != run_size:
            raise OmniMouseError(
                f"{run} has a model of size {run_size}, and --model is {size}",
                hint=f"omit --model: training starts with the {run_size} model of the run",
            )
    else:
        raise OmniMouseError(
            f"--init-from {run} is not a run: it has no {CONFIG}",
            hint="name a folder that `omnimouse train` made",
        )


def _run_to_resume(
    options: TrainOptions, runs: list[Path], shards: Path | None, progress: Reporter
) -> Path:
    """Return the run that is named, that of `--out`, or else the newest unfinished one.

    Args:
        options: The options.
        runs: The runs that are named beside `--resume`.
        shards: The shards that are named: a job queue begins and continues a run by one command.
        progress: Receives what was chosen.

    Raises:
        OmniMouseError: Several runs are named, `--out` is no run and no shards are named, or there
            is no unfinished run.
    """
    if options.out is not None and runs[:1] not in ([], [options.out]):
        runs = [*runs, options.out]
    if len(runs) > 1:
        raise OmniMouseError(
            f"only one run can be resumed: {', '.join(map(str, runs))}",
            hint=f"name one: omnimouse train --resume {runs[0]}",
        )
    if runs:
        return runs[0]
    if options.out is not None:
        if not is_run(options.out):
            # The data of a new run are named, or those of the run that it starts from.
            may_begin = shards is not None or options.init_from is not None
            _require_begin(options.out, progress, may_begin=may_begin)
        return options.out
    run = newest_unfinished_run(folder("runs"))
    if run is None:
        raise OmniMouseError(
            f"no run was named and {folder('runs')}/ has no unfinished run",
            hint="name it: omnimouse train --resume RUN",
        )
    progress.say(f"resuming {run} (the newest unfinished run)")
    return run


def _require_begin(out: Path, progress: Reporter, *, may_begin: bool) -> None:
    """Refuse to begin a run in the folder of `--out`, unless shards are named.

    Raises:
        OmniMouseError: No shards are named; the hint names the run that is most like it.
    """
    if not may_begin:
        begin = f"to begin it if it is new, name its shards: omnimouse train SHARDS --out {out}"
        raise OmniMouseError(
            f"there is no run {out} to resume", hint=suggest_run(out) or f"{begin} --resume"
        )
    beside = sorted(out.parent.iterdir()) if out.parent.is_dir() else []
    names = [path.name for path in beside if is_run(path)]
    shown = names if len(names) <= _MOST_NAMES else [*names[:_MOST_NAMES], "..."]
    others = f"; runs beside it: {', '.join(shown)}" if names else ""
    progress.say(f"no run stands at {out}: a new one begins{others}")


def _require_run_or_shards(path: Path) -> None:
    """Refuse a path beside `--resume` that is neither a run, which is checked, nor shards.

    Raises:
        OmniMouseError: The hint names the run that is most like it.
    """
    from omnimouse_cli.api.new_run import SHARDS_FOLDER, describe_folder

    what = describe_folder(path) if path.exists() else None
    if what == SHARDS_FOLDER:
        return
    example = "name the run: omnimouse train --resume RUN"
    raise OmniMouseError(
        f"{path} does not exist: it is neither a run to resume nor a folder of shards"
        if what is None
        else f"{path} is {what}, neither a run to resume nor a folder of shards",
        hint=suggest_run(path) or example,
    )


def _shards_of(run: Path) -> Path:
    shards = read_shards_folder(run)
    if not shards.is_dir():
        raise OmniMouseError(
            f"{run} was trained on {shards}, which does not exist",
            hint=f"say where the shards are now: omnimouse train SHARDS --resume {run}",
        )
    return shards


@contextmanager
def claim_run(job: "TrainingJob", options: TrainOptions) -> Iterator["TrainingJob"]:
    """Make the folder of a run without a given name; it is removed if nothing is written to it.

    Args:
        job: Its run folder may exist by now, made by another training in the same second.
        options: The options that the job comes from.

    Yields:
        The job with a folder that no other training has.

    Raises:
        ShardError: There are no shards; nothing has been made.
    """
    from omnimouse_cli.shard.catalogue import is_shards_folder, open_shards

    if not is_shards_folder(job.shards):
        # It says what is missing.
        open_shards(job.shards)
    if job.resume or options.out is not None:
        yield job
        return
    run = make_new_folder(job.run)
    try:
        yield dataclasses.replace(job, run=run)
    finally:
        # A folder with files stays.
        with suppress(OSError):
            run.rmdir()
