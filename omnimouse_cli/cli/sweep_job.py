"""From the options of `omnimouse sweep` to a sweep: its runs and the training job of each."""

import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omnimouse_cli.api.sessions_option import as_count, refuse_sessions
from omnimouse_cli.api.train_job import length_overrides
from omnimouse_cli.api.train_ranks import Ranks, require_devices, resolve_ranks
from omnimouse_cli.config.convert import flatten, to_dict
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.reporter import Reporter, Silent
from omnimouse_cli.run.folder import is_run, read_config
from omnimouse_cli.text import pluralize, split_words, suggest_name

# Hidden, so that reports of the sweep do not read the runs that choose learning rates.
TUNING = ".tuning"
# Configuration that changes no number of a run, or that a run stores in another form.
_MAY_DIFFER = {
    *(f"data.{key}" for key in ("access", "threads", "prefetch_batches", "read_ahead_megabytes")),
    *(f"data.{key}" for key in ("verify", "max_sessions")),
    *(f"train.{key}" for key in ("epochs", "adapt_from", "validation_tiers", "validate_every")),
    *(f"train.{key}" for key in ("checkpoint_every", "checkpoint_minutes", "log_every")),
    *(f"train.{key}" for key in ("keep_checkpoints", "keep_checkpoint_hours", "silence_seconds")),
    *(f"train.{key}" for key in ("compile", "activation_checkpointing")),
}

