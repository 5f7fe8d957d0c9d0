"""Ridge regression on the inputs of a strategy: the linear model that a network has to beat."""

import importlib.util
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from omnimouse_cli.batch.windows import window_table
from omnimouse_cli.evaluate.baselines.ridge_features import Features
from omnimouse_cli.evaluate.scorer import Piece
from omnimouse_cli.evaluate.session_reader import F32, I64
from omnimouse_cli.evaluate.targets import WINDOWS_AT_ONCE, Targets
from omnimouse_cli.metrics.moments import correlation, moments_of

# Penalties per row of the regression, for columns of unit variance.
ALPHAS = (1e-3, 0.03, 1.0, 30.0, 1000.0)
# The best of them is also tried smaller and larger by this factor.
FINER = 5.0
# Weights of the screen's columns beside the others: they are many and explain little.
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
# Values of the truth, and of columns kept for all scored windows, that are in memory at once.
MOST_VALUES = 40_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _TrainingSet:
    """The data of the regression.

    Args:
        targets: What is predicted.
        grid: int64 `(windows,)`: the training windows.
        samples: int64 `(samples,)`: target samples of each that are used.
        per_sample: Whether each sample is a row; else each window is one.
        columns: float32 `(rows, columns)`.
    """

    targets: Targets
    grid: I64
    samples: I64
    per_sample: bool
    columns: F32

    @property
    def rows_per_window(self) -> int:
        """Rows of each window."""
        return len(self.samples) if self.per_sample else 1

    def truth(self, outputs: slice) -> F32:
        """Return float32 `(rows, values)` for some outputs.

        Responses that are not scored are 0, lost behavior is NaN.
        """
        positions = self.samples - self.targets.samples[0]
        parts = []
        for first in range(0, len(self.grid), WINDOWS_AT_ONCE):
            grid = self.grid[first : first + WINDOWS_AT_ONCE]
            values = self.targets.truth(grid, outputs)[:, positions]
            shape = (-1, values.shape[2]) if self.per_sample else (len(values), -1)
            if not self.targets.is_behavior:
                values = np.nan_to_num(values)
            parts.append(values.reshape(shape))
        return np.concatenate(parts)


def training_windows(targets: Targets, tiers: tuple[str, ...]) -> I64:
    """Return the grid indices of all training windows, ascending."""
    reader = targets.reader
    table = window_table(
        reader.shard, tiers=tiers, include_blanks=True, require_behavior=reader.require_behavior
    )
    return np.sort(table.grid_index(np.arange(table.num_windows)))


