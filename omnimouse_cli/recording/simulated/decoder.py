"""A reference decoder: behavior from two seconds of responses by inverting the simulation."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.activity import transition_matrix, unsmooth
from omnimouse_cli.recording.simulated.population import AMPLITUDE_SHAPE
from omnimouse_cli.recording.simulated.settings import NUM_STATES
from omnimouse_cli.recording.simulated.truth import Truth

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
NUM_ITERATIONS = 4
LAG_ROWS = 8
MAX_STEP = 1.0


def _fit_prior(truth: Truth) -> tuple[F64, F64, F64]:
    """Fit a linear Gaussian process to behavior and shared state.

    Returns:
        Transition matrix, noise covariance and stationary covariance, each `(size, size)`.
    """
    behavior = np.asarray(truth.behavior, dtype=np.float64)
    num_channels = behavior.shape[1]
    size = num_channels + NUM_STATES
    transition = np.eye(size)
    stationary = np.eye(size)
    stationary[:num_channels, :num_channels] = np.cov(behavior.T) + 1e-6 * np.eye(num_channels)
    lagged = np.mean(behavior[:-LAG_ROWS] * behavior[LAG_ROWS:], axis=0)
    persistence = np.clip(lagged / np.mean(behavior**2, axis=0), 0.05, 0.999) ** (1 / LAG_ROWS)
    transition[:num_channels, :num_channels] = np.diag(persistence)
    transition[num_channels:, num_channels:] = transition_matrix()
    noise = stationary - transition @ stationary @ transition.T
    value, vector = np.linalg.eigh((noise + noise.T) / 2)
    noise = (vector * np.maximum(value, 1e-7)) @ vector.T
    return transition, noise, stationary


def _kalman_smooth(information: F64, score: F64, prior: tuple[F64, F64, F64]) -> F64:
    """Return the posterior mean of a linear Gaussian process: Kalman filter, then smoother.

    Args:
        information: Precision of each row's observation, `(windows, rows, size, size)`.
        score: Precision times observation, `(windows, rows, size)`.
        prior: What `_fit_prior` returns.

    Returns:
        `(windows, rows, size)`.
    """
    transition, noise, stationary = prior
    windows, rows, size, _ = information.shape
    identity = np.eye(size)
    mean = np.empty((rows, windows, size))
    covariance = np.empty((rows, windows, size, size))
    predicted_mean = np.zeros((windows, size))
    predicted_covariance = np.broadcast_to(stationary, (windows, size, size))
    for row in range(rows):
        shrink = np.linalg.inv(identity + predicted_covariance @ information[:, row])
        covariance[row] = shrink @ predicted_covariance
        innovation = predicted_mean + (predicted_covariance @ score[:, row, :, None])[..., 0]
        mean[row] = (shrink @ innovation[..., None])[..., 0]
        predicted_mean = mean[row] @ transition.T
        predicted_covariance = transition @ covariance[row] @ transition.T + noise
    for row in range(rows - 2, -1, -1):
        predicted_covariance = transition @ covariance[row] @ transition.T + noise
        gain = covariance[row] @ transition.T @ np.linalg.inv(predicted_covariance)
        correction = mean[row + 1] - mean[row] @ transition.T
        mean[row] += (gain @ correction[..., None])[..., 0]
    return np.moveaxis(mean, 0, 1)


def reference_decode(truth: Truth, first_row: I64, responses: F32) -> F32:
    """Estimate the behavior of windows from their responses and the stimulus.

    All parameters and the stimulus drive are given. Behavior and shared state are inferred
    together by iterated Gaussian smoothing, with the event statistics linearized and a Gaussian
    prior fitted to the session. The result is a reference, not a strict bound: running bouts and
    saccades are not Gaussian.

    Args:
        truth: Ground truth of the recording.
        first_row: First response row of each window, `(windows,)`.
        responses: float32 `(windows, rows, neurons)`.

    Returns:
        Behavior in raw units, float32 `(windows, rows, channels)`.
    """
    population = truth.population
    coupling = np.hstack([population.coupling, population.loading])
    num_channels = population.coupling.shape[1]
    event_variance = population.quantum * (1 + 1 / AMPLITUDE_SHAPE)
    pairs = (coupling[:, :, None] * coupling[:, None, :]).reshape(len(coupling), -1)
    rows = first_row[:, None] + np.arange(responses.shape[1])
    smoothed = np.moveaxis(truth.expected_stimulus_behavior[rows].astype(np.float64), 1, 0)
    rate = np.moveaxis(unsmooth(smoothed[1:], smoothed[0]), 0, 1)
    known = np.log(np.maximum(rate, 1e-12)) - truth.behavior[rows[:, 1:]] @ population.coupling.T
    known -= 0.5 * np.sum(population.loading**2, axis=1)
    ordered = np.moveaxis(responses.astype(np.float64), 1, 0)
    events = np.moveaxis(unsmooth(ordered[1:], ordered[0]), 0, 1)
    prior = _fit_prior(truth)
    estimate = np.zeros((*rows[:, 1:].shape, coupling.shape[1]))
    for _ in range(NUM_ITERATIONS):
        expected = np.exp(np.minimum(known + estimate @ coupling.T, 20.0))
        size = coupling.shape[1]
        information = ((expected / event_variance) @ pairs).reshape(*estimate.shape, size)
        score = ((events - expected) / event_variance) @ coupling
        score += (information @ estimate[..., None])[..., 0]
        step = _kalman_smooth(information, score, prior) - estimate
        estimate += np.clip(step, -MAX_STEP, MAX_STEP)
    # The events of the first row need the row before the window; it takes the next row's estimate.
    whole = np.concatenate([estimate[:, :1], estimate], axis=1)[..., :num_channels]
    return np.asarray(whole * truth.behavior_scale + truth.behavior_center, dtype=np.float32)
