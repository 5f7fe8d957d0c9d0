"""The best score that is possible: known where a recording is simulated."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnimouse_cli.config.data import (
    BEHAVIOR_RATE_HZ,
    NUM_BEHAVIOR_SAMPLES,
    NUM_RESPONSE_SAMPLES,
    RESPONSE_RATE_HZ,
)
from omnimouse_cli.evaluate.baselines.simple import last_seen_sample, window_pieces
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.signals import F32, I64
from omnimouse_cli.evaluate.targets import Asked
from omnimouse_cli.recording.simulated.decoder import reference_decode
from omnimouse_cli.recording.simulated.truth import Truth, has_truth, load_truth

WHOLE_WINDOW = (0, NUM_RESPONSE_SAMPLES)


def known_truth(asked: Asked) -> Truth | None:
    """The known answer of a simulated recording, where the recording is still there."""
    source = Path(asked.signals.shard.description.source.path)
    return load_truth(source) if has_truth(source) else None


def ceiling_problem(asked: Asked) -> str | None:
    """Why a row has no known ceiling even where the answer is known; None if it has one."""
    strategy = asked.strategy
    if asked.behavior:
        if strategy.prefix != WHOLE_WINDOW or strategy.num_visible is not None:
            return "the best decoder is known only where all responses of the window are seen"
        return None
    if strategy.full_population_prefix and strategy.num_visible is not None:
        return "the best prediction from everyone's past and some neurons' present is not known"
    return None


def predict_ceiling(asked: Asked, truth: Truth) -> Iterator[Piece]:
    """Predict what could be expected of every sample, given all that the row may see."""
    for windows in window_pieces(asked):
        grid = asked.windows.grid[windows]
        values = _behavior(asked, truth, grid) if asked.behavior else _responses(asked, truth, grid)
        yield Piece(windows=windows, outputs=slice(None), values=values)


def _behavior(asked: Asked, truth: Truth, grid: I64) -> F32:
    signals = asked.signals
    first_row = signals.rows(grid, (0, 1))[:, 0]
    decoded = reference_decode(truth, first_row, signals.raw_responses(grid, WHOLE_WINDOW))
    held = np.arange(NUM_BEHAVIOR_SAMPLES) * RESPONSE_RATE_HZ / BEHAVIOR_RATE_HZ
    values = decoded[:, held.astype(np.int64)]
    columns = [truth.channels.index(name) for name in signals.channels]
    scaled = np.empty((*values.shape[:2], len(columns)), np.float32)
    for device in signals.shard.description.behavior:
        for number, name in enumerate(device.channels):
            if name not in signals.channels:
                continue
            position = signals.channels.index(name)
            raw = values[:, :, columns[position]]
            scaled[:, :, position] = (raw - device.mean[number]) / device.std[number]
    return scaled


def _responses(asked: Asked, truth: Truth, grid: I64) -> F32:
    signals, strategy = asked.signals, asked.strategy
    rows = signals.rows(grid, asked.samples)
    last_seen = last_seen_sample(asked)
    if last_seen is not None:
        seen = signals.rows(grid, (last_seen, last_seen + 1))[:, 0]
        raw = signals.raw_responses(grid, (last_seen, last_seen + 1))[:, 0]
        expected = truth.expected_forecast(seen, rows, raw)
    elif strategy.prefix is not None:
        expected = truth.expected_population(rows)
    else:
        expected = truth.expected_predict(rows)
    scaled: F32 = ((expected - signals.shift) / signals.scale)[..., asked.columns]
    return scaled.astype(np.float32)
