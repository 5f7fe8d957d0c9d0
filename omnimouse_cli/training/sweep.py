"""A sweep: the grid of runs for a scaling law, sizes x subsets of sessions x seeds."""

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import ConfigError, OmniMouseError
from omnimouse_cli.files import explain_file_errors, lock
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.run.folder import is_finished, is_locked
from omnimouse_cli.seeds import derive_seed
from omnimouse_cli.text import pluralize

# Folder inside a sweep's folder with one lock per run.
CLAIMS = ".claims"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a sweep.

    Args:
        model: Name of the model size.
        num_sessions: Number of sessions.
        seed: Seed of the run.
        subset: Number of the subset among those of so many sessions, from 1; None if there is one.
        rate_factor: Factor of the learning rates, in runs that choose them.
    """

    model: str
    num_sessions: int
    seed: int
    subset: int | None = None
    rate_factor: float | None = None

    @property
    def name(self) -> str:
        """Name of the run's folder inside the sweep's folder."""
        subset = "" if self.subset is None else f"-subset{self.subset}"
        rate = "" if self.rate_factor is None else f"-rate{self.rate_factor:g}"
        return f"{self.model}-sessions{self.num_sessions}{subset}-seed{self.seed}{rate}"


def draw_subsets(
    keys: Sequence[str], sessions: Sequence[int], num_subsets: int
) -> dict[int, tuple[tuple[str, ...], ...]]:
    """Return the subsets of each number of sessions, every one in the order of the data set.

    All contain the first sessions, as many as the smallest number, on which all runs validate; the
    others are drawn, the same ones on every machine. One subset alone is not drawn: it has the
    first sessions, so that smaller ones are parts of larger ones.

    Args:
        keys: All sessions.
        sessions: Numbers of sessions.
        num_subsets: Largest number of different subsets of each; there may be fewer.

    Example:
        >>> draw_subsets(["a", "b", "c"], [1, 2], 2)
        {1: (('a',),), 2: (('a', 'b'), ('a', 'c'))}
    """
    smallest = min(sessions)
    fixed, others = tuple(keys[:smallest]), keys[smallest:]
    subsets: dict[int, tuple[tuple[str, ...], ...]] = {}
    for count in sorted(set(sessions)):
        if num_subsets == 1:
            subsets[count] = (tuple(keys[:count]),)
            continue
        added = count - smallest
        if math.comb(len(others), added) <= num_subsets:
            chosen = list(itertools.combinations(others, added))
        else:
            generator = random.Random(derive_seed("subset", count))
            drawn: dict[tuple[str, ...], None] = {}
            while len(drawn) < num_subsets:
                kept = set(generator.sample(list(others), added))
                drawn[tuple(key for key in others if key in kept)] = None
            chosen = list(drawn)
        subsets[count] = tuple((*fixed, *one) for one in chosen)
    return subsets


def grid(
    models: Sequence[str],
    sessions: Sequence[int],
    seeds: Sequence[int],
    num_subsets: Mapping[int, int] | None = None,
) -> tuple[Cell, ...]:
    """Return every combination, the cheapest first: few sessions before many, seed by seed.

    Args:
        models: Names of model sizes, in the order in which they are trained.
        sessions: Number of sessions of each subset, in any order.
        seeds: Seeds of the runs.
        num_subsets: Number of subsets of each number of sessions; by default one.

    Example:
        >>> [cell.name for cell in grid(["nano"], [2, 1], [7])]
        ['nano-sessions1-seed7', 'nano-sessions2-seed7']
    """
    amounts: list[tuple[int, int | None]] = []
    for count in sorted(set(sessions)):
        number = 1 if num_subsets is None else num_subsets[count]
        amounts += [(count, None)] if number == 1 else [(count, one + 1) for one in range(number)]
    return tuple(
        Cell(model=model, num_sessions=count, seed=seed, subset=subset)
        for seed, (count, subset), model in itertools.product(
            dict.fromkeys(seeds), amounts, dict.fromkeys(models)
        )
    )


def require_sessions(dataset: Dataset, sessions: Sequence[int]) -> None:
    """Raise ConfigError if the data set has fewer sessions than the largest of these numbers."""
    num_sessions = len(dataset.sessions)
    if max(sessions) > num_sessions:
        raise ConfigError(
            f"a run of the sweep needs {pluralize(max(sessions), 'session')} and "
            f"{dataset.folder} has {num_sessions}",
            hint=f"use --sessions with numbers up to {num_sessions}",
        )


def build_cell_config(
    cell: Cell, config: RunConfig, subsets: Mapping[int, Sequence[tuple[str, ...]]]
) -> RunConfig:
    """Return the configuration of one run of a sweep.

    Args:
        cell: The run.
        config: Configuration for the cell's model size; sessions and seed are replaced.
        subsets: Subsets of each number of sessions. All runs validate on the smallest one, which
            the others contain, so that their losses are comparable.
    """
    train = config.train
    if train.validation_sessions is None:
        train = dataclasses.replace(train, validation_sessions=subsets[min(subsets)][0])
    return dataclasses.replace(
        config,
        seed=cell.seed,
        data=dataclasses.replace(
            config.data,
            sessions=subsets[cell.num_sessions][(cell.subset or 1) - 1],
            max_sessions=None,
        ),
        train=train,
    )


def unfinished(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Return the cells whose run has not finished."""
    return [cell for cell in cells if not is_finished(folder / cell.name)]


