"""The mean training response to each stimulus at each time since it appeared, as a predictor."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.windows import BLANK_KIND, INVALID_KIND
from omnimouse_cli.evaluate.baselines.simple import window_pieces
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.signals import F32, I64, SessionSignals
from omnimouse_cli.evaluate.stimulus import Phases, stimulus_phases
from omnimouse_cli.evaluate.targets import Asked

ROWS_AT_ONCE = 2048
MOST_TABLE_VALUES = 60_000_000
# A trial average is a baseline where at least this share of the scored time has one.
LEAST_KNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrialAverages:
    """Mean scaled responses per stimulus and time since it appeared.

    Args:
        cells: How stimuli and times are numbered.
        mean: float32 `(cells, neurons)`, the resting mean where a cell was never seen.
        rest: float32 `(neurons,)`: mean where no stimulus was on.
    """

    cells: "_Cells"
    mean: F32
    rest: F32

    def at(self, phases: Phases) -> F32:
        """The mean response at phases of any shape: float32 `(*shape, neurons)`."""
        cell = self.cells.of(phases)
        values: F32 = self.mean[cell]
        values[cell < 0] = self.rest
        return values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cells:
    """How stimuli and times since they appeared are numbered."""

    conditions: I64
    bin_samples: int
    num_bins: int

    def of(self, phases: Phases) -> I64:
        """The number of each phase's cell, -1 where it has none."""
        position = np.searchsorted(self.conditions, phases.condition)
        position = np.minimum(position, len(self.conditions) - 1)
        bins = phases.bin // self.bin_samples
        known = (self.conditions[position] == phases.condition) & (bins < self.num_bins)
        return np.where(known, position * self.num_bins + bins, -1)


def trial_averages(
    signals: SessionSignals, tiers: tuple[str, ...], wanted: Phases
) -> TrialAverages | str:
    """Average training responses by the stimuli that the scored samples need.

    Args:
        signals: The session.
        tiers: Training tiers.
        wanted: Stimuli of the scored samples.

    Returns:
        The averages, or the reason why there are none.
    """
    rows, phases = _training_rows(signals, tiers)
    on = wanted.condition >= 0
    conditions = np.intersect1d(phases.condition[phases.condition >= 0], wanted.condition[on])
    if not len(conditions):
        return "no stimulus of the scored trials was shown in training"
    share = float((np.isin(wanted.condition, conditions) | ~on).mean())
    if share < LEAST_KNOWN_SHARE:
        return f"only {share:.0%} of the scored time shows stimuli that were shown in training"
    needed = np.isin(wanted.condition, conditions)
    longest = int(wanted.bin[needed].max()) + 1
    per_bin = len(conditions) * signals.session.num_neurons
    bin_samples = -(-longest * per_bin // MOST_TABLE_VALUES)
    num_bins = -(-longest // bin_samples)
    cells = _Cells(conditions=conditions, bin_samples=bin_samples, num_bins=num_bins)
    return _averaged(signals, rows, phases, cells)


def predict_psth(asked: Asked, averages: TrialAverages) -> Iterator[Piece]:
    """Predict the mean training response to what is on the screen."""
    for windows in window_pieces(asked):
        times = asked.signals.times(asked.windows.grid[windows], asked.samples)
        phases = stimulus_phases(asked.signals.shard, times)
        yield Piece(
            windows=windows,
            outputs=slice(None),
            values=averages.at(phases)[..., asked.columns],
        )


def _training_rows(signals: SessionSignals, tiers: tuple[str, ...]) -> tuple[I64, Phases]:
    """Rows of the response clock in valid training time, and the stimulus of each."""
    shard = signals.shard
    description, trials = shard.description, shard.trials
    clock = description.responses.clock
    rows = np.arange(clock.num_samples)
    times = clock.start_seconds + rows / clock.rate_hz
    trial = np.searchsorted(trials.start_seconds, times, side="right") - 1
    numbers = [description.tiers.index(tier) for tier in tiers if tier in description.tiers]
    allowed = np.isin(trials.tier, numbers)
    allowed &= trials.kind != _number(description.kinds, INVALID_KIND)
    phases = stimulus_phases(shard, times)
    # The aftermath of a training trial may be a blank that has no tier of its own.
    of_training = (phases.trial >= 0) & allowed[phases.trial]
    blank = (trials.tier == -1) & (trials.kind == _number(description.kinds, BLANK_KIND))
    kept = (trial >= 0) & (allowed[trial] | (blank[trial] & of_training))
    kept &= _inside(shard.valid("responses"), times)
    return rows[kept], Phases(
        condition=phases.condition[kept], trial=phases.trial[kept], bin=phases.bin[kept]
    )


def _number(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else -2


def _inside(intervals: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.bool_]:
    if not len(intervals):
        return np.zeros(times.shape, np.bool_)
    number = np.searchsorted(intervals[:, 0], times, side="right") - 1
    inside: NDArray[np.bool_] = (number >= 0) & (times < intervals[np.maximum(number, 0), 1])
    return inside


def _averaged(signals: SessionSignals, rows: I64, phases: Phases, cells: _Cells) -> TrialAverages:
    neurons = signals.session.num_neurons
    # The last cell gathers the time without a stimulus.
    num_cells = len(cells.conditions) * cells.num_bins + 1
    sums, counts = np.zeros((num_cells, neurons), np.float32), np.zeros(num_cells)
    cell = cells.of(phases)
    cell[phases.condition < 0] = num_cells - 1
    for first in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        kept = cell[part] >= 0
        if kept.any():
            _add(sums, counts, cell[part][kept], _read(signals, rows[part][kept]))
    total = max(counts.sum(), 1.0)
    rest = sums[-1] / counts[-1] if counts[-1] else sums.sum(axis=0) / total
    seen = counts[:-1] > 0
    mean = np.broadcast_to(rest, (num_cells - 1, neurons)).astype(np.float32)
    mean[seen] = sums[:-1][seen] / counts[:-1][seen, None]
    return TrialAverages(
        cells=cells,
        mean=mean,
        rest=rest.astype(np.float32),
    )


def _read(signals: SessionSignals, rows: I64) -> F32:
    first, last = int(rows[0]), int(rows[-1])
    values: F32 = signals.shard.read_responses(first, last + 1)[rows - first]
    scaled: F32 = (values - signals.shift) / signals.scale
    return scaled


def _add(sums: F32, counts: NDArray[np.float64], cells: I64, values: F32) -> None:
    order = np.argsort(cells, kind="stable")
    numbers, first = np.unique(cells[order], return_index=True)
    sums[numbers] += np.add.reduceat(values[order], first, axis=0)
    counts[numbers] += np.diff(np.append(first, len(order)))
