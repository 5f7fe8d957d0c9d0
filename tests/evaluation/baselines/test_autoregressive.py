"""AR, NLinear and DLinear are ridge regressions on a neuron's past."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from omnimouse_cli.evaluation.baselines.autoregressive import (
    KINDS,
    TREND_SAMPLES,
    _Problem,
    apply,
    predict_ar,
    predict_dlinear,
    predict_nlinear,
    split_trend,
)
from omnimouse_cli.evaluation.baselines.persistence import predict_persistence


@pytest.fixture
def oscillators(make_session, quiet_trials, targets_of):
    """Three neurons, each an AR(2) process of its own period."""
    rng = np.random.default_rng(0)
    values = np.zeros((3300, 3))
    for neuron, period in enumerate((40, 80, 150)):
        first, second = 2 * 0.995 * np.cos(2 * np.pi / period), -(0.995**2)
        for row in range(2, len(values)):
            past = first * values[row - 1, neuron] + second * values[row - 2, neuron]
            values[row, neuron] = past + rng.normal()
    dataset = make_session(values, quiet_trials, eye_tracker=False, treadmill=False)
    return targets_of(dataset, "forecast", stimulus=False)


def test_oscillators_are_forecast_from_their_own_past(oscillators, score_pieces):
    score = {
        predict: score_pieces(oscillators, predict(oscillators, ("train",))).per_output.min()
        for predict in (predict_persistence, predict_ar, predict_nlinear, predict_dlinear)
    }
    for predict in (predict_ar, predict_nlinear, predict_dlinear):
        assert score[predict] > 0.75
        assert score[predict] > score[predict_persistence] + 0.5


@pytest.mark.parametrize("share", [False, True])
def test_weights_are_those_of_scikit_learn(oscillators, share):
    grid = np.arange(0, 1500, 7)
    kind = KINDS["nlinear"]
    problem = _Problem.read(oscillators, grid, (0, 25), np.arange(3), kind)
    weights = problem.solve(0.1, share=share)
    past = oscillators.reader.responses(grid, (0, 25)).astype(float)
    future = oscillators.reader.responses(grid, (30, 60)).astype(float)
    x, y = past[:, :-1] - past[:, -1:], future - past[:, -1:]
    found = apply(weights, x.astype(np.float32))
    neurons = [[0, 1, 2]] if share else [[0], [1], [2]]
    for same in neurons:
        rows = x[:, :, same].transpose(2, 0, 1).reshape(-1, 24)
        model = Ridge(alpha=0.1 * len(rows))
        model.fit(rows, y[:, :, same].transpose(2, 0, 1).reshape(-1, 30))
        for neuron in same:
            np.testing.assert_allclose(
                found[:, :, neuron], model.predict(x[:, :, neuron]), atol=1e-3
            )


def test_trend_and_remainder_add_up_and_the_trend_is_the_published_average():
    past = np.random.default_rng(1).normal(size=(2, 40, 3)).astype(np.float32)
    columns = split_trend(past)
    np.testing.assert_allclose(columns[:, :40] + columns[:, 40:], past, atol=1e-6)
    half = (TREND_SAMPLES - 1) // 2
    padded = np.pad(past, ((0, 0), (half, half), (0, 0)), mode="edge")
    for sample in (0, 17, 39):
        expected = padded[:, sample : sample + TREND_SAMPLES].mean(axis=1)
        np.testing.assert_allclose(columns[:, sample], expected, atol=1e-5)


def test_neurons_without_a_visible_past_have_no_forecast(simulated_data, targets_of):
    population = targets_of(simulated_data, "population-10")
    assert predict_ar(population, ("train",)) is None
