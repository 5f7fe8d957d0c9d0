"""The factor model is the Gaussian conditional expectation, and recovers data of its own kind."""

import numpy as np
import pytest

from omnimouse_cli.evaluation.baselines.choose import training_windows
from omnimouse_cli.evaluation.baselines.factor_model import (
    FactorModel,
    fit_factors,
    predict_factor_model,
)


@pytest.fixture
def two_factors(make_session, quiet_trials):
    """40 neurons with two fast factors and noise of different sizes; and the loadings."""
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(2, 40))
    noise = rng.uniform(0.5, 1.5, 40)
    values = rng.normal(size=(3300, 2)) @ loadings + noise * rng.normal(size=(3300, 40))
    dataset = make_session(values, quiet_trials, eye_tracker=False, treadmill=False)
    return dataset, FactorModel(np.zeros(40), loadings, noise**2)


def test_others_are_expected_as_a_gaussian_says():
    rng = np.random.default_rng(1)
    model = FactorModel(rng.normal(size=9), rng.normal(size=(3, 9)), rng.uniform(0.2, 2.0, 9))
    visible, others = np.array([0, 3, 4, 8]), np.array([1, 7])
    covariance = model.loadings.T @ model.loadings + np.diag(model.noise)
    slope = np.linalg.solve(covariance[np.ix_(visible, visible)], covariance[visible][:, others])
    x = rng.normal(size=(6, 4)).astype(np.float32)
    expected = model.mean[others] + (x - model.mean[visible]) @ slope
    np.testing.assert_allclose(model.conditional(visible, others)(x), expected, rtol=1e-4)


def test_the_fit_recovers_loadings_and_noise(two_factors, targets_of):
    dataset, truth = two_factors
    reader = targets_of(dataset, "population-16", stimulus=False).reader
    grid = training_windows(reader, ("train",))
    model = fit_factors(reader, grid.tobytes(), 2, 0.0)
    scale = reader.scale
    expected = truth.loadings.T @ truth.loadings / scale / scale[:, None]
    np.testing.assert_allclose(model.loadings.T @ model.loadings, expected, atol=0.08)
    np.testing.assert_allclose(model.noise, truth.noise / scale**2, atol=0.08)


def test_predictions_are_as_good_as_those_of_the_true_model(two_factors, targets_of, score_pieces):
    dataset, truth = two_factors
    targets = targets_of(dataset, "population-16", stimulus=False)
    found = score_pieces(targets, predict_factor_model(targets, ("train",)))
    visible = targets.selection.visible[0].numpy()
    linear = truth.conditional(visible, targets.outputs)
    raw = targets.reader.responses(targets.windows.grid, (30, 60)) * targets.reader.scale
    raw = (raw + targets.reader.shift).astype(np.float32)
    best = linear(raw[:, :, visible]).reshape(-1, targets.num_outputs)
    measured = raw[:, :, targets.outputs].reshape(best.shape)
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(best.T, measured.T, strict=True)]
    assert found.per_output.mean() > np.mean(expected) - 0.03


def test_there_is_no_factor_model_where_no_other_neuron_is_visible(simulated_data, targets_of):
    for strategy in ("predict", "forecast", "decode"):
        assert predict_factor_model(targets_of(simulated_data, strategy), ("train",)) is None
