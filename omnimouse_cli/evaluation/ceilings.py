"""Noise ceilings from repeats of a stimulus, and a predictor's scores relative to them."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from omnimouse_cli.evaluation.records import (
    CC_MAX,
    CC_NORM,
    CEILING,
    FEVE,
    FRACTION,
    ORACLE,
    OVER_STIMULI,
    OVER_TRIALS,
    REPEATS,
    SINGLE_TRIAL,
)
from omnimouse_cli.evaluation.repeats import CONTEXT_SECONDS, LEAST_REPEATED_SHARE, RepeatCells
from omnimouse_cli.evaluation.session_reader import F32, F64
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.metrics.ceilings import (
    FEWEST_REPEATS,
    RELIABLE_SHARE,
    Estimate,
    MeanRoot,
    RepeatScores,
    repeat_scores,
)
from omnimouse_cli.metrics.repeats import RepeatedSamples, complete_cells
from omnimouse_cli.metrics.resamples import block_weights
from omnimouse_cli.text import pluralize

if TYPE_CHECKING:
    from omnimouse_cli.evaluation.scored_value import ScoredValue
    from omnimouse_cli.evaluation.scorer import Piece

# Repeated samples, times neurons, that are kept: two arrays of 0.5 GB.
MOST_KEPT_VALUES = 128_000_000


@dataclass(slots=True, kw_only=True)
class CeilingNumbers:
    """What repeats tell of a predictor and of its targets.

    Args:
        scores: CC_norm and FEVE of the predictor, as far as they exist.
        ceilings: Noise ceilings of the targets: single-trial correlation, CC_max and oracle score.
        fraction: Share of the ceiling of single trials that the predictor reaches.
        missing: Reasons why others do not exist.
        oracle: float64 `(outputs,)`: oracle score of each neuron; None without repeats.
    """

    scores: "list[ScoredValue]" = field(default_factory=list)
    ceilings: "list[ScoredValue]" = field(default_factory=list)
    fraction: "ScoredValue | None" = None
    missing: list[str] = field(default_factory=list)
    oracle: F64 | None = None


class RepeatScorer:
    """Gathers the repeated samples of one predictor.

    Args:
        targets: What is predicted.
        repeats: Which samples are repeated.
    """

    def __init__(self, targets: Targets, repeats: RepeatCells) -> None:
        self._targets, self._repeats = targets, repeats
        cells = repeats.context_cells
        self._row = np.full(cells.shape, -1, np.int64)
        self._row[cells >= 0] = np.arange(repeats.num_repeated)
        shape = (repeats.num_repeated, targets.num_outputs)
        self._truth, self._prediction = np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def add(self, piece: "Piece", truth: F32) -> None:
        """Add predictions.

        Args:
            piece: Predictions of some windows for some outputs.
            truth: float32 `(windows, samples, outputs)`: responses, NaN where they are not scored.
        """
        rows = self._row[piece.windows]
        kept = rows >= 0
        self._truth[rows[kept], piece.outputs] = truth[kept]
        self._prediction[rows[kept], piece.outputs] = piece.values[kept]

    def score(self, number: "ScoredValue") -> CeilingNumbers:
        """Return the numbers of what was added.

        Args:
            number: A value over all scored samples, from which others are derived.
        """
        found = CeilingNumbers()
        repeated = self._repeats.context_cells >= 0
        samples = complete_cells(
            RepeatedSamples(
                cell=self._repeats.context_cells[repeated],
                trial=self._repeats.trial[repeated],
                truth=self._truth,
                prediction=self._prediction,
            )
        )
        if not len(samples.cell):
            found.missing.append("no repeated sample was measured in two trials")
            return found
        scores = repeat_scores(samples)
        found.oracle = scores.oracle_per_output
        derive = _Derive(self._targets, number, scores, len(samples.cell))
        self._add_ceilings(found, derive, scores)
        return found

    def _add_ceilings(self, found: CeilingNumbers, derive: "_Derive", scores: RepeatScores) -> None:
        share = derive("share", scores.share).record
        found.ceilings = [
            derive.root(CC_MAX, scores.cc_max, share.low, share.high),
            derive(ORACLE, scores.oracle, predictor=CEILING),
        ]
        reason = single_trial_reason(self._targets, self._repeats)
        if reason is None:
            ceiling = derive.root(SINGLE_TRIAL, scores.ceiling, share.low, share.high)
            found.ceilings.insert(0, ceiling)
        else:
            found.missing.append(reason)
        if share.low is None or share.low <= 0:
            units = pluralize(
                len(scores.share.influence), "trial or stimulus is", "trials or stimuli are"
            )
            found.missing.append(
                f"nothing is divided by it: {units} too few for an interval"
                if share.low is None
                else "nothing is divided by it: the interval of the signal power includes 0"
            )
            return
        at_best = derive("share", scores.at_best).record
        if at_best.low is None or at_best.low <= 0:
            found.missing.append("no CC_norm: too little of the prediction repeats")
        elif scores.cc_norm.value is not None:
            found.scores.append(derive(CC_NORM, scores.cc_norm))
            if reason is None:
                found.fraction = derive(FRACTION, scores.cc_norm)
        reliable = derive("share", scores.reliable).record
        if reliable.low is not None and reliable.low > 0:
            feve = derive(FEVE, scores.feve)
            record = replace(feve.record, excluded=scores.excluded)
            found.scores.append(replace(feve, record=record))
        else:
            found.missing.append(
                f"no FEVE: too few neurons have {RELIABLE_SHARE:.0%} of explainable variance"
            )


class _Derive:
    """Makes values from estimates over repeated samples.

    Args:
        targets: What is predicted.
        number: A value over all scored samples.
        scores: The estimates.
        num_samples: Repeated samples.
    """

    def __init__(
        self, targets: Targets, number: "ScoredValue", scores: RepeatScores, num_samples: int
    ) -> None:
        # Trials (or stimuli) are the blocks of the interval: noise within one may be slow.
        num_units = len(scores.share.influence)
        self._number = replace(number, num_blocks=num_units)
        self._changes = block_weights(num_units) - 1
        self._over = OVER_TRIALS if scores.repeats >= FEWEST_REPEATS else OVER_STIMULI
        self._fields: dict[str, Any] = {
            "source": REPEATS,
            "repeats": scores.repeats,
            "samples": num_samples,
            "scored_seconds": targets.scored_seconds(num_samples),
        }

    def __call__(
        self, metric: str, estimate: Estimate, predictor: str | None = None
    ) -> "ScoredValue":
        """Return the value of an estimate, with its interval."""
        resamples = None
        if estimate.value is not None:
            resamples = estimate.value + self._changes @ estimate.influence
        found = self._number.derive(
            metric=metric,
            value=estimate.value,
            predictor=predictor,
            resamples=resamples,
            over=self._over,
        )
        return replace(found, record=replace(found.record, **self._fields))

    def root(
        self, metric: str, estimate: MeanRoot, low: float | None, high: float | None
    ) -> "ScoredValue":
        """Return a mean root: its interval is that of the mean share, so it may include 0."""
        found = self(metric, estimate, predictor=CEILING)
        ends = [None if end is None else estimate.at(end) for end in (low, high)]
        return replace(found, record=replace(found.record, low=ends[0], high=ends[1]))


def no_repeats_reason(targets: Targets) -> str | None:
    """Return why repeats tell nothing of a predictor of responses; None where they do."""
    repeats = targets.repeats
    if "stimulus" not in targets.inputs or "responses" in targets.inputs:
        return "only predictions from the stimulus are bounded by its repeats"
    if repeats is None:
        if targets.windows.stride_samples < targets.num_samples:
            return "windows overlap in what is scored: no repeat is told from its own trial"
        return "no scored stimulus was shown twice"
    if repeats.context_share < LEAST_REPEATED_SHARE:
        return (
            f"only {repeats.context_share:.0%} of the samples of repeated stimuli follow the same "
            f"{CONTEXT_SECONDS:g} s of stimuli in another repeat"
        )
    if repeats.num_repeated * targets.num_outputs > MOST_KEPT_VALUES:
        return (
            f"{repeats.num_repeated:,} repeated samples of {targets.num_outputs:,} neurons are "
            f"more than the {MOST_KEPT_VALUES:,} values that are kept in memory"
        )
    return None


def single_trial_reason(targets: Targets, repeats: RepeatCells) -> str | None:
    """Return why the ceiling from repeats does not bound the score of single trials."""
    if "behavior" in targets.inputs:
        return "behavior is an input and does not repeat: single trials have no ceiling"
    if not repeats.covers_most:
        share = repeats.num_repeated / repeats.num_samples
        return f"only {share:.0%} of the scored samples are repeated: single trials have no ceiling"
    return None
