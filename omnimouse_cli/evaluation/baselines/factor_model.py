"""Factor analysis: visible neurons tell the state of the population, which predicts the others."""

import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from omnimouse_cli.evaluation.baselines.choose import (
    Choice,
    evenly_spaced,
    find_choice,
    training_windows,
)
from omnimouse_cli.evaluation.baselines.linear import Linear
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, F64, I64, SessionReader
from omnimouse_cli.evaluation.targets import Targets

FACTORS = (1, 4, 8, 16, 32)
# Standard deviations, in samples, of the Gaussian by which responses are smoothed beforehand.
WIDTHS = (0.0, 4.0, 8.0)
FIRST_WIDTH = 4.0
MAX_VALUES = 20_000_000
SAMPLES_PER_WINDOW = 10
MAX_ITERATIONS = 50
# Samples of training windows that are fitted, as visible ones of rows are.
SAMPLED = (30, 60)
# Least variance of a neuron's noise, relative to the mean variance: a neuron may be constant.
MIN_NOISE = 1e-4


class FactorModel(NamedTuple):
    """A population whose neurons share a few factors and have noise of their own.

    Args:
        mean: float64 `(neurons,)`.
        loadings: float64 `(factors, neurons)`.
        noise: float64 `(neurons,)`: variances.
    """

    mean: F64
    loadings: F64
    noise: F64

    def conditional(self, visible: I64, others: I64) -> Linear:
        """Return the expectation of some neurons given others, which is linear in them.

        Args:
            visible: int64: neurons that are known.
            others: int64: neurons that are predicted.
        """
        loadings = self.loadings[:, visible]
        weighted = loadings / self.noise[visible]
        precision = np.eye(len(loadings)) + weighted @ loadings.T
        # From visible neurons to the posterior mean of the factors, and from there to the others.
        slope = np.linalg.solve(precision, weighted).T @ self.loadings[:, others]
        offset = self.mean[others] - self.mean[visible] @ slope
        return Linear(slope.astype(np.float32), offset.astype(np.float32))


def predict_factor_model(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Predict neurons from the posterior mean of factors given the visible neurons.

    Source: factor analysis of smoothed responses as in Yu et al., J. Neurophysiol. 102 (2009), its
    two-stage methods; number of factors and width are chosen on the validation tier.

    Returns:
        The predictions; a reason where training is too short or scikit-learn is missing; None
        where other neurons are not visible at the target samples.
    """
    prefix, samples = targets.strategy.prefix, targets.samples
    if targets.is_behavior or prefix is None or targets.selection.num_shared:
        return None
    if prefix[0] > samples[0] or prefix[1] < samples[1]:
        return None
    choice = find_choice(targets, tiers)
    if isinstance(choice, str):
        return choice
    return _predict(targets, choice, tiers)


def _predict(targets: Targets, choice: Choice, tiers: tuple[str, ...]) -> Iterator[Piece]:
    reader = targets.reader
    visible = targets.selection.visible[0].numpy()
    compared = targets.outputs[choice.outputs]

    def score(factors: int, width: float) -> float:
        model = fit_factors(reader, choice.training.tobytes(), factors, width)
        inputs = smoothed_responses(reader, choice.grid, targets, width)[:, :, visible]
        return choice.score(model.conditional(visible, compared)(inputs))

    known = [each for each in FACTORS if each < reader.session.num_neurons]
    factors = max(known, key=lambda each: score(each, FIRST_WIDTH))
    width = max(WIDTHS, key=lambda each: score(factors, each))
    model = fit_factors(reader, training_windows(reader, tiers).tobytes(), factors, width)
    linear = model.conditional(visible, targets.outputs)
    for windows in targets.window_slices():
        inputs = smoothed_responses(reader, targets.windows.grid[windows], targets, width)
        yield Piece(windows, slice(None), linear(inputs[:, :, visible]))


def smoothed_responses(reader: SessionReader, grid: I64, targets: Targets, width: float) -> F32:
    """Return responses of all neurons at the target samples, smoothed within the visible samples.

    Args:
        reader: The session.
        grid: int64 `(windows,)`.
        targets: Its strategy has the visible samples.
        width: Standard deviation of the Gaussian in samples; 0 does not smooth.

    Returns:
        float32 `(windows, samples, neurons)`.
    """
    from scipy.ndimage import gaussian_filter1d

    first, end = targets.strategy.visible_range
    values = reader.responses(grid, (first, end))
    if width:
        values = gaussian_filter1d(values, width, axis=1, mode="nearest")
    return values[:, targets.samples[0] - first : targets.samples[1] - first]


# All draws of visible neurons, and rows with and without the stimulus, share the fits.
@lru_cache(maxsize=32)
def fit_factors(reader: SessionReader, training: bytes, factors: int, width: float) -> FactorModel:
    """Fit a factor model to the responses of all neurons in training windows.

    Args:
        reader: The session.
        training: int64: grid indices of the windows, as bytes.
        factors: Number of factors.
        width: Standard deviation of the Gaussian by which responses are smoothed, in samples.
    """
    from scipy.ndimage import gaussian_filter1d
    from sklearn.decomposition import FactorAnalysis
    from sklearn.exceptions import ConvergenceWarning

    grid = np.frombuffer(training, np.int64)
    num_neurons = reader.session.num_neurons
    most = max(2, MAX_VALUES // (num_neurons * SAMPLES_PER_WINDOW))
    grid = evenly_spaced(grid, most)
    values = reader.responses(grid, SAMPLED)
    if width:
        values = gaussian_filter1d(values, width, axis=1, mode="nearest")
    values = values[:, :: (SAMPLED[1] - SAMPLED[0]) // SAMPLES_PER_WINDOW].reshape(-1, num_neurons)
    mean = values.mean(axis=0, dtype=np.float64)
    centered = (values - mean).astype(np.float64)
    if len(centered) > 2 * num_neurons:
        # Fewer rows with the same covariance: a factor model depends on nothing else.
        root = np.linalg.qr(centered, mode="r") * np.sqrt(num_neurons / len(centered))
        centered = np.concatenate([root, -root])
    with warnings.catch_warnings():
        # Whether a fit has converged shows in how well it predicts the validation tier.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = FactorAnalysis(
            factors, max_iter=MAX_ITERATIONS, svd_method="randomized", random_state=0
        ).fit(centered)
    noise = np.maximum(fitted.noise_variance_, MIN_NOISE * max(1e-12, centered.var()))
    return FactorModel(mean, fitted.components_, noise)
