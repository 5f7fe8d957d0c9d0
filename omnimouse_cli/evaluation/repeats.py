"""Which scored samples are repeats: the same moment of a stimulus after the same context."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.batch.windows import BLANK_KIND
from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.evaluation.stimulus import (
    AFTERMATH_SECONDS,
    F64,
    I64,
    Phases,
    is_kind,
    stimulus_phases,
)
from omnimouse_cli.recording.recording import FLIP_TOLERANCE_SECONDS
from omnimouse_cli.shard import Shard

# The stimulus that a response depends on: the second that a model sees before the first sample that
# it predicts, and what a calcium response keeps of the time before.
CONTEXT_SECONDS = 1.0 + AFTERMATH_SECONDS
STEP_SECONDS = 0.1
NUM_STEPS = round(CONTEXT_SECONDS / STEP_SECONDS)
# Repeats of a movie are cut at the same frame, which appears up to some frames earlier or later.
TOLERANCE_SECONDS = 0.1
# A noise ceiling bounds a score if at least this share of what is scored is repeated, context
# included; and repeats count if this share of them has the same context.
LEAST_REPEATED_SHARE = 0.8
# Codes of what is on the screen without a named stimulus.
UNKNOWN, BLANK = -2, -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepeatCells:
    """Samples of windows in cells: a cell is one time point of a stimulus shown more than once.

    Args:
        cells: int64 `(windows, samples)`: number of the cell, -1 for what was not repeated and for
            what the window before scores.
        num_cells: Number of cells.
        num_samples: Number of samples without those that the window before scores.
        context_cells: int64 `(windows, samples)`: number of the cell among samples before which the
            stimulus of the last `CONTEXT_SECONDS` was the same too, -1 for all others.
        trial: int64 `(windows, samples)`: number of the trial.
    """

    cells: I64
    num_cells: int
    num_samples: int
    context_cells: I64
    trial: I64

    @property
    def num_repeated(self) -> int:
        """Number of samples that are repeated with their context."""
        return int((self.context_cells >= 0).sum())

    @property
    def context_share(self) -> float:
        """Share of the samples of repeated stimuli that are repeated with their context."""
        return self.num_repeated / max(int((self.cells >= 0).sum()), 1)

    @property
    def covers_most(self) -> bool:
        """Whether most samples are repeated, so that a noise ceiling bounds the score."""
        return 0 < self.num_repeated >= LEAST_REPEATED_SHARE * self.num_samples


def find_repeats(
    shard: Shard, times: F64, *, scored_before: NDArray[np.bool_] | None = None
) -> RepeatCells | None:
    """Find the repeats among scored samples.

    Args:
        shard: The session.
        times: float64 `(windows, samples)`; no time twice but where `scored_before`.
        scored_before: Bool `(windows, samples)`: what the window before scores; None if nothing.

    Returns:
        The cells; None where no stimulus was shown twice.
    """
    phases = stimulus_phases(shard, times)
    on = phases.condition >= 0
    if scored_before is not None:
        on &= ~scored_before
    length = int(phases.bin[on].max(initial=0)) + 1
    cells = _number(phases.condition * length + phases.bin, phases.condition, phases.trial, on)
    if not (cells >= 0).any():
        return None
    context_cells = np.full(times.shape, -1, np.int64)
    repeated = cells >= 0
    leader, after = _context_leaders(shard, phases, repeated)
    # Rows of slow scans fall on other samples in each repeat: a time point lasts as long as a row.
    row_samples = max(1.0, RESPONSE_RATE_HZ / shard.description.responses.clock.rate_hz)
    moment = np.floor((phases.bin[repeated] + 1e-6) / row_samples).astype(np.int64)
    key = (leader * 2 + after) * length + moment
    trial = phases.trial[repeated]
    once = np.zeros(len(key), np.bool_)
    once[np.unique(np.stack([key, trial]), axis=1, return_index=True)[1]] = True
    context_cells[repeated] = _number(key, key, trial, once)
    return RepeatCells(
        cells=cells,
        num_cells=int(cells.max()) + 1,
        num_samples=times.size - (0 if scored_before is None else int(scored_before.sum())),
        context_cells=context_cells,
        trial=phases.trial,
    )


def _number(key: I64, group: I64, trial: I64, on: NDArray[np.bool_]) -> I64:
    """Number the keys of samples whose group occurs in two trials or more; -1 for all others."""
    cells = np.full(key.shape, -1, np.int64)
    pairs = np.unique(np.stack([group[on], trial[on]]), axis=1)
    groups, count = np.unique(pairs[0], return_counts=True)
    kept = on & np.isin(group, groups[count >= 2])
    cells[kept] = np.unique(key[kept], return_inverse=True)[1]
    return cells


def _context_leaders(
    shard: Shard, phases: Phases, chosen: NDArray[np.bool_]
) -> tuple[I64, NDArray[np.bool_]]:
    """Return the first trial with the context of each sample, and whether its stimulus is over.

    Args:
        shard: The session.
        phases: Of all samples.
        chosen: Which samples, `(windows, samples)`; their order is that of the results.
    """
    trials, row = np.unique(phases.trial[chosen], return_inverse=True)
    bins = phases.bin[chosen]
    duration = (shard.trials.end_seconds - shard.trials.start_seconds)[trials]
    after = bins > np.round(duration[row] * RESPONSE_RATE_HZ) - 1
    # Steps of the context that lie before the onset of the sample's own stimulus.
    missing = np.ceil((CONTEXT_SECONDS - bins / RESPONSE_RATE_HZ) / STEP_SECONDS - 1e-6)
    steps = np.clip(missing, 0, NUM_STEPS).astype(np.int64)
    return trials[_leaders(shard, trials, duration)[after.astype(np.int64), row, steps]], after


def _leaders(shard: Shard, trials: I64, duration: F64) -> I64:
    """Return int64 `(2, trials, steps + 1)`: row of the first trial that was preceded by the same.

    For each trial it is the first of the same stimulus before which the screen showed the same for
    a number of steps; in the second part, whose stimulus also lasted as long.
    """
    table = shard.trials
    condition = table.condition[trials]
    before = table.start_seconds[trials][:, None] - STEP_SECONDS * (np.arange(NUM_STEPS) + 0.5)
    content, elapsed = _shown(shard, before)
    leaders = np.empty((2, len(trials), NUM_STEPS + 1), np.int64)
    for row in range(len(trials)):
        same = np.flatnonzero(condition[: row + 1] == condition[row])
        equal = (content[same] == content[row]) & (content[row] != UNKNOWN)
        shifted = np.abs(elapsed[same] - elapsed[row]) > TOLERANCE_SECONDS
        equal &= ~shifted | (content[row] == BLANK)
        num_equal = np.cumprod(equal, axis=1).sum(axis=1)
        num_equal[-1] = NUM_STEPS
        lasts = np.abs(duration[same] - duration[row]) <= TOLERANCE_SECONDS
        for part, allowed in enumerate((num_equal, np.where(lasts, num_equal, -1))):
            first = (allowed[:, None] >= np.arange(NUM_STEPS + 1)).argmax(axis=0)
            leaders[part, row] = same[first]
    return leaders


def _shown(shard: Shard, times: F64) -> tuple[I64, F64]:
    """Return what was on the screen at times: the number of the stimulus, and for how long."""
    trials = shard.trials
    if shard.description.windows_within_trials or not len(trials.start_seconds):
        # Trials of such recordings do not follow each other in time.
        return np.full(times.shape, UNKNOWN, np.int64), np.zeros(times.shape)
    held = times + FLIP_TOLERANCE_SECONDS
    trial = np.searchsorted(trials.start_seconds, held, side="right") - 1
    on = (trial >= 0) & (held < trials.end_seconds[trial] + TOLERANCE_SECONDS)
    named = np.where(trials.condition[trial] >= 0, trials.condition[trial], UNKNOWN)
    content = np.where(is_kind(shard, BLANK_KIND)[trial], BLANK, named)
    return np.where(on, content, UNKNOWN).astype(np.int64), held - trials.start_seconds[trial]
