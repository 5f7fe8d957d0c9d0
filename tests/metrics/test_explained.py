"""Explained deviance and variance against scikit-learn, and in resamples of blocks."""

import numpy as np
import pytest
from sklearn.metrics import d2_tweedie_score, mean_poisson_deviance, r2_score

from omnimouse_cli.metrics.explained import (
    PoissonDeviance,
    mean_r2,
    poisson_explained,
    variance_explained,
)
from omnimouse_cli.metrics.moments import Moments, moments_of

BLOCKS, SAMPLES, OUTPUTS = 4, 50, 3


@pytest.fixture
def rates():
    rng = np.random.default_rng(0)
    truth = rng.gamma(0.5, 2.0, (BLOCKS, SAMPLES, OUTPUTS))
    truth[rng.random(truth.shape) < 0.3] = 0.0
    prediction = 0.5 * truth + rng.gamma(1.0, 0.5, truth.shape)
    truth[1, 3, 0] = np.nan
    return truth, prediction


def sums_of(truth, prediction, floor=1e-6):
    deviance = PoissonDeviance((BLOCKS, OUTPUTS), np.full(OUTPUTS, floor))
    blocks = Moments.zeros((BLOCKS, OUTPUTS))
    for number in range(BLOCKS):
        blocks.add(number, moments_of(truth[number], prediction[number]))
        deviance.add(number, slice(None), truth[number], prediction[number])
    return deviance, blocks


def known(truth, prediction, output):
    pair = truth[..., output].ravel(), prediction[..., output].ravel()
    measured = ~np.isnan(pair[0])
    return pair[0][measured], pair[1][measured]


def test_one_output_has_the_values_of_scikit_learn(rates):
    truth, prediction = rates
    one = np.ones((1, BLOCKS))
    for output in range(OUTPUTS):
        deviance, blocks = sums_of(truth, prediction)
        other = [number for number in range(OUTPUTS) if number != output]
        deviance.deviance[:, other] = deviance.entropy[:, other] = 0
        y, mu = known(truth, prediction, output)
        only = blocks[:, [output]]
        assert variance_explained(only, one)[0] == pytest.approx(r2_score(y, mu))
        # The others count as outputs without a sample.
        for name in ("count", "mean_truth"):
            getattr(blocks, name)[:, other] = 0
        explained, bits = poisson_explained(deviance, blocks, one)
        assert explained[0] == pytest.approx(d2_tweedie_score(y, mu, power=1))
        gain = mean_poisson_deviance(y, np.full(len(y), y.mean())) - mean_poisson_deviance(y, mu)
        assert bits[0] == pytest.approx(gain / 2 / np.log(2))


def test_outputs_are_averaged_for_r2_and_pooled_for_variance(rates):
    truth, prediction = rates
    truth = np.nan_to_num(truth)
    _, blocks = sums_of(truth, prediction)
    flat = truth.reshape(-1, OUTPUTS), prediction.reshape(-1, OUTPUTS)
    one = np.ones((1, BLOCKS))
    assert mean_r2(blocks, one)[0] == pytest.approx(r2_score(*flat))
    pooled = r2_score(*flat, multioutput="variance_weighted")
    assert variance_explained(blocks, one)[0] == pytest.approx(pooled)
    blocks.spread_truth[:, 0] = 0
    blocks.mean_truth[:, 0] = 1
    assert mean_r2(blocks, one)[0] == pytest.approx(r2_score(flat[0][:, 1:], flat[1][:, 1:]))


def test_weights_are_repeats_of_blocks(rates):
    truth, prediction = rates
    deviance, blocks = sums_of(truth, prediction)
    repeated = [0, 0, 3, 1]
    again, again_blocks = sums_of(truth[repeated], prediction[repeated])
    weights, one = np.array([[2.0, 1.0, 0.0, 1.0]]), np.ones((1, BLOCKS))
    for score in (variance_explained, mean_r2):
        assert score(blocks, weights) == pytest.approx(score(again_blocks, one))
    for found, expected in zip(
        poisson_explained(deviance, blocks, weights),
        poisson_explained(again, again_blocks, one),
        strict=True,
    ):
        assert found == pytest.approx(expected)


def test_predictions_below_the_floor_are_raised_to_it(rates):
    truth, prediction = rates
    low = np.where(prediction < 0.2, -3.0, prediction)
    raised, _ = sums_of(truth, np.maximum(low, 0.1))
    found, _ = sums_of(truth, low, floor=0.1)
    np.testing.assert_allclose(found.deviance, raised.deviance)


def test_constant_responses_have_no_score():
    blocks = Moments.zeros((2, 1))
    blocks.add(0, moments_of(np.ones((5, 1)), np.zeros((5, 1))))
    assert np.isnan(variance_explained(blocks, np.ones((1, 2)))).all()
    assert np.isnan(mean_r2(blocks, np.ones((1, 2)))).all()
