"""The ground truth is the mean of many simulated responses."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.simulated.activity import (
    ResponseSimulator,
    draw_events,
    draw_states,
    smooth,
    transition_matrix,
    unsmooth,
)
from omnimouse_cli.recording.simulated.population import draw_population
from omnimouse_cli.recording.simulated.settings import DECAY
from omnimouse_cli.recording.simulated.truth import Truth, load_truth

NUM_NEURONS = 5
NUM_ROWS = 40


@pytest.fixture
def population():
    # With frequent events the mean converges within few draws.
    drawn = draw_population(3, 0, NUM_NEURONS)
    return replace(drawn, quantum=drawn.activity / 2)


@pytest.fixture
def rate(population):
    wave = 1 + 0.8 * np.sin(np.arange(NUM_ROWS)[:, None] / 4 + np.arange(NUM_NEURONS))
    return population.activity * wave


def truth_of(population, rate, states):
    previous = np.zeros(NUM_NEURONS)
    return Truth(
        session="1-1-1",
        expected_stimulus_behavior=smooth(rate, previous).astype(np.float32),
        expected_state=np.zeros((NUM_ROWS, NUM_NEURONS), np.float32),
        state=states.astype(np.float32),
        behavior=np.zeros((NUM_ROWS, 5), np.float32),
        channels=("a", "b", "c", "d", "e"),
        behavior_center=np.zeros(5),
        behavior_scale=np.ones(5),
        population=population,
    )


def assert_is_mean(draws, expected):
    """Draws `(simulations, ...)` have the mean `expected`, within their own standard errors."""
    error = draws.std(axis=0) / np.sqrt(len(draws))
    surprise = (draws.mean(axis=0) - expected) / error
    assert np.sqrt(np.mean(surprise**2)) < 1.5
    assert np.abs(surprise).max() < 5.5


def test_the_mean_over_states_and_events_is_the_expectation_given_stimulus_and_behavior(
    population, rate
):
    rng = np.random.default_rng(0)
    draws, expectations = [], set()
    for _ in range(1500):
        activity = ResponseSimulator(population, rng).draw(rate, draw_states(rng, NUM_ROWS))
        draws.append(activity.responses)
        expectations.add(activity.expected_stimulus_behavior.tobytes())
    assert len(expectations) == 1
    assert_is_mean(np.stack(draws), activity.expected_stimulus_behavior)


def test_the_mean_over_events_is_the_expectation_given_the_state(population, rate):
    rng = np.random.default_rng(1)
    states = draw_states(rng, NUM_ROWS)
    drawn = [ResponseSimulator(population, rng).draw(rate, states) for _ in range(1500)]
    assert_is_mean(np.stack([activity.responses for activity in drawn]), drawn[0].expected_state)


def test_the_forecast_is_the_mean_of_all_continuations(population, rate):
    # The continuation is computed independently: new states, new events, the same filter.
    rng = np.random.default_rng(2)
    states = draw_states(rng, NUM_ROWS)
    last = 9
    seen = population.activity * rng.uniform(0, 4, NUM_NEURONS)
    matrix = transition_matrix()
    noise = np.linalg.cholesky(np.eye(len(matrix)) - matrix @ matrix.T)
    simulations, steps = 4000, NUM_ROWS - last - 1
    response = np.tile(seen, (simulations, 1))
    state = np.tile(states[last], (simulations, 1))
    draws = np.empty((simulations, steps, NUM_NEURONS))
    half = 0.5 * np.sum(population.loading**2, axis=1)
    for step in range(steps):
        state = state @ matrix.T + rng.normal(size=state.shape) @ noise.T
        gain = np.exp(state @ population.loading.T - half)
        events = draw_events(rng, rate[last + 1 + step] * gain, population.quantum)
        response = DECAY * response + (1 - DECAY) * events
        draws[:, step] = response
    truth = truth_of(population, rate, states)
    rows = np.arange(last + 1, NUM_ROWS)[None]
    expected = truth.expected_forecast(np.array([last]), rows, seen[None])[0]
    assert_is_mean(draws, expected)


def test_a_forecast_of_some_rows_is_the_forecast_of_all_rows_at_them(population, rate):
    rng = np.random.default_rng(3)
    truth = truth_of(population, rate, draw_states(rng, NUM_ROWS))
    last = np.array([3, 8])
    seen = rng.uniform(0, 5, (2, NUM_NEURONS))
    every = truth.expected_forecast(last, last[:, None] + np.arange(1, 21), seen)
    some = truth.expected_forecast(last, last[:, None] + np.array([6, 11, 20]), seen)
    np.testing.assert_array_equal(some, every[:, [5, 10, 19]])


def test_a_forecast_backwards_in_time_is_refused(population, rate):
    truth = truth_of(population, rate, np.zeros((NUM_ROWS, 4)))
    seen = np.ones((1, NUM_NEURONS))
    for rows in ([[5, 6]], [[7, 6]], [[4]]):
        with pytest.raises(ValueError, match="ascending"):
            truth.expected_forecast(np.array([5]), np.array(rows), seen)


def test_events_have_the_stated_mean_and_variance():
    rng = np.random.default_rng(4)
    rate, quantum = np.full((200_000, 2), [0.5, 3.0]), np.array([2.0, 1.0])
    events = draw_events(rng, rate, quantum)
    np.testing.assert_allclose(events.mean(axis=0), rate[0], rtol=0.03)
    np.testing.assert_allclose(events.var(axis=0), rate[0] * quantum * 1.5, rtol=0.05)


def test_smoothing_can_be_undone():
    values = np.random.default_rng(5).exponential(size=(50, 3))
    previous = np.array([1.0, 2.0, 0.0])
    np.testing.assert_allclose(unsmooth(smooth(values, previous), previous), values, atol=1e-12)


def test_the_shared_state_has_unit_covariance_and_the_stated_memory():
    states = draw_states(np.random.default_rng(6), 200_000)
    np.testing.assert_allclose(np.cov(states.T), np.eye(4), atol=0.12)
    lagged = states[10:].T @ states[:-10] / len(states)
    np.testing.assert_allclose(lagged, np.linalg.matrix_power(transition_matrix(), 10), atol=0.12)


def test_a_recording_without_a_known_answer_is_named(tmp_path):
    with pytest.raises(RecordingError, match="no ground truth"):
        load_truth(tmp_path)


def test_a_damaged_answer_is_named(small_mice, tmp_path):
    copy = shutil.copytree(small_mice[0].path, tmp_path / "copy")
    state = copy / "truth" / "state.npy"
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(RecordingError, match="damaged"):
        load_truth(copy)