def share(cells: Sequence[Cell], task: int, num_tasks: int) -> tuple[Cell, ...]:
    """Return the cells of one of several tasks, which together have every cell once.

    Args:
        cells: The grid, the cheapest run first; every task gets cheap and expensive ones.
        task: Number of the task, from 1.
        num_tasks: Number of tasks.

    Example:
        >>> cells = grid(["nano"], [1, 2, 4], [7])
        >>> [cell.num_sessions for cell in share(cells, 1, 2)]
        [1, 4]
    """
    return tuple(cells[task - 1 :: num_tasks])


@contextmanager
def claim(cell: Cell, folder: Path) -> Iterator[bool]:
    """Claim a run of the sweep for this process, for as long as the block.

    The claim ends with the process, however it ends. It is not the lock of the run's folder, which
    the training process itself holds: with several ranks, the first of them.

    Args:
        cell: The run.
        folder: Folder of the sweep.

    Yields:
        Whether this process may train the run: no other process claims it or trains in its
        folder. Always true on a file system without locks.
    """
    (folder / CLAIMS).mkdir(parents=True, exist_ok=True)
    with (folder / CLAIMS / f"{cell.name}.lock").open("a") as stream:
        try:
            lock(stream.fileno(), wait=False)
        except BlockingIOError:
            yield False
        else:
            yield not is_locked(folder / cell.name)


def is_claimed(cell: Cell, folder: Path) -> bool:
    """Return whether another process trains a run of the sweep."""
    with claim(cell, folder) as is_free:
        return not is_free


def warn_without_locks(folder: Path, reporter: Reporter) -> None:
    """Warn if the file system cannot keep two processes from training the same run."""
    (folder / CLAIMS).mkdir(parents=True, exist_ok=True)
    with (folder / CLAIMS / ".lock").open("a") as stream:
        try:
            has_locks = lock(stream.fileno(), wait=False)
        except BlockingIOError:
            return
    if not has_locks:
        reporter.warn(
            f"the file system of {folder} has no locks: do not run this sweep twice at once, or "
            "give every process its own runs with --task or --only"
        )


def train_all(
    cells: Sequence[Cell],
    folder: Path,
    train_cell: Callable[[Cell], None],
    reporter: Reporter,
) -> dict[Cell, OmniMouseError]:
    """Train the runs that have not finished and that no other process trains, one by one.

    The folder is read again before each run, so that several processes share the cells. A run that
    fails does not stop the others.

    Args:
        cells: The runs, in the order in which they are trained.
        folder: Folder of the sweep.
        train_cell: Trains one run, or continues it.
        reporter: Shows the progress, and which runs other processes train.

    Returns:
        The error of each run that failed.

    Raises:
        KeyboardInterrupt: Interrupted; the message says what is kept.
    """
    failures: dict[Cell, OmniMouseError] = {}
    attempted: set[Cell] = set()
    elsewhere: set[Cell] = set()
    num_open = len(unfinished(cells, folder))
    reporter.start("runs", num_open)
    while True:
        candidates = [cell for cell in unfinished(cells, folder) if cell not in attempted]
        with _claim_first(candidates, folder) as (cell, skipped):
            for other in skipped:
                if other not in elsewhere:
                    reporter.say(f"{other.name} is skipped: another process trains it")
            elsewhere.update(skipped)
            if cell is None:
                break
            attempted.add(cell)
            try:
                with explain_file_errors():
                    train_cell(cell)
            except OmniMouseError as error:
                reporter.warn(f"{cell.name}: {error.message}")
                failures[cell] = error
            except KeyboardInterrupt as stop:
                raise KeyboardInterrupt(interruption_message(folder)) from stop
        reporter.advance("runs")
    reporter.finish("runs")
    return failures


def interruption_message(folder: Path) -> str:
    """Return what is kept when a sweep is interrupted, and how to continue."""
    return (
        f"finished runs and the last checkpoint of each run in {folder} are kept; run the same "
        "command again to continue"
    )


@contextmanager
def _claim_first(
    cells: Sequence[Cell], folder: Path
) -> Iterator[tuple[Cell | None, tuple[Cell, ...]]]:
    """Claim the first cell that can be trained; yield it, and those that other processes train."""
    skipped = []
    for cell in cells:
        with claim(cell, folder) as is_free:
            if not is_free:
                skipped.append(cell)
            elif not is_finished(folder / cell.name):
                # It may have finished since the candidates were listed.
                yield cell, tuple(skipped)
                return
    yield None, tuple(skipped)
