"""What the options of `omnimouse train` mean: configuration, data set, run folder, ranks."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.cli.folders import default_shards, folder, free_name, new_run_folder
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import (
    CONFIG,
    is_run,
    newest_unfinished_run,
    read_config,
    read_shards_folder,
)

if TYPE_CHECKING:
    from omnimouse_cli.config.run import RunConfig
    from omnimouse_cli.train.run import TrainingJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """How long to train, as the user said it; at most one is set."""

    steps: int | None
    epochs: float | None
    minutes: float | None

    def sets(self) -> list[str]:
        """Give the `--set` texts that say the same, and take back what a file said."""
        said = {
            name: value
            for name, value in (
                ("steps", self.steps),
                ("epochs", self.epochs),
                ("minutes", self.minutes),
            )
            if value is not None
        }
        if len(said) > 1:
            raise OmniMouseError(
                f"only one of --steps, --epochs and --minutes can be given: {', '.join(said)}"
            )
        if not said:
            return []
        names = ("steps", "epochs", "minutes")
        return [f"train.{name}={said.get(name, json.dumps('none'))}" for name in names]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `omnimouse train`, as typed.

    Args:
        places: The data set, or the run that is resumed, or both.
        out: Folder of the run.
        model: Name of the size.
        config: TOML file.
        sets: Single keys.
        length: How long.
        sessions: How many sessions, or their keys with commas.
        seed: Of everything random.
        resume: Whether to go on with a run.
        init_from: Run whose configuration and weights are where training begins.
        no_compile: Whether compiling is off.
        adapt_from: Run whose core is adapted.
        unfreeze: Parts of the core that learn too, with commas.
    """

    places: tuple[Path, ...]
    out: Path | None
    model: str | None
    config: Path | None
    sets: tuple[str, ...]
    length: Length
    sessions: str | None
    seed: int | None
    resume: bool
    no_compile: bool
    adapt_from: Path | None
    unfreeze: str | None
    init_from: Path | None = None

    def all_sets(self) -> list[str]:
        """Give everything that options say about the configuration as `--set` texts."""
        sets = [*self.sets, *self.length.sets()]
        if self.sessions is not None:
            sets.append(_sessions_set(self.sessions))
        if self.seed is not None:
            sets.append(f"seed={self.seed}")
        if self.no_compile:
            sets.append("train.compile=false")
        if self.adapt_from is not None:
            sets.append(f"train.adapt_from={json.dumps(str(self.adapt_from.resolve()))}")
        if self.unfreeze is not None:
            sets.append(f"train.unfreeze={json.dumps(_words(self.unfreeze))}")
        return sets


def _sessions_set(text: str) -> str:
    if text.isdigit():
        return f"data.max_sessions={text}"
    return f"data.sessions={json.dumps(_words(text))}"


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def order_of(wish: Wish, progress: Reporter) -> "TrainingJob":
    """Decide what is trained, and where.

    Args:
        wish: The options.
        progress: Is told what was taken by default.

    Raises:
        OmniMouseError: A configuration that cannot be used, or no run to resume.
    """
    from omnimouse_cli.train.run import TrainingJob

    runs = [place for place in wish.places if is_run(place)]
    shards = next((place for place in wish.places if place not in runs), None)
    if len(wish.places) > len(runs) + (shards is not None):
        raise OmniMouseError(
            f"one folder of shards is trained on: {', '.join(map(str, wish.places))}"
        )
    if wish.init_from is not None and wish.adapt_from is not None:
        raise OmniMouseError(
            "--init-from and --adapt-from exclude each other",
            hint="--init-from trains everything on, --adapt-from freezes the core",
        )
    if runs and not wish.resume:
        raise OmniMouseError(
            f"{runs[0]} is a run and no folder of shards",
            hint=f"to go on with it: omnimouse train --resume {runs[0]}",
        )
    run = _run_to_resume(wish, runs, progress) if wish.resume else None
    if run is not None and is_run(run):
        return TrainingJob(
            config=read_config(run, wish.all_sets(), wish.model, reporter=progress),
            shards=shards or _shards_of(run),
            run=run,
            resume=True,
            init_from=wish.init_from,
            command_line=tuple(sys.argv),
        )
    if wish.init_from is not None:
        _require_beginning(wish.init_from, wish.model)
        shards = shards or _shards_of(wish.init_from)
    if shards is None:
        shards = default_shards()
        progress.say(f"taking {shards}/ (default)")
    config = _config_of(wish, progress)
    return TrainingJob(
        config=config,
        shards=shards,
        run=run or new_run(wish.out, config.model.size),
        resume=False,
        init_from=wish.init_from,
        command_line=tuple(sys.argv),
    )


def _config_of(wish: Wish, progress: Reporter) -> "RunConfig":
    """Resolve the configuration; that of an adaptation starts from the run that it adapts."""
    from omnimouse_cli.config.load import load_config, read_adapted_run

    sets = wish.all_sets()
    source, start = read_adapted_run(wish.config, sets), None
    if source is not None:
        from omnimouse_cli.train.start.adapt import require_same_model, start_of

        start = start_of(source)
    beginning = None if wish.init_from is None else wish.init_from / CONFIG
    config = load_config(
        wish.config or beginning,
        sets,
        wish.model,
        start,
        is_stored=wish.config is None,
        reporter=progress,
    )
    if start is not None and source is not None:
        require_same_model(source, start.model, config.model)
    return config


def _require_beginning(place: Path, size: str | None) -> None:
    """Refuse what is no run, or a run of another size than the one that was asked for."""
    if is_run(place):
        there = read_config(place).model.size
        if size is not None and size != there:
            raise OmniMouseError(
                f"{place} is a {there} run, and --model asks for {size}",
                hint=f"leave --model out: training begins with the {there} model of the run",
            )
    else:
        raise OmniMouseError(
            f"--init-from {place} is no run: it has no {CONFIG}",
            hint="name a folder that `omnimouse train` made",
        )


def _run_to_resume(wish: Wish, runs: Sequence[Path], progress: Reporter) -> Path:
    if runs:
        return runs[0]
    if wish.out is not None:
        if not is_run(wish.out):
            # The same command can then start a run and go on with it, as job queues need it.
            progress.say(f"{wish.out} has no run yet: it begins")
        return wish.out
    run = newest_unfinished_run(folder("runs"))
    if run is None:
        raise OmniMouseError(
            f"no run was named and {folder('runs')}/ has none that is unfinished",
            hint="name it: omnimouse train --resume RUN",
        )
    progress.say(f"going on with {run} (the newest unfinished run)")
    return run


def _shards_of(run: Path) -> Path:
    shards = read_shards_folder(run)
    if not shards.is_dir():
        raise OmniMouseError(
            f"{run} was trained on {shards}, which does not exist",
            hint=f"say where the shards are now: omnimouse train SHARDS --resume {run}",
        )
    return shards


def new_run(out: Path | None, size: str) -> Path:
    """Give a folder that holds nothing yet: an existing run is never overwritten."""
    if out is None:
        return new_run_folder(size)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        return free_name(out)
    return out
