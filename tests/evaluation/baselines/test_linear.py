"""Ridge and reduced-rank ridge from normal equations are those of formulas on the data."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from omnimouse_cli.evaluation.baselines.linear import Equations, fit_parts, make_parts
from omnimouse_cli.evaluation.baselines.reduced_rank import principal_directions, reduced_rank

ROWS, PENALTY = 5000, 0.3


def make_data(columns=12, values=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(2.0, 1.0, (ROWS, columns)) @ rng.normal(size=(columns, columns))
    y = x @ rng.normal(size=(columns, values)) + rng.normal(3.0, 2.0, (ROWS, values))
    return x.astype(np.float32), y.astype(np.float32)


@pytest.mark.parametrize("weights", [np.ones(12), np.linspace(0.2, 2.0, 12)])
def test_ridge_is_that_of_scikit_learn(weights):
    x, y = make_data()
    equations = Equations.of(x, y)
    linear = equations.linear(equations.slope(PENALTY, weights.astype(np.float32)))
    reference = Ridge(alpha=PENALTY * ROWS).fit(x.astype(float) * weights, y)
    expected = reference.predict(x.astype(float) * weights)
    np.testing.assert_allclose(linear(x), expected, atol=2e-3)


def test_columns_without_a_weight_are_not_used():
    x, y = make_data()
    weights = np.ones(12, np.float32)
    weights[3:6] = 0.0
    slope = Equations.of(x, y).slope(PENALTY, weights)
    without = Equations.of(np.delete(x, [3, 4, 5], axis=1), y).slope(PENALTY, np.ones(9))
    assert not slope[3:6].any()
    np.testing.assert_allclose(np.delete(slope, [3, 4, 5], axis=0), without, atol=1e-3)


def test_a_part_of_the_equations_is_the_regression_of_that_part():
    x, y = make_data()
    columns, values = np.array([7, 0, 4]), np.array([3, 1])
    part = Equations.of(x, y).take(columns, values)
    alone = Equations.of(x[:, columns], y[:, values])
    np.testing.assert_allclose(part.slope(0.1, np.ones(3)), alone.slope(0.1, np.ones(3)), atol=1e-3)


def test_values_are_fitted_on_the_rows_in_which_they_are_known():
    x, y = make_data()
    y[:2000, :2] = np.nan
    y[:, 4] = np.nan
    ones = np.ones(12, np.float32)
    linear = fit_parts(make_parts(x, y), 5, PENALTY, ones)
    late, whole = Equations.of(x[2000:], y[2000:, :2]), Equations.of(x, y[:, 2:4])
    np.testing.assert_allclose(linear.slope[:, :2], late.slope(PENALTY, ones), atol=1e-3)
    np.testing.assert_allclose(linear.slope[:, 2:4], whole.slope(PENALTY, ones), atol=1e-3)
    assert not linear(x)[:, 4].any()


# With more values than columns another matrix is decomposed.
@pytest.mark.parametrize("values", [5, 20])
def test_reduced_rank_ridge_is_the_projection_of_ridge_on_its_main_components(values):
    x, y = make_data(values=values)
    equations = Equations.of(x, y)
    weights = np.linspace(0.5, 1.5, 12).astype(np.float32)
    found = reduced_rank(equations, PENALTY, weights, 3)(x)
    # Mukherjee & Zhu: ridge is least squares with rows added; its predictions are projected.
    scaled = (x - x.mean(axis=0)).astype(float) * weights
    added = np.concatenate([scaled, np.sqrt(PENALTY * ROWS) * np.eye(12)])
    centered = np.concatenate([y - y.mean(axis=0), np.zeros((12, values))])
    fitted = added @ np.linalg.lstsq(added, centered, rcond=None)[0]
    main = np.linalg.svd(fitted, full_matrices=False)[2][:3]
    expected = fitted[:ROWS] @ main.T @ main + y.mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_all_components_together_are_ridge():
    x, y = make_data()
    equations, ones = Equations.of(x, y), np.ones(12, np.float32)
    slope = equations.slope(PENALTY, ones)
    np.testing.assert_allclose(reduced_rank(equations, PENALTY, ones, 5).slope, slope, atol=1e-3)
    directions = principal_directions(equations, slope, PENALTY, ones)
    np.testing.assert_allclose(directions.T @ directions, np.eye(5), atol=1e-9)
