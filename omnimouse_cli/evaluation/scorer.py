"""The scores of one predictor: moments summed over windows, and the values that follow."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.evaluation.ceilings import CeilingNumbers, RepeatScorer, no_repeats_reason
from omnimouse_cli.evaluation.records import (
    BITS_PER_SAMPLE,
    CEILING,
    DEVIANCE_EXPLAINED,
    LOSS,
    NEURONS,
    OF_GROUP,
    OVER_STIMULI,
    R2,
    SIMULATION,
    SINGLE_TRIAL,
    TO_AVERAGE,
    EvalRecord,
)
from omnimouse_cli.evaluation.repeats import RepeatCells
from omnimouse_cli.evaluation.scored_value import ScoredValue
from omnimouse_cli.evaluation.session_reader import F32, F64, I64
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.metrics.explained import (
    PoissonDeviance,
    mean_r2,
    poisson_explained,
    variance_explained,
)
from omnimouse_cli.metrics.moments import Moments, correlation, merge_blocks, moments_of
from omnimouse_cli.metrics.repeats import RepeatSums, average_moments
from omnimouse_cli.metrics.resamples import block_weights, resampled_correlations, resampled_means
from omnimouse_cli.metrics.scores import mean_correlation
from omnimouse_cli.model.losses import BEHAVIOR_CLAMP, elementwise_loss

# Above this many sums over repeats a large population has no correlation to the average.
MOST_REPEAT_VALUES = 40_000_000
# Predicted rates below this share of a neuron's training mean are raised to it in the deviance.
RATE_FLOOR = 0.01
LEAST_RATE = 1e-6
# The first windows, of which a figure shows predictions.
TRACE_WINDOWS = 24


class Piece(NamedTuple):
    """Predictions of some windows for some outputs.

    Args:
        windows: Positions among the scored windows.
        outputs: Positions among the outputs.
        values: float32 `(windows, samples, outputs)`.
    """

    windows: slice
    outputs: slice
    values: F32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictorScores:
    """What one predictor scores on the targets of a strategy in one session.

    Args:
        numbers: Correlation and loss of every target.
        outputs: int64 `(outputs,)`: neurons or channels that were scored.
        per_output: float64 `(outputs,)`: correlation of each, NaN where there is none.
        repeats: Noise ceilings from repeats and scores relative to them, those of the predictor
            among `numbers` too.
        trace: float32 `(windows, samples, outputs)`: the first predictions, for a figure.
    """

    numbers: tuple[ScoredValue, ...]
    outputs: I64
    per_output: F64
    repeats: CeilingNumbers
    trace: F32

    @property
    def correlations(self) -> dict[str, ScoredValue]:
        """The single-trial correlation of each target."""
        numbers = (number for number in self.numbers if number.record.metric == SINGLE_TRIAL)
        return {number.record.target: number for number in numbers}


def no_average_reason(targets: Targets) -> str | None:
    """Return why there is no correlation to the average though stimuli repeat; None if there is."""
    repeats = targets.repeats
    if repeats is None or repeats.num_cells * targets.num_outputs <= MOST_REPEAT_VALUES:
        return None
    return (
        f"no correlation to the average: {repeats.num_cells:,} time points of repeated stimuli "
        f"times {targets.num_outputs:,} neurons are more than {MOST_REPEAT_VALUES:,} values"
    )


class Scorer:
    """Gathers the predictions of one predictor, piece by piece.

    Args:
        targets: What is predicted.
        predictor: Name of the predictor in the records.
        response_loss: Loss of responses.
        repeats: Time points that occur in several repeats of a stimulus; None without repeats.
    """

    def __init__(
        self,
        targets: Targets,
        *,
        predictor: str,
        response_loss: ResponseLoss,
        repeats: RepeatCells | None = None,
    ) -> None:
        self._targets = targets
        self._predictor = predictor
        self._response_loss = response_loss
        shape = (targets.windows.num_blocks, targets.num_outputs)
        self._blocks = Moments.zeros(shape)
        self._losses = np.zeros(shape)
        self._deviance: PoissonDeviance | None = None
        if not targets.is_behavior and response_loss != "gaussian":
            floor = np.maximum(RATE_FLOOR * targets.train_mean, LEAST_RATE)
            self._deviance = PoissonDeviance(shape, floor.astype(np.float64))
        self._repeats, self._sums = None, None
        if repeats and no_average_reason(targets) is None:
            self._repeats = repeats
            self._sums = RepeatSums(repeats.num_cells, targets.num_outputs)
        self._repeat_scorer = None
        if repeats and no_repeats_reason(targets) is None:
            self._repeat_scorer = RepeatScorer(targets, repeats)
        num_shown = min(TRACE_WINDOWS, len(targets.windows))
        trace_shape = (num_shown, targets.num_samples, targets.num_outputs)
        self._trace = np.full(trace_shape, np.nan, np.float32)

    def add(self, piece: Piece) -> None:
        """Add predictions; every window and output comes once."""
        windows = self._targets.windows
        truth = self._targets.truth(windows.grid[piece.windows], piece.outputs)
        if self._targets.excluded is not None:
            truth[self._targets.excluded[piece.windows]] = np.nan
        num_outputs = truth.shape[2]
        block = windows.block[piece.windows]
        losses = self._elementwise_loss(truth, piece.values)
        for number in np.unique(block):
            chosen = block == number
            known = truth[chosen].reshape(-1, num_outputs)
            predicted = piece.values[chosen].reshape(-1, num_outputs)
            self._blocks.add((int(number), piece.outputs), moments_of(known, predicted))
            if self._deviance is not None:
                self._deviance.add(int(number), piece.outputs, known, predicted)
            self._losses[number, piece.outputs] += losses[chosen].sum(axis=(0, 1))
        if self._repeats is not None and self._sums is not None:
            self._sums.add(
                self._repeats.cells[piece.windows].reshape(-1),
                truth.reshape(-1, num_outputs),
                piece.values.reshape(-1, num_outputs),
                outputs=piece.outputs,
            )
        if self._repeat_scorer is not None:
            self._repeat_scorer.add(piece, truth)
        first, last, _ = piece.windows.indices(len(windows))
        num_shown = max(0, min(last, len(self._trace)) - first)
        self._trace[first : first + num_shown, :, piece.outputs] = piece.values[:num_shown]

    @property
    def has_samples(self) -> bool:
        """Whether any sample that was added is scored."""
        return bool(self._blocks.count.any())

    def score(self) -> PredictorScores:
        """Return the scores of what was added."""
        repeats = self._score_repeats()
        return PredictorScores(
            numbers=(*self._numbers(), *repeats.scores),
            outputs=self._targets.outputs,
            per_output=correlation(merge_blocks(self._blocks)),
            repeats=repeats,
            trace=self._trace,
        )

    def _score_repeats(self) -> CeilingNumbers:
        """Return what repeats tell; the repeated samples are released."""
        scorer, self._repeat_scorer = self._repeat_scorer, None
        if scorer is None:
            return CeilingNumbers()
        num_outputs = self._targets.num_outputs
        number = self._blank_record(NEURONS, np.arange(num_outputs), num_samples=0)
        return scorer.score(number)

    def _numbers(self) -> Iterator[ScoredValue]:
        weights = block_weights(self._targets.windows.num_blocks)
        for target, positions in self._targets.groups.items():
            blocks = self._blocks[:, positions]
            total = merge_blocks(blocks)
            number = self._blank_record(
                target, positions, num_samples=int(total.count.max(initial=0))
            )
            value, undefined = mean_correlation(total)
            yield number.derive(
                metric=SINGLE_TRIAL,
                value=value,
                resamples=None if value is None else resampled_correlations(blocks, weights),
                undefined=undefined,
            )
            for metric, scores in self._explained(blocks, weights).items():
                known = bool(np.isfinite(scores[0]))
                yield number.derive(
                    metric=metric,
                    value=float(scores[0]) if known else None,
                    resamples=scores[1:] if known else None,
                )
            if self._predictor != CEILING:
                losses = self._losses[:, positions].sum(axis=1)
                counts = blocks.count.sum(axis=1)
                has_samples = bool(counts.any())
                yield number.derive(
                    metric=LOSS,
                    value=float(losses.sum() / counts.sum()) if has_samples else None,
                    resamples=resampled_means(losses, counts, weights) if has_samples else None,
                )
            averages = None
            if self._sums is not None and target == NEURONS:
                averages = average_moments(self._sums)
            if averages is None:
                continue
            value, undefined = mean_correlation(merge_blocks(averages))
            num_blocks = len(averages.count)
            if value is not None:
                yield replace(number, num_blocks=num_blocks).derive(
                    metric=TO_AVERAGE,
                    value=value,
                    resamples=resampled_correlations(averages, block_weights(num_blocks)),
                    undefined=undefined,
                    over=OVER_STIMULI,
                )
        yield from self._group_numbers(weights)

    def _group_numbers(self, weights: F64) -> Iterator[ScoredValue]:
        """Yield the correlation of each group of neurons, under a metric of its own."""
        for name, positions in self._targets.neuron_groups.items():
            blocks = self._blocks[:, positions]
            total = merge_blocks(blocks)
            value, undefined = mean_correlation(total)
            number = self._blank_record(
                NEURONS, positions, num_samples=int(total.count.max(initial=0))
            )
            # A session weighs as much as it has neurons of the group.
            yield replace(number, num_neurons=len(positions)).derive(
                metric=f"{SINGLE_TRIAL}{OF_GROUP}{name}",
                value=value,
                resamples=None if value is None else resampled_correlations(blocks, weights),
                undefined=undefined,
            )

    def _explained(self, blocks: Moments, weights: F64) -> dict[str, F64]:
        """Return R2 of behavior, or explained deviance of responses: the value, then resamples."""
        rows = np.concatenate([np.ones((1, weights.shape[1])), weights])
        if self._targets.is_behavior:
            return {R2: mean_r2(blocks, rows)}
        if self._deviance is None:
            return {DEVIANCE_EXPLAINED: variance_explained(blocks, rows)}
        explained, bits = poisson_explained(self._deviance, blocks, rows)
        return {DEVIANCE_EXPLAINED: explained, BITS_PER_SAMPLE: bits}

    def _blank_record(self, target: str, positions: I64, *, num_samples: int) -> ScoredValue:
        """Return what all values of a target share; `derive` completes metric and value."""
        targets = self._targets
        # A field that is added to `EvalRecord` is filled here and, over sessions, in
        # `tabulate.overall_record`.
        record = EvalRecord(
            regime=targets.strategy.family,
            strategy=targets.strategy.name,
            inputs=targets.inputs,
            session=targets.reader.session.key,
            tier=targets.windows.tier,
            target=target,
            metric="",
            predictor=self._predictor,
            value=None,
            neurons=len(positions),
            windows=len(targets.windows),
            samples=num_samples,
            stimulus_in_training=targets.stimulus_in_training,
            scored_seconds=targets.scored_seconds(num_samples),
            source=SIMULATION if self._predictor == CEILING else None,
        )
        return ScoredValue(
            record=record,
            outputs=targets.outputs[positions],
            resamples=None,
            num_blocks=targets.windows.num_blocks,
            num_neurons=targets.reader.session.num_neurons,
            animal=targets.reader.session.animal,
            scored=targets.scored_hash,
        )

    def _elementwise_loss(self, truth: F32, prediction: F32) -> F64:
        """Return float64 `(windows, samples, outputs)`: the loss, 0 where it is not scored."""
        if self._targets.is_behavior:
            loss = np.minimum((truth - prediction) ** 2, BEHAVIOR_CLAMP)
        else:
            if self._response_loss != "gaussian":
                # A linear predictor may fall below 0, where a rate has no likelihood.
                prediction = np.maximum(prediction, 0.0)
            tensors = torch.from_numpy(truth), torch.from_numpy(prediction)
            loss = elementwise_loss(tensors[1], tensors[0], self._response_loss).numpy()
        return np.where(np.isnan(truth), 0.0, loss).astype(np.float64)