def predict_ridge(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str:
    """Fit on training windows and predict the scored ones.

    Args:
        targets: What is predicted.
        tiers: Training tiers.

    Returns:
        The predictions; a reason where the training tiers are too short or scikit-learn is missing.
    """
    if importlib.util.find_spec("sklearn") is None:
        return "scikit-learn is not installed: pip install 'omnimouse[report]'"
    grid = training_windows(targets, tiers)
    if len(grid) < 2 * SAMPLES_PER_WINDOW:
        return f"the tiers {', '.join(tiers)} have only {len(grid)} windows to fit on"
    return _fit_and_predict(targets, grid)


def _fit_and_predict(targets: Targets, grid: I64) -> Iterator[Piece]:
    features = Features(targets=targets, training=grid)
    if features.per_sample:
        num_windows = MOST_SAMPLE_ROWS // SAMPLES_PER_WINDOW
        step = max(1, targets.num_samples // SAMPLES_PER_WINDOW)
    else:
        num_windows, step = MOST_WINDOW_ROWS, 1
    chosen = np.unique(np.linspace(0, len(grid) - 1, min(num_windows, len(grid))).astype(np.int64))
    grid, samples = grid[chosen], np.arange(*targets.samples, step)
    scaling = _Scaling.fit(features, grid, samples)
    training = _TrainingSet(
        targets=targets,
        grid=grid,
        samples=samples,
        per_sample=features.per_sample,
        columns=np.concatenate(
            [
                scaling.apply(features.columns(grid[first : first + WINDOWS_AT_ONCE], samples))
                for first in range(0, len(grid), WINDOWS_AT_ONCE)
            ]
        ),
    )
    alpha, weights = _choose_penalty(training, scaling.screen_columns)
    weighted = training.columns * weights
    cache: dict[int, F32] = {}
    num_values = len(targets.windows) * training.rows_per_window * training.columns.shape[1]
    # All outputs at once would need their truth in memory at once.
    chunk = max(1, MOST_VALUES // (len(grid) * targets.num_samples))
    for first in range(0, targets.num_outputs, chunk):
        outputs = slice(first, min(first + chunk, targets.num_outputs))
        predict = _fit(weighted, training.truth(outputs), alpha)
        for windows in targets.window_slices():
            columns = cache.get(windows.start)
            if columns is None:
                groups = features.columns(
                    targets.windows.grid[windows], np.arange(*targets.samples)
                )
                columns = weights * scaling.apply(groups)
                if num_values < MOST_VALUES:
                    cache[windows.start] = columns
            shape = (windows.stop - windows.start, targets.num_samples, outputs.stop - first)
            yield Piece(windows, outputs, predict(columns).reshape(shape))


def _fit(columns: F32, truth: F32, alpha: float) -> Callable[[F32], F32]:
    """Fit each column of the truth on the rows in which it is not NaN.

    Args:
        columns: float32 `(rows, columns)`.
        truth: float32 `(rows, values)`.
        alpha: Penalty per row.

    Returns:
        A function from columns to predictions, float32 `(rows, values)`; a value without a row is
        predicted to be 0.
    """
    from scipy.linalg import LinAlgWarning
    from sklearn.linear_model import Ridge

    models = []
    with warnings.catch_warnings():
        # A penalty too small for float32 is only tried: it loses by its score on held-out windows.
        warnings.simplefilter("ignore", LinAlgWarning)
        for rows, values in _group_values(truth):
            x, y = columns[rows], truth[rows][:, values]
            models.append((Ridge(alpha=alpha * len(x), copy_X=True).fit(x, y), values))

    def predict(columns: F32) -> F32:
        result = np.zeros((len(columns), truth.shape[1]), np.float32)
        for model, values in models:
            # For a single value scikit-learn returns one axis.
            result[:, values] = np.reshape(model.predict(columns), (len(columns), -1))
        return result

    return predict


def _group_values(truth: F32) -> list[tuple[Any, Any]]:
    """Group the columns of the truth by the rows in which they are not NaN.

    The channels of a device are lost together. Columns without a row are left out.

    Returns:
        For each group, what selects its rows and its columns.
    """
    known = ~np.isnan(truth)
    if known.all():
        return [(slice(None), slice(None))]
    patterns, number = np.unique(known, axis=1, return_inverse=True)
    return [
        (rows, np.flatnonzero(number.reshape(-1) == position))
        for position, rows in enumerate(patterns.T)
        if rows.any()
    ]


def _choose_penalty(training: _TrainingSet, screen: slice) -> tuple[float, F32]:
    """Choose what predicts the last part of the training time best.

    Returns:
        The penalty, and float32 `(columns,)`: the weights of the columns.
    """
    score_of = _held_out_score(training)
    weights = np.ones(training.columns.shape[1], np.float32)
    num_screen = screen.stop - screen.start
    only_one_kind = num_screen in (0, len(weights))
    if not only_one_kind:
        weights[screen] = 0.0
    score, alpha = max((score_of(alpha, weights), alpha) for alpha in ALPHAS)
    finer = (alpha / FINER, alpha * FINER)
    score, alpha = max([(score, alpha), *((score_of(tried, weights), tried) for tried in finer)])
    if only_one_kind:
        return alpha, weights
    best = (score, alpha, 0.0)
    for weight in SCREEN_WEIGHTS:
        weights[screen] = weight
        best = max([best, *((score_of(a, weights), a, weight) for a in (alpha, alpha * FINER))])
    weights[screen] = best[2]
    return best[1], weights


def _held_out_score(training: _TrainingSet) -> Callable[[float, F32], float]:
    """Return a function that fits on the first part of the training time and scores the last."""
    targets, rows = training.targets, len(training.columns)
    border = int(len(training.grid) * (1 - HELD_OUT_SHARE)) * training.rows_per_window
    # Windows next to the border overlap with those beyond it.
    gap = max(1, rows // 100)
    fit = np.arange(0, border - gap, max(1, border // MOST_ROWS_TO_CHOOSE))
    held_out = np.arange(border, rows, max(1, 4 * (rows - border) // MOST_ROWS_TO_CHOOSE))
    per_output = targets.num_samples if training.rows_per_window == 1 else 1
    most = max(1, 4 * MOST_VALUES_TO_CHOOSE // per_output)
    truth = training.truth(slice(0, targets.num_outputs, max(1, targets.num_outputs // most)))
    truth = truth[:, :: max(1, truth.shape[1] // MOST_VALUES_TO_CHOOSE)]
    fit_truth, held_out_truth = truth[fit], truth[held_out]

    def score_of(alpha: float, weights: F32) -> float:
        predict = _fit(training.columns[fit] * weights, fit_truth, alpha)
        predicted = predict(training.columns[held_out] * weights)
        correlations = correlation(moments_of(held_out_truth, predicted))
        return float(np.nan_to_num(correlations).mean())

    return score_of


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scaling:
    """Brings columns to zero mean and unit variance, and wide groups to their components.

    Args:
        means: float32 `(columns,)` of each group.
        stds: Standard deviations of the columns, of the same shapes.
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
    def fit(cls, features: Features, grid: I64, samples: I64) -> "_Scaling":
        """Fit to some training windows."""
        per_window = len(samples) if features.per_sample else 1
        count = min(len(grid), max(1, PCA_ROWS // per_window))
        some = grid[np.unique(np.linspace(0, len(grid) - 1, count).astype(np.int64))]
        groups = [group.reshape(-1, group.shape[-1]) for group in features.columns(some, samples)]
        means = [group.mean(axis=0) for group in groups]
        stds = [group.std(axis=0) for group in groups]
        stds = [np.where(std > 1e-6, std, 1.0).astype(np.float32) for std in stds]
        inputs, screen = features.targets.inputs, None
        if "stimulus" in inputs:
            # The screen comes last, before behavior.
            screen = len(groups) - (2 if "behavior" in inputs else 1)
        bases = [
            _basis((group - mean) / std, is_screen=number == screen)
            for number, (group, mean, std) in enumerate(zip(groups, means, stds, strict=True))
        ]
        return cls(means=means, stds=stds, bases=bases, screen=screen)

    def apply(self, groups: list[F32]) -> F32:
        """Return the columns of a regression: float32 `(rows, columns)`."""
        parts = []
        for group, mean, std, basis in zip(groups, self.means, self.stds, self.bases, strict=True):
            scaled = (group.reshape(-1, group.shape[-1]) - mean) / std
            parts.append(scaled if basis is None else scaled @ basis)
        return np.concatenate(parts, axis=1).astype(np.float32)


def _basis(scaled: F32, *, is_screen: bool) -> F32 | None:
    from sklearn.decomposition import PCA

    wide, components = (
        (WIDE_SCREEN, SCREEN_COMPONENTS) if is_screen else (WIDE_GROUP, GROUP_COMPONENTS)
    )
    if scaled.shape[1] <= wide:
        return None
    components = min(components, *scaled.shape)
    pca = PCA(components, svd_solver="randomized", iterated_power=2, random_state=0).fit(scaled)
    return np.ascontiguousarray(pca.components_.T, dtype=np.float32)
