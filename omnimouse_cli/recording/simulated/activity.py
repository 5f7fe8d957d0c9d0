"""From expected rates to responses: events, and the smoothing of a calcium-like indicator."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.recording.simulated.dynamics import state_gain
from omnimouse_cli.recording.simulated.population import AMPLITUDE_SHAPE, Population
from omnimouse_cli.recording.simulated.settings import DECAY

F64 = NDArray[np.float64]


def smooth(values: F64, previous: F64) -> F64:
    """Filter along the first axis: y_t = DECAY y_(t-1) + (1 - DECAY) x_t.

    Args:
        values: `(rows, ...)`.
        previous: The y before the first row, `(...)`.
    """
    smoothed = (1 - DECAY) * values
    smoothed[0] += DECAY * previous
    for row in range(1, len(smoothed)):
        smoothed[row] += DECAY * smoothed[row - 1]
    return smoothed


def unsmooth(smoothed: F64, previous: F64) -> F64:
    """Give back the x of `smooth`."""
    before = np.concatenate([previous[None], smoothed[:-1]])
    return (smoothed - DECAY * before) / (1 - DECAY)


def draw_events(rng: np.random.Generator, rate: F64, quantum: F64) -> F64:
    """Draw activity of mean `rate`: a Poisson number of events of gamma-distributed sizes.

    Its variance is `rate * quantum * (1 + 1 / AMPLITUDE_SHAPE)`.
    """
    events = np.zeros(rate.shape)
    count = rng.poisson(rate / quantum)
    active = np.nonzero(count)
    size = rng.standard_gamma(AMPLITUDE_SHAPE * count[active]) / AMPLITUDE_SHAPE
    events[active] = size * np.broadcast_to(quantum, rate.shape)[active]
    return events


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Responses and what could be expected of them, each `(rows, neurons)`.

    Args:
        responses: The simulated responses.
        expected_stimulus_behavior: Their expectation given stimulus and behavior.
        expected_state: Their expectation given stimulus, behavior and the shared state.
    """

    responses: F64
    expected_stimulus_behavior: F64
    expected_state: F64


class ActivitySource:
    """Draws responses row after row; keeps the last row, which the next one continues."""

    def __init__(self, population: Population, rng: np.random.Generator) -> None:
        self._population = population
        self._rng = rng
        self._previous = np.zeros((3, population.num_neurons))

    def draw(self, rate: F64, states: F64) -> Activity:
        """Draw the next rows.

        Args:
            rate: `(rows, neurons)` expected activity given stimulus and behavior.
            states: `(rows, K)` the shared state.
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
