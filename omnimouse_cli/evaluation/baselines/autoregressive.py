"""Forecasts of a neuron from its own past: autoregression, NLinear and DLinear, in closed form."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from omnimouse_cli.evaluation.baselines.choose import (
    Choice,
    evenly_spaced,
    find_choice,
    training_windows,
)
from omnimouse_cli.evaluation.baselines.persistence import last_visible_sample
from omnimouse_cli.evaluation.baselines.search import FINER, PENALTIES
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, I64, Range
from omnimouse_cli.evaluation.targets import Targets

MAX_WINDOWS = 8_000
# Values of past and future that are in memory at once.
MAX_VALUES = 40_000_000
# Zeng et al. average the trend over 25 samples.
TREND_SAMPLES = 25


class Kind(NamedTuple):
    """What a forecast is linear in.

    Args:
        columns: Makes float32 `(windows, columns, neurons)` of the past `(windows, samples,
            neurons)`.
        from_last: Whether the change from the last sample is predicted, not the value.
        may_share: Whether all neurons may share their weights.
    """

    columns: Callable[[F32], F32]
    from_last: bool
    may_share: bool


class Weights(NamedTuple):
    """Weights of a forecast, of each neuron or shared (1 instead of neurons)."""

    # float32 `(neurons, columns, samples)` and `(neurons, samples)`.
    slope: F32
    offset: F32


def split_trend(past: F32) -> F32:
    """Return trend and remainder, `(windows, 2 * samples, neurons)`, as DLinear does.

    The trend is the average over TREND_SAMPLES; beyond its ends the past stays as it is there.
    """
    from scipy.ndimage import uniform_filter1d

    trend = uniform_filter1d(past, TREND_SAMPLES, axis=1, mode="nearest")
    return np.concatenate([trend, past - trend], axis=1)


def change_from_last(past: F32) -> F32:
    """Return the past less its last sample, without that one, as NLinear does."""
    changes: F32 = past[:, :-1] - past[:, -1:]
    return changes


KINDS = {
    "ar": Kind(lambda past: past, from_last=False, may_share=False),
    "nlinear": Kind(change_from_last, from_last=True, may_share=True),
    "dlinear": Kind(split_trend, from_last=False, may_share=True),
}


def _predict(
    targets: Targets, tiers: tuple[str, ...], *, kind: Kind
) -> Iterator[Piece] | str | None:
    """Fit on training windows and predict every target sample of the scored ones.

    Source of NLinear and DLinear: Zeng et al., AAAI 2023 (arXiv 2205.13504); here they are fitted
    by ridge regression, whose penalty, and whether neurons share their weights, are chosen.

    Args:
        targets: What is predicted.
        tiers: Training tiers.
        kind: What the forecast is linear in.

    Returns:
        The predictions; a reason where training is too short; None where the past of the target
        neurons is not an input.
    """
    last = last_visible_sample(targets)
    if last is None:
        return None
    choice = find_choice(targets, tiers, with_sklearn=False)
    if isinstance(choice, str):
        return choice
    training = training_windows(targets.reader, tiers)
    past = targets.strategy.visible_range[0], last + 1
    return _forecast(targets, choice, training, past, kind)


predict_ar = partial(_predict, kind=KINDS["ar"])
predict_nlinear = partial(_predict, kind=KINDS["nlinear"])
predict_dlinear = partial(_predict, kind=KINDS["dlinear"])


def _forecast(
    targets: Targets, choice: Choice, training: I64, past: Range, kind: Kind
) -> Iterator[Piece]:
    # A choice among a part of the neurons holds for all of them.
    some = targets.outputs[choice.outputs]
    problem = _Problem.read(targets, choice.training, past, some, kind)
    columns, base = _columns(targets, choice.grid, past, some, kind)
    shares = (False, True) if kind.may_share else (False,)

    def score(share: bool, penalty: float) -> float:  # noqa: FBT001 - a choice like the penalty
        return choice.score(apply(problem.solve(penalty, share=share), columns) + base)

    tried = {(share, penalty): score(share, penalty) for share in shares for penalty in PENALTIES}
    share, penalty = max(tried, key=lambda key: tried[key])
    for finer in (penalty / FINER, penalty * FINER):
        tried[share, finer] = score(share, finer)
    share, penalty = max(tried, key=lambda key: tried[key])
    if share:
        weights = _Problem.read(targets, training, past, some, kind).solve(penalty, share=True)
    num_windows = min(len(training), MAX_WINDOWS)
    chunk = max(1, MAX_VALUES // (num_windows * (2 * past[1] + targets.num_samples)))
    for begin in range(0, targets.num_outputs, chunk):
        outputs = slice(begin, min(begin + chunk, targets.num_outputs))
        neurons = targets.outputs[outputs]
        if not share:
            problem = _Problem.read(targets, training, past, neurons, kind)
            weights = problem.solve(penalty, share=False)
        for windows in targets.window_slices():
            grid = targets.windows.grid[windows]
            columns, base = _columns(targets, grid, past, neurons, kind)
            yield Piece(windows, outputs, apply(weights, columns) + base)


def apply(weights: Weights, columns: F32) -> F32:
    """Forecast from columns of the past: float32 `(windows, samples, neurons)`."""
    values = np.matmul(columns.transpose(2, 0, 1), weights.slope) + weights.offset[:, None]
    return np.ascontiguousarray(values.transpose(1, 2, 0), dtype=np.float32)


def _columns(
    targets: Targets, grid: I64, past: Range, neurons: I64, kind: Kind
) -> tuple[F32, F32 | float]:
    """Columns of the past, and what the forecast is counted from."""
    values = targets.reader.responses(grid, past, neurons)
    return kind.columns(values), values[:, -1:] if kind.from_last else 0.0


class _Problem(NamedTuple):
    """Products of past and future of every neuron, centered.

    Args:
        num_rows: Windows.
        means: float64 `(neurons, columns)` and `(neurons, samples)`.
        gram: float64 `(neurons, columns, columns)`.
        products: float64 `(neurons, columns, samples)`.
    """

    num_rows: int
    means: tuple[np.ndarray, np.ndarray]
    gram: np.ndarray
    products: np.ndarray

    @classmethod
    def read(cls, targets: Targets, grid: I64, past: Range, neurons: I64, kind: Kind) -> "_Problem":
        """Sum over training windows, at most MAX_WINDOWS of them."""
        grid = evenly_spaced(grid, MAX_WINDOWS)
        columns, base = _columns(targets, grid, past, neurons, kind)
        future = targets.reader.responses(grid, targets.samples, neurons) - base
        x, y = columns.transpose(2, 0, 1), future.transpose(2, 0, 1)
        means = x.mean(axis=1, dtype=np.float64), y.mean(axis=1, dtype=np.float64)
        x = x - means[0][:, None].astype(np.float32)
        y = y - means[1][:, None].astype(np.float32)
        xt = x.transpose(0, 2, 1)
        return cls(len(grid), means, np.matmul(xt, x), np.matmul(xt, y))

    def solve(self, penalty: float, *, share: bool) -> Weights:
        """Return the weights of each neuron, or those that all neurons share."""
        gram, products = self.gram.astype(np.float64), self.products.astype(np.float64)
        mean_columns, mean_values = self.means
        num_rows = self.num_rows
        if share:
            num_rows *= len(gram)
            gram, products = _pooled(self, gram, products)
            mean_columns, mean_values = (m.mean(axis=0, keepdims=True) for m in self.means)
        penalized = gram + penalty * num_rows * np.eye(gram.shape[1])
        slope = np.linalg.solve(penalized, products)
        offset = mean_values - np.matmul(mean_columns[:, None], slope)[:, 0]
        return Weights(slope.astype(np.float32), offset.astype(np.float32))


def _pooled(
    problem: _Problem, gram: np.ndarray, products: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return products centered about the means over all neurons, with a first axis of one."""
    x, y = (mean - mean.mean(axis=0) for mean in problem.means)
    pooled = gram.sum(axis=0) + problem.num_rows * (x.T @ x)
    return pooled[None], (products.sum(axis=0) + problem.num_rows * (x.T @ y))[None]
