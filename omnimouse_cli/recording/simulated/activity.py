"""The responses: shared state, events of random size, and the filter of a calcium indicator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.population import AMPLITUDE_SHAPE, Population
from omnimouse_cli.recording.simulated.settings import DECAY, NUM_STATES, RESPONSE_RATE_HZ

F64 = NDArray[np.float64]
# The shared state is one rotation (decay and period) and two decays, so that a second ahead is
# partly predictable.
ROTATION_SECONDS = (2.5, 3.0)
DECAY_SECONDS = (2.5, 0.8)


def transition_matrix() -> F64:
    """Return the transition matrix A of z_t = A z_(t-1) + noise, `(4, 4)`, one row being 1/30 s.

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
    """Draw the shared state of every row, `(rows, 4)`, from its stationary distribution on."""
    matrix = transition_matrix()
    factor = np.linalg.cholesky(np.eye(NUM_STATES) - matrix @ matrix.T)
    noise = rng.normal(size=(num_rows, NUM_STATES)) @ factor.T
    states = np.empty((num_rows, NUM_STATES))
    current = rng.normal(size=NUM_STATES)
    for row in range(num_rows):
        current = matrix @ current + noise[row]
        states[row] = current
    return states


def state_gain(states: F64, loading: F64) -> F64:
    """Return the gain exp(c'z - c'c / 2), whose mean is one: `(..., rows, neurons)`.

    Args:
        states: z, `(..., rows, 4)`.
        loading: c, `(neurons, 4)`.
    """
    return np.asarray(np.exp(states @ loading.T - 0.5 * np.sum(loading**2, axis=1)))


def expected_gain(states: F64, steps: int, loading: F64) -> F64:
    """Return the expected gain `steps` rows after `states`, given `states`.

    With z_(t+k) ~ N(A^k z_t, I - A^k A^k') the log-normal mean is
    exp(c'A^k z_t - c'A^k A^k'c / 2).
    """
    ahead = np.linalg.matrix_power(transition_matrix(), steps)
    return state_gain(states, loading @ ahead)


def mean_behavior_gain(standardized: F64, coupling: F64) -> F64:
    """Return the mean over the session of exp(coupling . behavior), `(neurons,)`.

    Args:
        standardized: Behavior in standard deviations, `(rows, channels)`.
        coupling: `(neurons, channels)`.
    """
    total = np.zeros(len(coupling))
    for first in range(0, len(standardized), 4096):
        total += np.exp(standardized[first : first + 4096] @ coupling.T).sum(axis=0)
    return total / len(standardized)


def smooth(values: F64, previous: F64) -> F64:
    """Return the exponential filter y_t = DECAY y_(t-1) + (1 - DECAY) x_t along the first axis.

    Args:
        values: x, `(rows, ...)`.
        previous: y before the first row, `(...)`.
    """
    smoothed = (1 - DECAY) * values
    smoothed[0] += DECAY * previous
    for row in range(1, len(smoothed)):
        smoothed[row] += DECAY * smoothed[row - 1]
    return smoothed


def unsmooth(smoothed: F64, previous: F64) -> F64:
    """Return the x of `smooth` from its y, `(rows, ...)`, and the y before the first row."""
    before = np.concatenate([previous[None], smoothed[:-1]])
    return (smoothed - DECAY * before) / (1 - DECAY)


def draw_events(rng: np.random.Generator, rate: F64, quantum: F64) -> F64:
    """Draw activity of mean `rate`: Poisson numbers of events with gamma-distributed sizes.

    The variance is `rate * quantum * (1 + 1 / AMPLITUDE_SHAPE)`.

    Args:
        rng: Random numbers.
        rate: Expected activity per row, `(rows, neurons)`.
        quantum: Mean size of an event, `(neurons,)`.
    """
    events = np.zeros(rate.shape)
    count = rng.poisson(rate / quantum)
    active = np.nonzero(count)
    size = rng.standard_gamma(AMPLITUDE_SHAPE * count[active]) / AMPLITUDE_SHAPE
    events[active] = size * np.broadcast_to(quantum, rate.shape)[active]
    return events


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Responses and their expectations, each `(rows, neurons)`.

    Args:
        responses: The simulated responses.
        expected_stimulus_behavior: Expected responses given stimulus and behavior.
        expected_state: Expected responses given stimulus, behavior and the shared state.
    """

    responses: F64
    expected_stimulus_behavior: F64
    expected_state: F64


class ResponseSimulator:
    """Draws responses block by block; keeps the last row, from which the filter continues."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._population = population
        self._rng = rng
        self._previous = np.zeros((3, population.num_neurons))

    def draw(self, rate: F64, states: F64) -> Activity:
        """Draw the next rows.

        Args:
            rate: Expected activity given stimulus and behavior, `(rows, neurons)`.
            states: The shared state, `(rows, 4)`.
        """
        modulated = rate * state_gain(states, self._population.loading)
        events = draw_events(self._rng, modulated, self._population.quantum)
        traces = smooth(np.stack([events, rate, modulated], axis=1), self._previous)
        self._previous = traces[-1].copy()
        return Activity(
            responses=traces[:, 0],
            expected_stimulus_behavior=traces[:, 1],
            expected_state=traces[:, 2],
        )
