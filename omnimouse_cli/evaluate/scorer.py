"""Gathers a predictor's predictions, piece by piece, into moments that all scores follow from."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from omnimouse_cli.config.model import ResponseLoss
from omnimouse_cli.evaluate.signals import F32, F64, I64
from omnimouse_cli.evaluate.stimulus import RepeatCells
from omnimouse_cli.evaluate.targets import Asked
from omnimouse_cli.metrics.bootstrap import draw_blocks, resampled_means, resampled_scores
from omnimouse_cli.metrics.moments import Moments, correlation, merge_blocks, moments_of
from omnimouse_cli.metrics.repeats import RepeatSums, correlation_to_average, repeat_ceiling
from omnimouse_cli.metrics.scores import SessionScore, session_score
from omnimouse_cli.model.losses import BEHAVIOR_CLAMP, elementwise

# Sums over repeats of a large population are left out when they would need more than this.
MOST_REPEAT_VALUES = 40_000_000
TRACE_WINDOWS = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """Predictions of some windows for some outputs.

    Args:
        windows: Positions among the evaluated windows.
        outputs: Positions among the outputs.
        values: float32 `(windows, samples, outputs)`.
    """

    windows: slice
    outputs: slice
    values: F32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TargetScore:
    """A predictor's score on one target.

    Args:
        single_trial: Its correlation.
        resamples: float64 `(num_resamples,)`: the same in every resample of the bootstrap.
        loss: Mean loss.
        loss_resamples: The same in every resample.
        samples: Scored samples of an output.
    """

    single_trial: SessionScore
    resamples: F64
    loss: float
    loss_resamples: F64
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictorScore:
    """Everything that is known about one predictor of one row and session.

    Args:
        targets: By name of the target.
        per_output: float64 `(outputs,)`: correlation of each, NaN where there is none.
        to_average: Mean correlation with the average over repeats, where there are repeats.
        ceiling: float64 `(outputs,)`: what the stimulus alone can explain, from repeats.
        trace: float32 `(windows, samples, outputs)`: the first predictions, for a figure.
    """

    targets: dict[str, TargetScore]
    per_output: F64
    to_average: float | None
    ceiling: F64 | None
    trace: F32


class Scorer:
    """Accumulates predictions of one predictor.

    Args:
        asked: What is predicted.
        response_loss: How far a prediction of responses is from the truth.
        repeats: Repeated moments among the scored samples, if there are any.
        seed: Of the bootstrap; predictors with equal seeds are compared on equal resamples.
    """

    def __init__(
        self,
        asked: Asked,
        *,
        response_loss: ResponseLoss,
        repeats: RepeatCells | None,
        seed: int,
    ) -> None:
        self._asked = asked
        self._response_loss = response_loss
        self._seed = seed
        shape = (asked.windows.num_blocks, asked.num_outputs)
        self._blocks = Moments.zeros(shape)
        self._losses = np.zeros(shape)
        self._repeats = repeats
        if repeats is not None and repeats.num_cells * asked.num_outputs > MOST_REPEAT_VALUES:
            self._repeats = None
        self._sums = (
            None
            if self._repeats is None
            else RepeatSums(self._repeats.num_cells, asked.num_outputs)
        )
        shown = min(TRACE_WINDOWS, len(asked.windows))
        self._trace = np.full((shown, asked.num_samples, asked.num_outputs), np.nan, np.float32)

    def add(self, piece: Piece) -> None:
        """Add predictions; every window and output comes once."""
        windows = self._asked.windows
        truth = self._asked.truth(windows.grid[piece.windows], piece.outputs)
        outputs = truth.shape[2]
        block = windows.block[piece.windows]
        losses = self._elementwise(truth, piece.values)
        for number in np.unique(block):
            chosen = block == number
            moments = moments_of(
                truth[chosen].reshape(-1, outputs), piece.values[chosen].reshape(-1, outputs)
            )
            self._blocks.add((int(number), piece.outputs), moments)
            self._losses[number, piece.outputs] += losses[chosen].sum(axis=(0, 1))
        if self._sums is not None and self._repeats is not None:
            cells = self._repeats.cells[piece.windows].reshape(-1)
            self._sums.add(
                cells,
                truth.reshape(-1, outputs),
                piece.values.reshape(-1, outputs),
                outputs=piece.outputs,
            )
        first, last, _ = piece.windows.indices(len(windows))
        shown = max(0, min(last, len(self._trace)) - first)
        if shown:
            self._trace[first : first + shown, :, piece.outputs] = piece.values[:shown]

    def result(self) -> PredictorScore:
        """The scores of what was added."""
        draws = draw_blocks(self._asked.windows.num_blocks, seed=self._seed)
        targets = {
            name: self._target_score(positions, draws)
            for name, positions in self._asked.groups.items()
        }
        to_average, ceiling = None, None
        if self._sums is not None:
            averages = correlation_to_average(self._sums)
            if averages is not None and np.isfinite(averages).any():
                to_average = float(np.nan_to_num(averages).mean())
            ceiling = repeat_ceiling(self._sums)
        return PredictorScore(
            targets=targets,
            per_output=correlation(merge_blocks(self._blocks)),
            to_average=to_average,
            ceiling=ceiling,
            trace=self._trace,
        )

    def _elementwise(self, truth: F32, prediction: F32) -> F64:
        """Loss of each sample, 0 where it is not scored: `(windows, samples, outputs)`."""
        if self._asked.behavior:
            loss = np.minimum((truth - prediction) ** 2, BEHAVIOR_CLAMP)
        else:
            if self._response_loss == "poisson":
                # A linear predictor may fall below 0, where a rate has no likelihood.
                prediction = np.maximum(prediction, 0.0)
            tensors = torch.from_numpy(truth), torch.from_numpy(prediction)
            loss = elementwise(tensors[1], tensors[0], self._response_loss).numpy()
        return np.where(np.isnan(truth), 0.0, loss).astype(np.float64)

    def _target_score(self, positions: I64, draws: NDArray[np.float64]) -> TargetScore:
        blocks = self._blocks[:, positions]
        total = merge_blocks(blocks)
        losses, counts = self._losses[:, positions].sum(axis=1), blocks.count.sum(axis=1)
        return TargetScore(
            single_trial=session_score(total),
            resamples=resampled_scores(blocks, draws),
            loss=float(losses.sum() / max(counts.sum(), 1.0)),
            loss_resamples=resampled_means(losses, counts, draws),
            samples=int(total.count.max(initial=0)),
        )
