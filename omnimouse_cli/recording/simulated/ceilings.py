"""Upper bounds of the scores on a simulated recording, regime by regime."""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.decoder import reference_decode
from omnimouse_cli.recording.simulated.truth import Truth, load_truth

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
WINDOW_ROWS = 60
SCORED_ROWS = 30
INPUT_ROWS = 25
BATCH_WINDOWS = 32
FAMILIES = {"gaze": (0, 1), "pupil": (2, 3), "running": (4,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """Single-trial correlations of the best possible predictions, mean over neurons or channels.

    Args:
        predict: Prediction from stimulus and behavior.
        population: Prediction from stimulus, behavior and shared state.
        forecast: Prediction from the first 25 samples of a window, stimulus and behavior.
        decode: Correlation of the reference decoder for each family of channels; empty for neurons
            with paired inputs, which it does not know.
        windows: Number of two-second windows; their second half is scored.
    """

    predict: float
    population: float
    forecast: float
    decode: dict[str, float]
    windows: int


class _Correlation:
    """Pearson correlation of each column, accumulated batch by batch."""

    def __init__(self, columns: int) -> None:
        self._sums = np.zeros((6, columns))

    def add(self, left: NDArray[Any], right: NDArray[Any]) -> None:
        """Add rows of two arrays whose last axis is that of the columns."""
        columns = self._sums.shape[1]
        x = left.reshape(-1, columns).astype(np.float64)
        y = right.reshape(-1, columns).astype(np.float64)
        self._sums += [
            np.full(columns, len(x)),
            *(v.sum(axis=0) for v in (x, y, x * x, y * y, x * y)),
        ]

    def value(self) -> F64:
        """Return the correlations; 0 for a constant column."""
        n, x, y, xx, yy, xy = self._sums
        spread = np.sqrt(np.maximum((n * xx - x * x) * (n * yy - y * y), 0.0))
        return np.asarray(np.where(spread > 0, (n * xy - x * y) / np.maximum(spread, 1e-30), 0.0))


def _tier_windows(recording_path: Path, responses_start: float, tier: str) -> I64:
    """Return the first rows of windows inside the trials of `tier`, half a window apart."""
    flips = np.load(recording_path / "screen" / "timestamps.npy")
    trials = json.loads((recording_path / "screen" / "combined_meta.json").read_text())
    ordered = list(trials.values())
    starts: list[int] = []
    for trial, after in itertools.pairwise(ordered):
        if trial.get("tier") != tier:
            continue
        begin, end = (flips[each["first_frame_idx"]] - responses_start for each in (trial, after))
        first, last = int(np.ceil(begin * 30)), int(np.floor(end * 30)) - WINDOW_ROWS
        starts += range(first, last + 1, SCORED_ROWS)
    return np.array(starts, dtype=np.int64)


def _score(truth: Truth, responses: NDArray[np.float32], starts: I64) -> Ceilings:
    neurons, channels = responses.shape[1], len(truth.channels)
    scores = {name: _Correlation(neurons) for name in ("predict", "population", "forecast")}
    decode = _Correlation(channels)
    for first in range(0, len(starts), BATCH_WINDOWS):
        start = starts[first : first + BATCH_WINDOWS]
        span = start[:, None] + np.arange(WINDOW_ROWS)
        last_input, rows = span[:, INPUT_ROWS - 1], span[:, -SCORED_ROWS:]
        window = responses[span]
        scored = window[:, -SCORED_ROWS:]
        scores["predict"].add(truth.expected_predict(rows), scored)
        scores["population"].add(truth.expected_population(rows), scored)
        forecast = truth.expected_forecast(last_input, rows, responses[last_input])
        scores["forecast"].add(forecast, scored)
        if truth.has_reference_decoder:
            behavior = truth.behavior[span] * truth.behavior_scale + truth.behavior_center
            decode.add(reference_decode(truth, start, window), behavior)
    values = {name: float(score.value().mean()) for name, score in scores.items()}
    channel = decode.value()
    families = FAMILIES if truth.has_reference_decoder else {}
    found = {name: float(channel[list(which)].mean()) for name, which in families.items()}
    return Ceilings(**values, decode=found, windows=len(starts))


def measure_ceilings(recording_path: Path, tier: str = "test") -> Ceilings:
    """Score the exact expectations of a simulated recording on the windows of a tier.

    Args:
        recording_path: The session folder that `simulate` wrote.
        tier: Tier of the scored trials.
    """
    truth = load_truth(recording_path)
    description = yaml.safe_load((recording_path / "responses" / "meta.yml").read_text())
    responses = np.memmap(
        recording_path / "responses" / "data.mem",
        mode="r",
        dtype=np.float32,
        shape=(description["n_timestamps"], description["n_signals"]),
    )
    starts = _tier_windows(recording_path, description["start_time"], tier)
    return _score(truth, responses, starts)
