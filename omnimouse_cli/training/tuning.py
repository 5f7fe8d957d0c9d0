"""Learning rates of the sizes of a sweep: a few are tried for each, and the best is kept."""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omnimouse_cli.config.run import RunConfig
from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.files import write_text
from omnimouse_cli.run.folder import is_finished, read_summary
from omnimouse_cli.training.sweep import Cell

# Factors of the learning rates of the configuration, of the core and of session embeddings alike.
FACTORS = (0.5, 1.0, 2.0)
RATES = "learning_rates.json"


def tuning_grid(models: Sequence[str], num_sessions: int, seed: int) -> tuple[Cell, ...]:
    """Return a run for each size and factor, all with the same sessions and seed."""
    return tuple(
        Cell(model=model, num_sessions=num_sessions, seed=seed, rate_factor=factor)
        for model in dict.fromkeys(models)
        for factor in FACTORS
    )


def scale_rates(config: RunConfig, factor: float) -> RunConfig:
    """Return a configuration with its learning rates times a factor."""
    train = config.train
    return dataclasses.replace(
        config,
        train=dataclasses.replace(
            train,
            learning_rate=train.learning_rate * factor,
            table_learning_rate=train.table_learning_rate * factor,
        ),
    )


def choose_factors(cells: Sequence[Cell], folder: Path) -> dict[str, float]:
    """Return the factor with the lowest validation loss for each size whose runs have finished.

    Args:
        cells: The tuning runs.
        folder: Their folder.
    """
    losses: dict[str, dict[float, float | None]] = {}
    for cell in cells:
        factor = cell.rate_factor or 1.0
        run = folder / cell.name
        losses.setdefault(cell.model, {})[factor] = _read_loss(run) if is_finished(run) else None
    complete = {
        model: {factor: loss for factor, loss in of_model.items() if loss is not None}
        for model, of_model in losses.items()
        if None not in of_model.values()
    }
    return {
        model: min(of_model, key=of_model.__getitem__)
        for model, of_model in complete.items()
        if min(of_model.values()) < math.inf
    }


def _read_loss(run: Path) -> float:
    """Return the validation loss of a run; infinite where there is none."""
    found = read_summary(run)["validation"]["neural_loss"]
    return float(found) if found is not None and math.isfinite(found) else math.inf


def write_factors(root: Path, factors: Mapping[str, float]) -> Path:
    """Write the factors of a sweep's sizes beside those of other sizes, and return the file."""
    path = root / RATES
    write_text(path, json.dumps({**read_factors(root), **factors}, indent=1) + "\n")
    return path


def read_factors(root: Path) -> dict[str, float]:
    """Return the factor of the learning rates of each size that was tuned in a sweep.

    Raises:
        OmniMouseError: The file was damaged.
    """
    path = root / RATES
    try:
        found: Any = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise _damaged(path) from error
    is_valid = isinstance(found, dict) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        for value in found.values()
    )
    if not is_valid:
        raise _damaged(path)
    return {name: float(value) for name, value in found.items()}


def _damaged(path: Path) -> OmniMouseError:
    return OmniMouseError(
        f"{path} does not hold a factor of the learning rates for each size",
        hint="delete it and run: omnimouse sweep --tune",
    )
