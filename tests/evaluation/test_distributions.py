"""Predictive distributions against SciPy, and coverage of simulated responses."""

import numpy as np
import pytest
from scipy import stats
from torch import special

from omnimouse_cli.evaluation.distributions import (
    Distribution,
    are_counts,
    coverage,
    fit_distribution,
)

LEVELS = (0.5, 0.8, 0.95)
SHAPE, EVENTS = 2.5, 0.8


def draw(family, mean, rng):
    """Return responses of true means."""
    if family == "normal":
        return rng.normal(mean, 0.7)
    if family == "poisson":
        return rng.poisson(mean).astype(float)
    active = -np.expm1(-EVENTS * mean)
    return rng.gamma(SHAPE, mean / active / SHAPE) * (rng.random(mean.shape) < active)


@pytest.fixture
def means():
    return np.random.default_rng(0).gamma(2.0, 1.0, size=(8_000, 3)) + 0.05


@pytest.mark.parametrize("family", ["normal", "poisson", "zero-inflated gamma"])
def test_intervals_about_true_means_cover_as_often_as_they_say(family, means):
    rng = np.random.default_rng(1)
    fit = fit_distribution(family, draw(family, means, rng), means)
    scores = fit.score(draw(family, means, rng), means)
    np.testing.assert_array_less(scores.below - 1e-12, scores.up_to)
    for level in LEVELS:
        covered = coverage(scores.below, scores.up_to, level)
        # Four standard errors of 24,000 draws, with that of the fit.
        assert covered.mean() == pytest.approx(level, abs=6 * (level * (1 - level) / 24_000) ** 0.5)


def test_a_wrong_dispersion_does_not_cover(means):
    rng = np.random.default_rng(2)
    normal = Distribution(family="normal", parameters=np.full((1, 3), 0.35))
    scores = normal.score(draw("normal", means, rng), means)
    assert coverage(scores.below, scores.up_to, 0.95).mean() < 0.75
    over_dispersed = rng.negative_binomial(1, 1 / (1 + means)).astype(float)
    scores = fit_distribution("poisson", over_dispersed, means).score(over_dispersed, means)
    assert coverage(scores.below, scores.up_to, 0.8).mean() < 0.7


def test_scores_are_those_of_scipy(means):
    rng = np.random.default_rng(3)
    means = means[:50]
    truth = draw("normal", means, rng)
    normal = Distribution(family="normal", parameters=np.full((1, 3), 0.7))
    np.testing.assert_allclose(
        normal.score(truth, means),
        [
            stats.norm.logpdf(truth, means, 0.7),
            *2 * [stats.norm.cdf(truth, means, 0.7)],
        ],
    )
    truth = draw("poisson", means, rng)
    np.testing.assert_allclose(
        Distribution(family="poisson", parameters=np.zeros((0, 3))).score(truth, means),
        [
            stats.poisson.logpmf(truth, means),
            stats.poisson.cdf(truth - 1, means),
            stats.poisson.cdf(truth, means),
        ],
        atol=1e-12,
    )
    truth, zero = draw("gamma", means, rng), 0.01
    parameters = np.array([[SHAPE], [EVENTS], [zero]]).repeat(3, axis=1)
    gamma = Distribution(family="zero-inflated gamma", parameters=parameters)
    active = 1 - np.exp(-EVENTS * means)
    above = stats.gamma(SHAPE, scale=means / active / SHAPE)
    up_to = 1 - active + active * above.cdf(np.maximum(truth, zero))
    density = np.log(active) + above.logpdf(np.maximum(truth, zero))
    is_zero = truth <= zero
    assert is_zero.any()
    np.testing.assert_allclose(
        gamma.score(truth, means),
        [np.where(is_zero, np.log(up_to), density), np.where(is_zero, 0.0, up_to), up_to],
    )


@pytest.mark.parametrize("family", ["normal", "poisson", "zero-inflated gamma"])
def test_the_likelihood_of_a_fixed_mean_is_that_of_all_scores(family, means):
    truth, fixed = draw(family, means[:60], np.random.default_rng(7)), means.mean(axis=0)
    truth[:5, 0] = np.nan
    everywhere = np.broadcast_to(fixed, truth.shape).copy()
    fit = fit_distribution(family, truth, everywhere)
    np.testing.assert_allclose(
        fit.log_likelihood(truth, fixed), fit.score(truth, everywhere).log_likelihood, rtol=1e-12
    )


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("zeros", [3, 2_000, 7_990])
def test_expected_zeros_are_those_that_were_recorded(means, zeros, scale):
    truth, means = np.full_like(means, scale), scale * means
    truth += scale * np.random.default_rng(8).random(truth.shape)
    truth[:zeros] = 0
    _, events, _ = fit_distribution("zero-inflated gamma", truth, means).parameters
    # Jeffreys' prior: half a zero more of one sample more.
    expected = len(truth) * (zeros + 0.5) / (len(truth) + 1)
    found = np.exp(-events * means).sum(axis=0)
    # The square of the last step, and rounding of a sum of 8,000 numbers of at most 1.
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("family", ["poisson", "zero-inflated gamma"])
def test_lost_samples_never_reach_the_slow_branch_of_incomplete_gamma_functions(
    monkeypatch, means, *, family
):
    def watch(function):
        def watched(shape, x):
            assert not (shape + x).isnan().any()
            return function(shape, x)

        return watched

    truth, means = draw(family, means[:60], np.random.default_rng(6)), means[:60]
    # The last neuron has too few samples, and no distribution unless it needs no parameters.
    truth[:5, 0], truth[5:, 2] = np.nan, np.nan
    for name in ("gammainc", "gammaincc"):
        monkeypatch.setattr(special, name, watch(getattr(special, name)))
    scores = fit_distribution(family, truth, means).score(truth, means)
    lost = np.isnan(truth)
    if family != "poisson":
        lost[:, 2] = True
    for values in (scores.log_likelihood, scores.up_to):
        np.testing.assert_array_equal(np.isnan(values), lost)


def test_fits_find_the_parameters_and_leave_lost_samples_out(means):
    rng = np.random.default_rng(4)
    truth = draw("normal", means, rng)
    truth[::3, 0] = np.nan
    np.testing.assert_allclose(fit_distribution("normal", truth, means).parameters, 0.7, rtol=0.03)
    truth = draw("gamma", means, rng)
    truth[::3, 0] = np.nan
    shape, events, _ = fit_distribution("zero-inflated gamma", truth, means).parameters
    np.testing.assert_allclose(shape, SHAPE, rtol=0.05)
    np.testing.assert_allclose(events, EVENTS, rtol=0.05)


def test_neurons_without_enough_responses_have_no_distribution(means):
    truth = draw("gamma", means, np.random.default_rng(5))
    truth[:, 1] = 0
    truth[20:, 2] = np.nan
    fit = fit_distribution("zero-inflated gamma", truth, means)
    assert fit.exists.tolist() == [True, False, False]
    constant = fit_distribution("normal", means, means)
    assert not constant.exists.any()
    # Without a single zero, one is possible still.
    positive = fit_distribution("zero-inflated gamma", truth + 1, means)
    assert np.isfinite(positive.score(truth * 0, means).log_likelihood[:, 0]).all()


def test_counts_are_whole_and_not_tiny():
    assert are_counts(np.array([0.0, 3.0, np.nan, 1.0000001]))
    assert not are_counts(np.array([0.0, 3.5]))
    assert not are_counts(np.array([0.0, -1.0, 1.0]))
    assert not are_counts(np.array([0.0, 1e-7]))
