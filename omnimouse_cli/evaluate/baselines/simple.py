"""Predictors that learn nothing or nearly nothing: the training mean, and persistence."""

from collections.abc import Iterator

import numpy as np

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.signals import F32
from omnimouse_cli.evaluate.targets import Asked

WINDOWS_AT_ONCE = 32


def window_pieces(asked: Asked, windows_at_once: int = WINDOWS_AT_ONCE) -> Iterator[slice]:
    """Cut the evaluated windows into pieces of a bearable size."""
    for first in range(0, len(asked.windows), windows_at_once):
        yield slice(first, min(first + windows_at_once, len(asked.windows)))


def training_mean(asked: Asked) -> F32:
    """Mean of every output over the training trials, as scaled as the truth: `(outputs,)`."""
    signals = asked.signals
    if asked.behavior:
        # Behavior is scaled by its mean over the training trials.
        return np.zeros(asked.num_outputs, np.float32)
    mean = np.nan_to_num(np.asarray(signals.shard.neuron_mean, np.float32))
    scaled: F32 = (mean - signals.shift) / signals.scale
    return scaled[asked.columns]


def predict_train_mean(asked: Asked) -> Iterator[Piece]:
    """Predict each output's mean over the training trials, always."""
    mean = training_mean(asked)
    for windows in window_pieces(asked):
        shape = (windows.stop - windows.start, asked.num_samples, asked.num_outputs)
        yield Piece(
            windows=windows, outputs=slice(None), values=np.broadcast_to(mean, shape).copy()
        )


def last_seen_sample(asked: Asked) -> int | None:
    """The last sample before the asked ones at which all asked neurons are seen, if any is."""
    strategy: Strategy = asked.strategy
    if asked.behavior or strategy.prefix is None:
        return None
    all_seen = asked.selection.num_shared == asked.num_outputs
    last = (strategy.visible_range if all_seen else strategy.full_population_range)[1] - 1
    first = (strategy.visible_range if all_seen else strategy.full_population_range)[0]
    last = min(last, asked.samples[0] - 1)
    return last if last >= first else None


def predict_persistence(asked: Asked, last_seen: int) -> Iterator[Piece]:
    """Hold the last visible sample of every asked neuron."""
    for windows in window_pieces(asked):
        grid = asked.windows.grid[windows]
        held = asked.signals.responses(grid, (last_seen, last_seen + 1), asked.columns)
        yield Piece(
            windows=windows,
            outputs=slice(None),
            values=np.repeat(held, asked.num_samples, axis=1),
        )
