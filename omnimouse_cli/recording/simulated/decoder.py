"""A reference decoder: behavior from two seconds of activity, by the equations that made it."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.activity import unsmooth
from omnimouse_cli.recording.simulated.dynamics import NUM_STATES, transition
from omnimouse_cli.recording.simulated.population import AMPLITUDE_SHAPE
from omnimouse_cli.recording.simulated.truth import Truth

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
ITERATIONS = 4
MEMORY_ROWS = 8
LARGEST_STEP = 1.0


def _prior(truth: Truth) -> tuple[F64, F64, F64]:
    """Fit (transition, noise, stationary) covariances of behavior and shared state together."""
    behavior = np.asarray(truth.behavior, dtype=np.float64)
    num_channels = behavior.shape[1]
    size = num_channels + NUM_STATES
    keep = np.eye(size)
    stationary = np.eye(size)
    stationary[:num_channels, :num_channels] = np.cov(behavior.T) + 1e-6 * np.eye(num_channels)
    lagged = np.mean(behavior[:-MEMORY_ROWS] * behavior[MEMORY_ROWS:], axis=0)
    memory = np.clip(lagged / np.mean(behavior**2, axis=0), 0.05, 0.999) ** (1 / MEMORY_ROWS)
    keep[:num_channels, :num_channels] = np.diag(memory)
    keep[num_channels:, num_channels:] = transition()
    noise = stationary - keep @ stationary @ keep.T
    value, vector = np.linalg.eigh((noise + noise.T) / 2)
    noise = (vector * np.maximum(value, 1e-7)) @ vector.T
    return keep, noise, stationary


def _smoothed(information: F64, score: F64, prior: tuple[F64, F64, F64]) -> F64:
    """Give the posterior mean of a linear Gaussian chain: forward filter, backward smoother.

    Args:
        information: `(windows, rows, size, size)`: precision that each row's responses add.
        score: `(windows, rows, size)`: precision times observation.
        prior: Of the chain.

    Returns:
        `(windows, rows, size)`.
    """
    keep, noise, stationary = prior
    windows, rows, size, _ = information.shape
    identity = np.eye(size)
    mean = np.empty((rows, windows, size))
    covariance = np.empty((rows, windows, size, size))
    ahead_mean = np.zeros((windows, size))
    ahead_covariance = np.broadcast_to(stationary, (windows, size, size))
    for row in range(rows):
        shrink = np.linalg.inv(identity + ahead_covariance @ information[:, row])
        covariance[row] = shrink @ ahead_covariance
        innovation = ahead_mean + (ahead_covariance @ score[:, row, :, None])[..., 0]
        mean[row] = (shrink @ innovation[..., None])[..., 0]
        ahead_mean = mean[row] @ keep.T
        ahead_covariance = keep @ covariance[row] @ keep.T + noise
    for row in range(rows - 2, -1, -1):
        ahead_covariance = keep @ covariance[row] @ keep.T + noise
        gain = covariance[row] @ keep.T @ np.linalg.inv(ahead_covariance)
        correction = mean[row + 1] - mean[row] @ keep.T
        mean[row] += (gain @ correction[..., None])[..., 0]
    return np.moveaxis(mean, 0, 1)


def reference_decode(truth: Truth, first_row: I64, responses: F32) -> F32:
    """Estimate the behavior of windows from their responses and the stimulus.

    It knows every parameter and the stimulus' effect, and infers behavior and shared state
    together: iterated Gaussian smoothing with the exact event statistics linearised, and a Gaussian
    prior fitted to the session. It is a reference value, not a strict bound: running bouts and
    saccades are not Gaussian.

    Args:
        truth: Of the recording.
        first_row: `(windows,)` first response row.
        responses: `(windows, rows, neurons)`.

    Returns:
        float32 `(windows, rows, channels)` in raw units.
    """
    population = truth.population
    coupling = np.hstack([population.coupling, population.loading])
    num_channels = population.coupling.shape[1]
    spread = population.quantum * (1 + 1 / AMPLITUDE_SHAPE)
    pairs = (coupling[:, :, None] * coupling[:, None, :]).reshape(len(coupling), -1)
    rows = first_row[:, None] + np.arange(responses.shape[1])
    smoothed = np.moveaxis(truth.expected_stimulus_behavior[rows].astype(np.float64), 1, 0)
    rate = np.moveaxis(unsmooth(smoothed[1:], smoothed[0]), 0, 1)
    known = np.log(np.maximum(rate, 1e-12)) - truth.behavior[rows[:, 1:]] @ population.coupling.T
    known -= 0.5 * np.sum(population.loading**2, axis=1)
    ordered = np.moveaxis(responses.astype(np.float64), 1, 0)
    events = np.moveaxis(unsmooth(ordered[1:], ordered[0]), 0, 1)
    prior = _prior(truth)
    estimate = np.zeros((*rows[:, 1:].shape, coupling.shape[1]))
    for _ in range(ITERATIONS):
        expected = np.exp(np.minimum(known + estimate @ coupling.T, 20.0))
        size = coupling.shape[1]
        information = ((expected / spread) @ pairs).reshape(*estimate.shape, size)
        score = ((events - expected) / spread) @ coupling
        score += (information @ estimate[..., None])[..., 0]
        step = _smoothed(information, score, prior) - estimate
        estimate += np.clip(step, -LARGEST_STEP, LARGEST_STEP)
    # The first row's events need the row before the window: it gets its neighbour's estimate.
    whole = np.concatenate([estimate[:, :1], estimate], axis=1)[..., :num_channels]
    return np.asarray(whole * truth.behavior_scale + truth.behavior_center, dtype=np.float32)