if TYPE_CHECKING:
    from omnimouse_cli.batch.dataset import Dataset
    from omnimouse_cli.config.run import RunConfig
    from omnimouse_cli.training.prepare import TrainingJob
    from omnimouse_cli.training.sweep import Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOptions:
    """The options of `omnimouse sweep` that say what is trained, as parsed from the command line.

    Args:
        shards: Folder of shards.
        root: Folder of the runs.
        models: Names of model sizes.
        sessions: Numbers of sessions, or keys of the sessions that subsets are taken from,
            separated by commas; None is 1, 2, 4, ... and all.
        seeds: Seeds.
        subsets: Largest number of subsets of each number of sessions.
        tune: Whether to train the runs that choose learning rates, instead of the grid.
        config: TOML file.
        overrides: Values of `--set`, as `section.key=value`.
        steps: Length in optimizer steps; at most one of `steps`, `epochs` and `minutes` is set.
        epochs: Length in epochs (batch/epochs.py).
        minutes: Length in minutes.
        gpus: GPUs of each run.
        procs: Processes of each run on the CPU.
        device: `cpu`, `cuda` or `auto`.
        no_compile: Whether to train without compiling the model.
    """

    shards: Path
    root: Path
    models: list[str]
    sessions: str | None
    seeds: tuple[int, ...]
    subsets: int
    tune: bool
    config: Path | None
    overrides: tuple[str, ...]
    steps: int | None
    epochs: float | None
    minutes: float | None
    gpus: int | None
    procs: int | None
    device: str
    no_compile: bool

    def command(self, run: str) -> tuple[str, ...]:
        """Return the command that trains one run of the sweep, for another process.

        Args:
            run: Name of the run.
        """
        values = {
            "--models": ",".join(self.models),
            "--sessions": self.sessions,
            "--seeds": ",".join(map(str, self.seeds)),
            "--subsets": self.subsets,
            "--out": self.root,
            "--config": self.config,
            "--steps": self.steps,
            "--epochs": self.epochs,
            "--minutes": self.minutes,
            "--gpus": self.gpus,
            "--procs": self.procs,
            # --gpus and --procs say the device.
            "--device": self.device if self.gpus is None and self.procs is None else None,
            "--only": run,
        }
        words = [sys.executable, "-m", "omnimouse_cli", "sweep", str(self.shards)]
        for name, value in values.items():
            words += [] if value is None else [name, str(value)]
        for text in self.overrides:
            words += ["--set", text]
        words += ["--tune"] if self.tune else []
        return (*words, *(["--no-compile"] if self.no_compile else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A grid of runs that can be trained.

    Args:
        options: What the sweep was made from.
        cells: The runs, the cheapest first.
        configs: Configuration of each run that has not started.
        ranks: Number of processes of each run, and their device.
    """

    options: SweepOptions
    cells: tuple["Cell", ...]
    configs: Mapping["Cell", "RunConfig"]
    ranks: Ranks

    @property
    def root(self) -> Path:
        """Folder of the runs."""
        return self.options.root / TUNING if self.options.tune else self.options.root

    def run_of(self, cell: "Cell") -> Path:
        """Return the folder of a run."""
        return self.root / cell.name

    def choose(self, *, only: str | None, task: tuple[int, int] | None) -> tuple["Cell", ...]:
        """Return the runs that `--only` or `--task` choose, by default all.

        Args:
            only: Name of a run.
            task: Number of a share, from 1, and the number of shares.

        Raises:
            OmniMouseError: There is no such run or share, or both are given.
        """
        from omnimouse_cli.training.sweep import share

        if task is not None and only is not None:
            raise OmniMouseError("--only and --task cannot be given together", hint="choose one")
        if task is not None:
            return share(self.cells, *task)
        if only is None:
            return self.cells
        names = [cell.name for cell in self.cells]
        if only not in names:
            raise OmniMouseError(f"the sweep has no run {only!r}", hint=suggest_name(only, names))
        return (self.cells[names.index(only)],)

    def job_of(self, cell: "Cell") -> "TrainingJob":
        """Return the job that starts a run, or continues it with the configuration that it has."""
        from omnimouse_cli.training.prepare import TrainingJob

        run = self.run_of(cell)
        has_started = is_run(run)
        return TrainingJob(
            config=read_config(run) if has_started else self.configs[cell],
            shards=self.options.shards,
            run=run,
            resume=has_started,
            command_line=tuple(sys.argv),
        )


def resolve_sweep(options: SweepOptions, progress: Reporter, *, trains_here: bool = True) -> Sweep:
    """Resolve every run before the first one is trained, so that a mistake shows at once.

    Args:
        options: The options.
        progress: Shows what was assumed.
        trains_here: Whether the runs are trained on this machine, which then needs their GPUs.

    Raises:
        OmniMouseError: Options, configuration or data cannot be used, or GPUs are missing.
    """
    from omnimouse_cli.batch.dataset import open_dataset
    from omnimouse_cli.config.load import load_config
    from omnimouse_cli.training.sweep import (
        build_cell_config,
        draw_subsets,
        grid,
        require_sessions,
    )
    from omnimouse_cli.training.tuning import scale_rates, tuning_grid

    ranks = resolve_ranks(gpus=options.gpus, procs=options.procs, device=options.device)
    if trains_here:
        require_devices(ranks)
    overrides = [
        *options.overrides,
        *length_overrides(options.steps, options.epochs, options.minutes),
        *(["train.compile=false"] if options.no_compile else []),
    ]
    if not options.models:
        raise OmniMouseError("--models names no size", hint="for example --models nano,tiny")
    base: dict[str, RunConfig] = {}
    for model in dict.fromkeys(options.models):
        # A renamed key is reported once, not for every model.
        base[model] = load_config(
            options.config, overrides, model, reporter=Silent() if base else progress
        )
    if len({(item.data.sessions, item.data.max_sessions) for item in base.values()}) > 1:
        raise OmniMouseError("the sessions of a sweep must be the same for all sizes")
    data = next(iter(base.values())).data
    dataset = open_dataset(options.shards, sessions=data.sessions, max_sessions=data.max_sessions)
    dataset, sizes = _choose_subsets(options.sessions, dataset, progress)
    require_sessions(dataset, sizes)
    keys = [session.key for session in dataset.sessions]
    subsets = draw_subsets(keys, sizes, options.subsets)
    num_subsets = {count: len(chosen) for count, chosen in subsets.items()}
    if options.tune:
        cells = tuning_grid(options.models, min(sizes), options.seeds[0])
    else:
        cells = grid(options.models, sizes, options.seeds, num_subsets)
        progress.say(_describe_subsets(num_subsets))
        base = _apply_tuned_rates(base, options, progress)
    configs = {cell: build_cell_config(cell, base[cell.model], subsets) for cell in cells}
    configs = {cell: scale_rates(one, cell.rate_factor or 1.0) for cell, one in configs.items()}
    return Sweep(options=options, cells=cells, configs=configs, ranks=ranks)


def _choose_subsets(
    text: str | None, dataset: "Dataset", progress: Reporter
) -> tuple["Dataset", tuple[int, ...]]:
    """Return the sessions that subsets are taken from, and the sizes of the subsets.

    Args:
        text: `--sessions`.
        dataset: All sessions.
        progress: Says what a number is taken for that is the key of a session too.

    Raises:
        OmniMouseError: There are fewer sessions, or no session has a key.
    """
    keys = [session.key for session in dataset.sessions]
    words = split_words(text or "")
    counts = [as_count(word, keys) for word in words]
    if words and None not in counts:
        named = [word for word in words if word in keys]
        if named:
            progress.say(
                f"--sessions {text} is taken for numbers of sessions; for sessions of these names: "
                f"--set 'data.sessions={json.dumps(named)}'"
            )
        return dataset, tuple(count for count in counts if count is not None)
    for word in words:
        if word not in keys:
            raise refuse_sessions(word, dataset.folder, keys)
    chosen = tuple(dataset.session(key) for key in dict.fromkeys(words or keys))
    powers = {min(2**power, len(chosen)) for power in range(len(chosen).bit_length() + 1)}
    return dataclasses.replace(dataset, sessions=chosen), tuple(sorted(powers))


def require_same_options(sweep: Sweep, cells: Sequence["Cell"]) -> None:
    """Check that the runs that have begun have the options of this sweep.

    Values that were filled in when a run began, and those that change no number, may differ.

    Raises:
        OmniMouseError: Some have others; the message names each and the run with the first one.
    """
    for cell in cells:
        run = sweep.run_of(cell)
        if not is_run(run):
            continue
        new = flatten(to_dict(sweep.configs[cell]))
        try:
            stored = flatten(to_dict(read_config(run)))
        except ConfigError:
            # That run fails with this message, and the others are trained.
            continue
        differing = [
            f"{key} {json.dumps(stored.get(key))}, now {json.dumps(value)}"
            for key, value in new.items()
            if value is not None and key not in _MAY_DIFFER and stored.get(key) != value
        ]
        if differing:
            raise OmniMouseError(
                f"{run} was trained with other options: {'; '.join(differing)}",
                hint="repeat the options that it had, or name another folder with --out",
            )


def _apply_tuned_rates(
    base: Mapping[str, "RunConfig"], options: SweepOptions, progress: Reporter
) -> dict[str, "RunConfig"]:
    """Return the configurations with the learning rates that `--tune` chose, if it ran."""
    from omnimouse_cli.training.tuning import RATES, read_factors, scale_rates

    factors = read_factors(options.root)
    if not factors:
        return dict(base)
    missing = [model for model in base if model not in factors]
    if missing:
        raise OmniMouseError(
            f"{options.root / RATES} has no learning rate for {', '.join(missing)}",
            hint="run the same command with --tune first, or delete the file",
        )
    configs = {model: scale_rates(config, factors[model]) for model, config in base.items()}
    rates = [f"{one.train.learning_rate:g} for {model}" for model, one in configs.items()]
    progress.say(f"tuned learning rates: {', '.join(rates)} ({options.root / RATES})")
    return configs


def _describe_subsets(num_subsets: Mapping[int, int]) -> str:
    parts = [
        f"{pluralize(number, 'subset')} of {pluralize(count, 'session')}"
        for count, number in num_subsets.items()
    ]
    smallest = min(num_subsets)
    first = "the first session" if smallest == 1 else f"the first {smallest} sessions"
    return f"{', '.join(parts)}; all contain {first}, on which all runs validate"
