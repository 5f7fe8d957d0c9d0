"""The shared state: a linear Gaussian process of unit covariance that no stimulus explains."""

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.settings import RESPONSE_RATE_HZ

F64 = NDArray[np.float64]
NUM_STATES = 4
# One rotation (decay and period in seconds) and two decays: what one second ahead can know.
ROTATION_SECONDS = (2.5, 3.0)
DECAY_SECONDS = (2.5, 0.8)


def transition() -> F64:
    """Give the matrix A of z_t = A z_(t-1) + noise, `(4, 4)` per row of 1/30 s.

    The noise has covariance I - A A', so that the stationary covariance of z is the identity.
    """
    matrix = np.zeros((NUM_STATES, NUM_STATES))
    decay, period = (value * RESPONSE_RATE_HZ for value in ROTATION_SECONDS)
    angle = 2 * np.pi / period
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[:2, :2] = np.exp(-1 / decay) * turn
    matrix[2:, 2:] = np.diag(np.exp(-1 / (RESPONSE_RATE_HZ * np.array(DECAY_SECONDS))))
    return matrix


def draw_states(rng: np.random.Generator, num_rows: int) -> F64:
    """Draw the state of every row, started in its stationary distribution: `(rows, 4)`."""
    matrix = transition()
    factor = np.linalg.cholesky(np.eye(NUM_STATES) - matrix @ matrix.T)
    noise = rng.normal(size=(num_rows, NUM_STATES)) @ factor.T
    states = np.empty((num_rows, NUM_STATES))
    current = rng.normal(size=NUM_STATES)
    for row in range(num_rows):
        current = matrix @ current + noise[row]
        states[row] = current
    return states


def state_gain(states: F64, loading: F64) -> F64:
    """Give exp(c'z - c'c / 2), whose mean is one: `(..., rows, neurons)`."""
    return np.asarray(np.exp(states @ loading.T - 0.5 * np.sum(loading**2, axis=1)))


def expected_gain(states: F64, steps: int, loading: F64) -> F64:
    """Give the mean of `state_gain` `steps` rows after `states`, given `states`.

    With z_(t+k) ~ N(A^k z_t, I - A^k A^k') the log-normal mean is
    exp(c'A^k z_t - c'A^k A^k'c / 2).
    """
    ahead = np.linalg.matrix_power(transition(), steps)
    return state_gain(states, loading @ ahead)
