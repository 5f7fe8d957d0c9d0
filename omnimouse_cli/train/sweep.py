"""A sweep: the grid of runs for a scaling law, sizes x nested subsets of sessions x seeds."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omnimouse_cli.batch.dataset import Dataset
from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import ConfigError
from omnimouse_cli.run.folder import is_finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a sweep.

    Args:
        model: Name of the model size.
        num_sessions: Number of sessions, taken from the start of the data set.
        seed: Seed of the run.
    """

    model: str
    num_sessions: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder inside the sweep's folder."""
        return f"{self.model}-sessions{self.num_sessions}-seed{self.seed}"


def grid(models: Sequence[str], sessions: Sequence[int], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """Return every combination, the cheapest first: few sessions before many, seed by seed.

    Args:
        models: Names of model sizes, in the order in which they are trained.
        sessions: Number of sessions of each subset, in any order.
        seeds: Seeds of the runs.

    Example:
        >>> [cell.name for cell in grid(["nano"], [2, 1], [7])]
        ['nano-sessions1-seed7', 'nano-sessions2-seed7']
    """
    return tuple(
        Cell(model=model, num_sessions=count, seed=seed)
        for seed, count, model in itertools.product(
            dict.fromkeys(seeds), sorted(set(sessions)), dict.fromkeys(models)
        )
    )


def build_cell_config(cell: Cell, config: RunConfig, dataset: Dataset, smallest: int) -> RunConfig:
    """Return the configuration of one run of a sweep.

    Args:
        cell: The run.
        config: Configuration for the cell's model size; sessions and seed are replaced.
        dataset: All sessions; the run takes the first ones.
        smallest: Number of sessions of the smallest subset. All runs validate on these, so that
            their losses are comparable.

    Raises:
        ConfigError: The data set has fewer sessions than the run needs.
    """
    keys = [session.key for session in dataset.sessions]
    if cell.num_sessions > len(keys):
        raise ConfigError(
            f"a run of the sweep needs {cell.num_sessions} sessions and {dataset.folder} has "
            f"{len(keys)}",
            hint=f"use --sessions with numbers up to {len(keys)}",
        )
    train = config.train
    if train.validation_sessions is None:
        train = dataclasses.replace(train, validation_sessions=tuple(keys[:smallest]))
    return dataclasses.replace(
        config,
        seed=cell.seed,
        data=dataclasses.replace(
            config.data, sessions=tuple(keys[: cell.num_sessions]), max_sessions=None
        ),
        train=train,
    )


def unfinished(cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Return the cells whose run has not finished."""
    return [cell for cell in cells if not is_finished(folder / cell.name)]
