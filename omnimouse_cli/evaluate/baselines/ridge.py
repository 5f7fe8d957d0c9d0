"""Ridge regression on what a row may see: the linear model that a network has to beat."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.evaluate.baselines.ridge_features import Features
from omnimouse_cli.evaluate.baselines.simple import window_pieces
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.signals import F32, I64
from omnimouse_cli.evaluate.targets import Asked
from omnimouse_cli.metrics.moments import correlation, moments_of

# Strengths of the penalty, per row of the regression and for columns of unit variance.
ALPHAS = (1e-3, 0.03, 1.0, 30.0, 1000.0)
FINER = 5.0
# How much columns of the screen count beside the others; pixels are many and tell little.
SCREEN_WEIGHTS = (0.2, 1.0)
HELD_OUT_SHARE = 0.2
MOST_WINDOW_ROWS = 15_000
MOST_SAMPLE_ROWS = 20_000
SAMPLES_PER_WINDOW = 10
MOST_ROWS_TO_CHOOSE = 3_000
MOST_VALUES_TO_CHOOSE = 400
# Groups of columns wider than the first number are described by so many components.
WIDE_GROUP, GROUP_COMPONENTS = 2_000, 1_000
WIDE_SCREEN = 200
SCREEN_COMPONENTS = 200
PCA_ROWS = 3_000
# Values of the truth, and of columns kept for all evaluated windows, that are in memory at once.
MOST_VALUES = 40_000_000
WINDOWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Training:
    """The regression's data: columns, and how truth is read for some outputs.

    Args:
        columns: float32 `(rows, columns)`.
        truth: Gives float32 `(rows, values)` for a slice of outputs; NaN is set to 0.
        num_windows: Training windows.
        rows_per_window: Rows of each.
    """

    columns: F32
    truth: Callable[[slice], F32]
    num_windows: int
    rows_per_window: int


def training_windows(asked: Asked, tiers: tuple[str, ...]) -> I64:
    """Grid indices of all training windows, ascending."""
    table = window_table(asked.signals.shard, tiers=tiers, include_blanks=True)
    return np.sort(table.grid_index(np.arange(table.num_windows)))


def predict_ridge(asked: Asked, tiers: tuple[str, ...]) -> Iterator[Piece] | str:
    """Fit on training windows, predict the evaluated ones; else say why that cannot be."""
    grid = training_windows(asked, tiers)
    if len(grid) < 2 * SAMPLES_PER_WINDOW:
        return f"the tiers {', '.join(tiers)} have only {len(grid)} windows to fit on"
    return _pieces(asked, grid)


def _pieces(asked: Asked, grid: I64) -> Iterator[Piece]:
    features = Features(asked=asked, training=grid)
    if features.per_sample:
        num_windows = MOST_SAMPLE_ROWS // SAMPLES_PER_WINDOW
        step = max(1, asked.num_samples // SAMPLES_PER_WINDOW)
    else:
        num_windows, step = MOST_WINDOW_ROWS, 1
    chosen = np.unique(np.linspace(0, len(grid) - 1, min(num_windows, len(grid))).astype(np.int64))
    samples = np.arange(*asked.samples, step)
    scale = _Scaling.fitted(features, grid[chosen], samples)
    training = _training(asked, features, scale, grid[chosen], samples)
    alpha, weights = _best_penalty(asked, training, scale.screen_columns)
    weighted = training.columns * weights
    cache: dict[int, F32] = {}
    keeps = len(asked.windows) * training.rows_per_window * training.columns.shape[1] < MOST_VALUES
    per_output = training.num_windows * asked.num_samples
    chunk = max(1, MOST_VALUES // per_output)
    for first in range(0, asked.num_outputs, chunk):
        outputs = slice(first, min(first + chunk, asked.num_outputs))
        model = _fit(weighted, training.truth(outputs), alpha)
        for windows in window_pieces(asked, WINDOWS_AT_ONCE):
            columns = cache.get(windows.start)
            if columns is None:
                columns = weights * scale.applied(
                    features.of(asked.windows.grid[windows], np.arange(*asked.samples))
                )
                if keeps:
                    cache[windows.start] = columns
            shape = (windows.stop - windows.start, asked.num_samples, outputs.stop - first)
            values = np.asarray(model.predict(columns), np.float32).reshape(shape)
            yield Piece(windows=windows, outputs=outputs, values=values)


def _training(
    asked: Asked, features: Features, scale: "_Scaling", grid: I64, samples: I64
) -> _Training:
    parts = [
        scale.applied(features.of(grid[first : first + WINDOWS_AT_ONCE], samples))
        for first in range(0, len(grid), WINDOWS_AT_ONCE)
    ]
    picked = samples - asked.samples[0]

    def truth(outputs: slice) -> F32:
        pieces = []
        for first in range(0, len(grid), WINDOWS_AT_ONCE):
            values = asked.truth(grid[first : first + WINDOWS_AT_ONCE], outputs)[:, picked]
            shape = (-1, values.shape[2]) if features.per_sample else (len(values), -1)
            pieces.append(np.nan_to_num(values).reshape(shape))
        return np.concatenate(pieces)

    return _Training(
        columns=np.concatenate(parts),
        truth=truth,
        num_windows=len(grid),
        rows_per_window=len(samples) if features.per_sample else 1,
    )


def _fit(columns: F32, truth: F32, alpha: float) -> Any:  # noqa: ANN401 - scikit-learn has no types
    from scipy.linalg import LinAlgWarning
    from sklearn.linear_model import Ridge

    with warnings.catch_warnings():
        # A penalty too small for float32 is only tried: it loses by its score on held-out windows.
        warnings.simplefilter("ignore", LinAlgWarning)
        return Ridge(alpha=alpha * len(columns), copy_X=True).fit(columns, truth)


def _best_penalty(asked: Asked, training: _Training, screen: slice) -> tuple[float, F32]:
    """Choose what predicts the last part of the training time best.

    Returns:
        The strength of the penalty, and float32 `(columns,)`: the weights of the columns.
    """
    judge = _judge(asked, training)
    weights = np.ones(training.columns.shape[1], np.float32)
    num_screen = screen.stop - screen.start
    alone = num_screen in (0, len(weights))
    if not alone:
        weights[screen] = 0.0
    score, alpha = max((judge(alpha, weights), alpha) for alpha in ALPHAS)
    finer = (alpha / FINER, alpha * FINER)
    score, alpha = max([(score, alpha), *((judge(tried, weights), tried) for tried in finer)])
    if alone:
        return alpha, weights
    best = (score, alpha, 0.0)
    for weight in SCREEN_WEIGHTS:
        weights[screen] = weight
        best = max([best, *((judge(a, weights), a, weight) for a in (alpha, alpha * FINER))])
    weights[screen] = best[2]
    return best[1], weights


def _judge(asked: Asked, training: _Training) -> Callable[[float, F32], float]:
    """Give a function that fits on the first part of the training time and scores the last."""
    rows = len(training.columns)
    border = int(training.num_windows * (1 - HELD_OUT_SHARE)) * training.rows_per_window
    # Windows next to the border overlap with those beyond it.
    gap = max(1, rows // 100)
    fit = np.arange(0, border - gap, max(1, border // MOST_ROWS_TO_CHOOSE))
    held_out = np.arange(border, rows, max(1, 4 * (rows - border) // MOST_ROWS_TO_CHOOSE))
    per_output = asked.num_samples if training.rows_per_window == 1 else 1
    most = max(1, 4 * MOST_VALUES_TO_CHOOSE // per_output)
    truth = training.truth(slice(0, asked.num_outputs, max(1, asked.num_outputs // most)))
    truth = truth[:, :: max(1, truth.shape[1] // MOST_VALUES_TO_CHOOSE)]
    known, wanted = truth[fit], truth[held_out]

    def judge(alpha: float, weights: F32) -> float:
        model = _fit(training.columns[fit] * weights, known, alpha)
        predicted = np.asarray(model.predict(training.columns[held_out] * weights))
        return float(np.nan_to_num(correlation(moments_of(wanted, predicted))).mean())

    return judge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scaling:
    """Brings columns to zero mean and unit variance, and wide groups to their components.

    Args:
        means: Of each group, `(columns,)`.
        stds: Of each group.
        bases: Principal components of each group `(columns, components)`, None for narrow ones.
        screen: Which group is the screen, if any is.
    """

    means: list[F32]
    stds: list[F32]
    bases: list[F32 | None]
    screen: int | None

    @property
    def screen_columns(self) -> slice:
        """Columns of the regression that come from the screen."""
        widths = [
            len(mean) if basis is None else basis.shape[1]
            for mean, basis in zip(self.means, self.bases, strict=True)
        ]
        if self.screen is None:
            return slice(0, 0)
        first = sum(widths[: self.screen])
        return slice(first, first + widths[self.screen])

    @classmethod
    def fitted(cls, features: Features, grid: I64, samples: I64) -> "_Scaling":
        """Learn from some training windows."""
        per_window = len(samples) if features.per_sample else 1
        count = min(len(grid), max(1, PCA_ROWS // per_window))
        some = grid[np.unique(np.linspace(0, len(grid) - 1, count).astype(np.int64))]
        groups = [group.reshape(-1, group.shape[-1]) for group in features.of(some, samples)]
        means = [group.mean(axis=0) for group in groups]
        stds = [group.std(axis=0) for group in groups]
        stds = [np.where(std > 1e-6, std, 1.0).astype(np.float32) for std in stds]
        screen = _screen_number(features, len(groups))
        bases = [
            _basis((group - mean) / std, screen=number == screen)
            for number, (group, mean, std) in enumerate(zip(groups, means, stds, strict=True))
        ]
        return cls(means=means, stds=stds, bases=bases, screen=screen)

    def applied(self, groups: list[F32]) -> F32:
        """Columns of a regression: float32 `(rows, columns)`."""
        parts = []
        for group, mean, std, basis in zip(groups, self.means, self.stds, self.bases, strict=True):
            scaled = (group.reshape(-1, group.shape[-1]) - mean) / std
            parts.append(scaled if basis is None else scaled @ basis)
        return np.concatenate(parts, axis=1).astype(np.float32)


def _screen_number(features: Features, num_groups: int) -> int | None:
    inputs = features.asked.inputs
    if "stimulus" not in inputs:
        return None
    return num_groups - (2 if "behavior" in inputs else 1)


def _basis(scaled: F32, *, screen: bool) -> F32 | None:
    from sklearn.decomposition import PCA

    wide, components = (
        (WIDE_SCREEN, SCREEN_COMPONENTS) if screen else (WIDE_GROUP, GROUP_COMPONENTS)
    )
    if scaled.shape[1] <= wide:
        return None
    components = min(components, *scaled.shape)
    pca = PCA(components, svd_solver="randomized", iterated_power=2, random_state=0).fit(scaled)
    return np.ascontiguousarray(pca.components_.T, dtype=np.float32)
