"""Persistence: each neuron stays at its last visible sample."""

from collections.abc import Iterator

import numpy as np

from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.targets import Targets


def predict_persistence(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | None:  # noqa: ARG001 - the signature of predictors
    """Hold the last visible sample of every target neuron.

    Returns:
        The predictions; None where no target neuron is visible before the targets.
    """
    sample = last_visible_sample(targets)
    return None if sample is None else _hold(targets, sample)


def last_visible_sample(targets: Targets) -> int | None:
    """Return the last sample before the targets in which all target neurons are visible."""
    strategy = targets.strategy
    if targets.is_behavior or strategy.prefix is None:
        return None
    all_visible = targets.selection.num_shared == targets.num_outputs
    first, end = strategy.visible_range if all_visible else strategy.full_population_range
    last = min(end - 1, targets.samples[0] - 1)
    return last if last >= first else None


def _hold(targets: Targets, sample: int) -> Iterator[Piece]:
    for windows in targets.window_slices():
        grid = targets.windows.grid[windows]
        held = targets.reader.responses(grid, (sample, sample + 1), targets.outputs)
        yield Piece(windows, slice(None), np.repeat(held, targets.num_samples, axis=1))
