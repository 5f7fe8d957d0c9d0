"""Training PSTH: the mean training response to each stimulus at each time since its onset."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from omnimouse_cli.batch.windows import BLANK_KIND, INVALID_KIND
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, F64, I64, Range, SessionReader
from omnimouse_cli.evaluation.stimulus import Phases, in_tiers, is_kind, stimulus_phases
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.evaluation.windows import EvalWindows
from omnimouse_cli.metrics.repeats import sum_by_cell
from omnimouse_cli.shard.intervals import contains

ROWS_AT_ONCE = 2048
MOST_TABLE_VALUES = 60_000_000
# A PSTH is a baseline where at least this share of the scored time has one.
LEAST_KNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Psth:
    """Mean scaled responses in cells: each a bin of time since the onset of one stimulus.

    Args:
        conditions: int64 `(conditions,)`: numbers of the stimuli, ascending.
        bin_samples: Samples of 1/30 s in a bin.
        num_bins: Bins of each stimulus.
        mean: float32 `(conditions * bins, neurons)`: the resting mean where training has no sample.
        counts: float64 `(conditions * bins,)`: training samples of each cell.
        rest: float32 `(neurons,)`: mean where no stimulus was on.
    """

    conditions: I64
    bin_samples: int
    num_bins: int
    mean: F32
    counts: F64
    rest: F32

    def at(self, phases: Phases) -> F32:
        """Return the mean response at phases of any shape: float32 `(*shape, neurons)`."""
        cell = _cells(phases, self.conditions, self.bin_samples, self.num_bins)
        values: F32 = self.mean[cell]
        values[cell < 0] = self.rest
        return values


def predict_psth(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Predict the mean training response to what is on the screen.

    Returns:
        The predictions; a reason where training did not show the scored stimuli; None without the
        stimulus among the inputs, or for behavior.
    """
    if "stimulus" not in targets.inputs or targets.is_behavior:
        return None
    psth = compute_psth(targets.reader, targets.windows, targets.samples, tiers)
    return psth if isinstance(psth, str) else look_up(psth, targets)


def look_up(psth: Psth, targets: Targets) -> Iterator[Piece]:
    """Yield the mean responses to what the scored samples show."""
    for windows in targets.window_slices():
        values = psth.at(targets.phases(targets.windows.grid[windows]))
        yield Piece(windows, slice(None), values[..., targets.outputs])


# The baselines of a session share it: it reads all training responses.
@lru_cache(maxsize=2)
def compute_psth(
    reader: SessionReader,
    windows: EvalWindows,
    samples: Range,
    tiers: tuple[str, ...],
    *,
    end_seconds: float | None = None,
) -> Psth | str:
    """Average training responses by the stimuli that the scored samples show.

    Args:
        reader: The session.
        windows: The scored windows.
        samples: Their scored samples.
        tiers: Training tiers.
        end_seconds: End of the training time that is averaged; None averages all of it.

    Returns:
        The PSTH, or the reason why there is none.
    """
    rows, phases = _training_rows(reader, tiers, end_seconds)
    scored = stimulus_phases(reader.shard, reader.sample_seconds(windows.grid, samples))
    on = scored.condition >= 0
    conditions = np.intersect1d(phases.condition[phases.condition >= 0], scored.condition[on])
    if not len(conditions):
        return "no stimulus of the scored trials was shown in training"
    known = np.isin(scored.condition, conditions)
    share = float((known | ~on).mean())
    if share < LEAST_KNOWN_SHARE:
        return f"only {share:.0%} of the scored time shows stimuli that were shown in training"
    longest = int(scored.bin[known].max()) + 1
    per_bin = len(conditions) * reader.session.num_neurons
    bin_samples = -(-longest * per_bin // MOST_TABLE_VALUES)
    num_bins = -(-longest // bin_samples)
    cell = _cells(phases, conditions, bin_samples, num_bins)
    # One cell more gathers the time without a stimulus.
    num_cells = len(conditions) * num_bins + 1
    cell[phases.condition < 0] = num_cells - 1
    mean, rest = _average(reader, rows, cell, num_cells)
    return Psth(
        conditions=conditions,
        bin_samples=bin_samples,
        num_bins=num_bins,
        mean=mean,
        counts=np.bincount(cell[cell >= 0], minlength=num_cells)[:-1].astype(np.float64),
        rest=rest,
    )


def _cells(phases: Phases, conditions: I64, bin_samples: int, num_bins: int) -> I64:
    """Number the cell of each phase; -1 where there is none."""
    position = np.searchsorted(conditions, phases.condition)
    position = np.minimum(position, len(conditions) - 1)
    bins = phases.bin // bin_samples
    known = (conditions[position] == phases.condition) & (bins < num_bins)
    return np.where(known, position * num_bins + bins, -1)


def _training_rows(
    reader: SessionReader, tiers: tuple[str, ...], end_seconds: float | None
) -> tuple[I64, Phases]:
    """Rows of the response clock in valid training time, and the stimulus of each."""
    shard, trials = reader.shard, reader.shard.trials
    clock = shard.description.responses.clock
    rows = np.arange(clock.num_samples)
    seconds = clock.start_seconds + rows / clock.rate_hz
    trial = np.searchsorted(trials.start_seconds, seconds, side="right") - 1
    allowed = in_tiers(shard, tiers) & ~is_kind(shard, INVALID_KIND)
    phases = stimulus_phases(shard, seconds)
    # The response to a training trial may outlast it, into a blank without a tier of its own.
    of_training = (phases.trial >= 0) & allowed[phases.trial]
    blank = (trials.tier == -1) & is_kind(shard, BLANK_KIND)
    kept = (trial >= 0) & (allowed[trial] | (blank[trial] & of_training))
    kept &= contains(shard.valid("responses"), seconds)
    if end_seconds is not None:
        kept &= seconds < end_seconds
    return rows[kept], Phases(
        condition=phases.condition[kept], trial=phases.trial[kept], bin=phases.bin[kept]
    )


def _average(reader: SessionReader, rows: I64, cell: I64, num_cells: int) -> tuple[F32, F32]:
    """Average the responses of rows by cell; return `mean` and `rest` of a PSTH."""
    num_neurons = reader.session.num_neurons
    sums, counts = np.zeros((num_cells, num_neurons), np.float32), np.zeros(num_cells)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        chosen = slice(first, first + ROWS_AT_ONCE)
        kept = cell[chosen] >= 0
        if not kept.any():
            continue
        cells, kept_rows = cell[chosen][kept], rows[chosen][kept]
        # The recording's own samples, not windows: a PSTH needs no grid of 1/30 s.
        begin, last = int(kept_rows[0]), int(kept_rows[-1])
        values = reader.shard.read_responses(begin, last + 1)[kept_rows - begin]
        values = (values - reader.shift) / reader.scale
        numbers, cell_sums = sum_by_cell(cells, values)
        sums[numbers] += cell_sums
        counts += np.bincount(cells, minlength=num_cells)
    total = max(counts.sum(), 1.0)
    rest = sums[-1] / counts[-1] if counts[-1] else sums.sum(axis=0) / total
    seen = counts[:-1] > 0
    mean = np.broadcast_to(rest, (num_cells - 1, num_neurons)).astype(np.float32)
    mean[seen] = sums[:-1][seen] / counts[:-1][seen, None]
    return mean, rest.astype(np.float32)
