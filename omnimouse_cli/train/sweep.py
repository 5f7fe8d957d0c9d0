"""The grid of runs that a scaling law needs: sizes times nested subsets of sessions times seeds."""

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
        model: Name of the size.
        num_sessions: The first so many of the data set.
        seed: Of the run.
    """

    model: str
    num_sessions: int
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder in the sweep's."""
        return f"{self.model}-sessions{self.num_sessions}-seed{self.seed}"


def grid(models: Sequence[str], sessions: Sequence[int], seeds: Sequence[int]) -> tuple[Cell, ...]:
    """Give every combination, the cheapest first: few sessions before many, seed after seed.

    Args:
        models: Names of sizes, in the order in which they are trained.
        sessions: Numbers of sessions.
        seeds: Seeds.

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


def config_of_cell(cell: Cell, config: RunConfig, dataset: Dataset, smallest: int) -> RunConfig:
    """Give the configuration of one run.

    Args:
        cell: Which run.
        config: Of a run of the cell's size, for everything that the cell does not say.
        dataset: All sessions that the sweep draws subsets of.
        smallest: Sessions of the smallest subset: all runs validate on these, so that their losses
            are of the same windows.

    Raises:
        ConfigError: The data set has fewer sessions.
    """
    keys = [session.key for session in dataset.sessions]
    if cell.num_sessions > len(keys):
        raise ConfigError(
            f"a run on {cell.num_sessions} sessions needs as many and {dataset.folder} has "
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
    """Give the cells whose run has not finished yet."""
    return [cell for cell in cells if not is_finished(folder / cell.name)]
