"""Calibration of a whole evaluation: units, families, which tier distributions are fitted to."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from omnimouse_cli.evaluation.calibration import PREDICTIVE, Calibration, fit_outputs
from omnimouse_cli.evaluation.evaluate import evaluate
from omnimouse_cli.evaluation.records import EvalOptions
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.reporter import Silent
from omnimouse_cli.run.load import load_run, open_run_data

COVERAGES = {"coverage_50": 0.5, "coverage_80": 0.8, "coverage_95": 0.95}
FORECAST = EvalOptions(regime="forecast", stimulus=False, baselines=())


@pytest.fixture
def calibrate(make_session, quiet_trials, targets_of, score_pieces):
    """Return a function that scores the true means of responses, by metric."""

    def make(responses, means, response_loss):
        targets = targets_of(make_session(responses, quiet_trials), "forecast")
        grid = targets.windows.grid
        rows = grid[:, None] + np.arange(*targets.samples)
        shift, scale = targets.reader.shift, targets.reader.scale
        predictions = ((means[rows] - shift) / scale).astype(np.float32)
        truth = targets.truth(grid)
        shape = (-1, targets.num_outputs)
        fit = fit_outputs(targets, truth.reshape(shape), predictions.reshape(shape), response_loss)
        calibration = Calibration(targets, fit)
        pieces = [Piece(slice(0, 7), slice(None), predictions[:7])]
        pieces.append(Piece(slice(7, len(grid)), slice(None), predictions[7:]))
        for piece in pieces:
            calibration.add(piece)
        number = score_pieces(targets, pieces, response_loss).correlations["neurons"]
        found = [one.record for one in calibration.numbers(number)]
        return rows, {record.metric: record for record in found}

    return make


def rates(neurons=4):
    slow = np.sin(np.arange(3300)[:, None] / 40 + np.arange(neurons))
    return 1.5 + slow


@pytest.mark.parametrize("loss", ["gaussian", "poisson", "gamma"])
def test_true_means_are_covered_in_the_recorded_unit(calibrate, loss):
    rng = np.random.default_rng(0)
    means = rates()
    responses = {
        "gaussian": lambda: rng.normal(means - 1, 0.5),
        "poisson": lambda: rng.poisson(means).astype(float),
        "gamma": lambda: rng.gamma(2.0, means / 2),
    }[loss]()
    means = means - 1 if loss == "gaussian" else means
    rows, found = calibrate(responses.astype(np.float32), means, loss)
    recorded, true = responses[rows], means[rows]
    expected = {
        "gaussian": ("normal", stats.norm(true, 0.5).logpdf),
        "poisson": ("poisson", stats.poisson(true).logpmf),
        "gamma": ("zero-inflated gamma", stats.gamma(2.0, scale=true / 2).logpdf),
    }
    family, density = expected[loss]
    likelihood = found["log_likelihood"]
    assert (likelihood.distribution, likelihood.neurons, likelihood.excluded) == (family, 4, 0)
    assert likelihood.value == pytest.approx(density(recorded).mean(), abs=0.02)
    assert likelihood.low < likelihood.value < likelihood.high
    assert found["log_likelihood_gain"].value > 0.02
    for metric, level in COVERAGES.items():
        assert found[metric].value == pytest.approx(level, abs=0.03)


def test_silent_neurons_are_left_out_and_counts_are_no_rates(calibrate):
    rng = np.random.default_rng(0)
    responses = rng.gamma(2.0, rates() / 2)
    responses[:, 1] = 0
    _, found = calibrate(responses.astype(np.float32), rates(), "poisson")
    record = found["coverage_80"]
    assert (record.distribution, record.neurons, record.excluded) == ("zero-inflated gamma", 3, 1)


@pytest.mark.slow
def test_the_evaluation_of_a_run_says_how_calibrated_it_is(simulated_run):
    run = load_run(simulated_run)
    data = open_run_data(run, None)
    records = {
        (record.strategy, record.metric): record
        for record in evaluate(run, data, FORECAST, Silent()).records
        if record.session == "overall"
    }
    # An untrained model has dispersions as wide as its errors.
    for metric, level in COVERAGES.items():
        record = records["forecast", metric]
        assert record.value == pytest.approx(level, abs=0.1)
        assert record.predictor == "model"
    assert records["forecast", "log_likelihood"].value is not None
    same = evaluate(run, data, replace(FORECAST, tier="validation"), Silent())
    assert not any(record.metric in COVERAGES for record in same.records)
    reasons = {item.reason for item in same.unavailable if item.predictor == PREDICTIVE}
    assert reasons == {
        "it needs a validation tier that is neither trained on nor scored, to be fitted to"
    }
