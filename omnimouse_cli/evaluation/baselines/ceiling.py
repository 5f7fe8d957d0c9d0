"""The noise ceiling of a simulated recording: the best prediction that its inputs allow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omnimouse_cli.config.data import NUM_RESPONSE_SAMPLES
from omnimouse_cli.evaluation.baselines.bins import RESPONSES_AT_BEHAVIOR
from omnimouse_cli.evaluation.baselines.persistence import last_visible_sample
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, I64, Range
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.recording.simulated.decoder import reference_decode
from omnimouse_cli.recording.simulated.truth import Truth, has_truth, load_truth

WHOLE_WINDOW = (0, NUM_RESPONSE_SAMPLES)


def predict_ceiling(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:  # noqa: ARG001 - the signature of predictors
    """Predict the expectation of every sample given all that the strategy shows.

    Returns:
        The predictions; a reason where the best prediction is not known; None where the recording
        was not simulated or is gone.
    """
    source = Path(targets.reader.shard.description.source.path)
    if not has_truth(source):
        return None
    strategy = targets.strategy
    if strategy.behavior_range != WHOLE_WINDOW or (strategy.video or WHOLE_WINDOW) != WHOLE_WINDOW:
        return "the best prediction from the frames and the behavior of the past alone is not known"
    if targets.is_behavior:
        if strategy.prefix != WHOLE_WINDOW or strategy.num_visible is not None:
            return "the best decoder is known only where all responses of the window are seen"
    elif strategy.full_population_prefix and strategy.num_visible is not None:
        return "the best prediction from everyone's past and some neurons' present is not known"
    truth = load_truth(source)
    if targets.is_behavior and not truth.has_reference_decoder:
        return "no decoder is known for neurons that add or multiply behavioral signals"
    return _expectations(targets, truth)


def _expectations(targets: Targets, truth: Truth) -> Iterator[Piece]:
    expect = _expected_behavior if targets.is_behavior else _expected_responses
    for windows in targets.window_slices():
        values = expect(targets, truth, targets.windows.grid[windows])
        yield Piece(windows, slice(None), values)


def _expected_behavior(targets: Targets, truth: Truth, grid: I64) -> F32:
    reader = targets.reader
    first_row = _response_rows(targets, grid, (0, 1))[:, 0]
    decoded = reference_decode(truth, first_row, _unscaled_responses(targets, grid, WHOLE_WINDOW))
    values = decoded[:, RESPONSES_AT_BEHAVIOR]
    scaled = np.empty((*values.shape[:2], len(reader.channels)), np.float32)
    for device in reader.shard.description.behavior:
        for name, mean, std in zip(device.channels, device.mean, device.std, strict=True):
            if name in reader.channels:
                column = values[:, :, truth.channels.index(name)]
                scaled[:, :, reader.channels.index(name)] = (column - mean) / std
    return scaled


def _expected_responses(targets: Targets, truth: Truth, grid: I64) -> F32:
    reader = targets.reader
    rows = _response_rows(targets, grid, targets.samples)
    last = last_visible_sample(targets)
    if last is not None:
        last_row = _response_rows(targets, grid, (last, last + 1))[:, 0]
        last_responses = _unscaled_responses(targets, grid, (last, last + 1))[:, 0]
        expected = truth.expected_forecast(last_row, rows, last_responses)
    elif targets.strategy.prefix is not None:
        expected = truth.expected_population(rows)
    else:
        expected = truth.expected_predict(rows)
    scaled: F32 = ((expected - reader.shift) / reader.scale)[..., targets.outputs]
    return scaled.astype(np.float32)


def _response_rows(targets: Targets, grid: I64, samples: Range) -> I64:
    clock = targets.reader.shard.description.responses.clock
    return clock.row_at(targets.reader.sample_seconds(grid, samples))


def _unscaled_responses(targets: Targets, grid: I64, samples: Range) -> F32:
    reader = targets.reader
    values: F32 = reader.responses(grid, samples) * reader.scale + reader.shift
    return values
