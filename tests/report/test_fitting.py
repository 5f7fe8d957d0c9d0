"""The optimizer: the known answer, peers, robustness, the likelihood behind the criteria."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import least_squares

from omnimouse_cli.report.csv_table import read_csv_table
from omnimouse_cli.report.fitting import (
    compute_negative_log_likelihood,
    compute_objective,
    describe_bounds,
    fit,
    huber_loss,
    make_problem,
    minimize_batch,
    polish,
)
from omnimouse_cli.report.forms import JOINT, POWER
from omnimouse_cli.report.table import get_column, get_log_sizes, parse_condition


def problem_of(table, form=JOINT, **options):
    rows = table.rows
    return make_problem(form, get_log_sizes(rows), np.log(get_column(rows, "loss")), **options)


def plain_fit(rows, start, delta):
    """A peer: the plain formula in natural parameters, SciPy's own Huber loss and derivatives."""
    size, tokens, loss = (get_column(rows, name) for name in ("parameters", "tokens", "loss"))

    def residuals(theta):
        e, log_a, alpha, log_b, beta = theta
        law = np.exp(e) + np.exp(log_a) / size**alpha + np.exp(log_b) / tokens**beta
        return np.log(law) - np.log(loss)

    found = least_squares(
        residuals,
        start,
        loss="huber",
        f_scale=delta,
        xtol=1e-14,
        ftol=1e-14,
        gtol=1e-14,
        max_nfev=20_000,
        x_scale=[1, 10, 1, 10, 1],
    )
    return found.x, found.cost / len(rows)


def test_a_noiseless_table_gives_its_law_back(grid):
    table, law = grid(noise=0.0, seeds=1)
    found = fit(problem_of(table))
    assert found.objective < 1e-14
    assert found.values == pytest.approx(law, rel=1e-3)
    assert found.agreeing > 0.2
    assert describe_bounds(found) == ()


def test_the_language_model_table_is_fitted_as_well_as_by_a_peer(openlm):
    table = read_csv_table(
        openlm,
        columns={"parameters": "params_no_embed", "loss": "loss_c4_val"},
        where=[parse_condition("train_set==c4_original")],
    )
    found = fit(problem_of(table))
    starts = [
        [np.log(e), alpha * 18, alpha, beta * 23, beta]
        for e in (1.0, 2.0)
        for alpha in (0.2, 0.5)
        for beta in (0.2, 0.5)
    ]
    theta, cost = min(
        (plain_fit(table.rows, start, 1e-3) for start in starts), key=lambda pair: pair[1]
    )
    assert found.objective <= cost * (1 + 1e-6)
    assert found.objective == pytest.approx(cost, rel=0.01)
    peer = {"E": np.exp(theta[0]), "alpha": theta[2], "beta": theta[4]}
    assert {name: found.values[name] for name in peer} == pytest.approx(peer, rel=0.1)
    assert 0.15 < found.values["alpha"] < 0.35
    assert 0.15 < found.values["beta"] < 0.4
    assert 1.2 < found.values["E"] < 2.0


def test_other_starts_reach_the_same_optimum(openlm):
    table = read_csv_table(openlm, columns={"parameters": "params_no_embed", "loss": "loss_c4_val"})
    first, second = (fit(problem_of(table), seed=seed) for seed in (0, 1))
    assert first.values == pytest.approx(second.values, rel=1e-4)


def test_the_descent_ends_where_l_bfgs_b_does(grid):
    table, _ = grid(noise=0.01)
    problem = problem_of(table)
    generator = np.random.default_rng(0)
    best = fit(problem).theta
    counts = generator.multinomial(len(problem.y), np.full(len(problem.y), 1 / len(problem.y)), 8)
    ends, values = minimize_batch(problem, np.repeat(best[None], 8, axis=0), counts.astype(float))
    for count, end, value in zip(counts, ends, values, strict=True):
        rows = np.repeat(np.arange(len(problem.y)), count)
        part = make_problem(JOINT, problem.x[rows] + problem.center, problem.y[rows])
        # Its data are centred elsewhere, and its bounds are those of the rows that were drawn.
        shift = part.center - problem.center
        start = end - np.array([0, end[2] * shift[0], 0, end[4] * shift[1], 0])
        assert compute_objective(part, start)[0] == pytest.approx(value, rel=1e-9)
        assert value <= polish(part, start)[1] * 1.01


def test_far_points_hardly_move_the_fit(grid):
    table, _ = grid(noise=0.002)
    problem = problem_of(table)
    y = problem.y.copy()
    y[::12] += 0.3
    spoiled = make_problem(JOINT, problem.x + problem.center, y)
    square = make_problem(JOINT, problem.x + problem.center, y, delta=10.0)
    truth = np.log(get_column(grid(noise=0.0)[0].rows, "loss"))
    worst = [np.abs(y - fit(one).residuals - truth).max() for one in (spoiled, square)]
    assert worst[0] < 0.005
    assert worst[1] > 0.02


def test_a_law_without_one_of_its_terms_ends_at_a_bound(grid):
    table, _ = grid(seeds=1, law={"E": 1.0, "A": 0.0, "alpha": 0.3, "B": 300.0, "beta": 0.3})
    assert any(
        "A runs to 0" in said or "alpha" in said for said in describe_bounds(fit(problem_of(table)))
    )


@pytest.mark.parametrize("scale", [1e-7, 1e-6, 1e-4])
def test_the_likelihood_is_that_of_a_density(scale):
    delta = 1e-3
    far = delta + 60 * scale / delta
    mass, _ = quad(
        lambda r: np.exp(-huber_loss(np.array(r), delta) / scale), -far, far, points=[-delta, delta]
    )
    # At the best scale of a single residual the likelihood cannot be below that at this scale.
    residual = 2e-3
    here = np.log(mass) + float(huber_loss(np.array(residual), delta)) / scale
    best = compute_negative_log_likelihood(float(huber_loss(np.array(residual), delta)), 1, delta)
    assert best <= here + 1e-6


def test_small_residuals_have_the_likelihood_of_a_normal_density():
    residuals = np.random.default_rng(0).normal(0, 1e-4, 1000)
    variance = np.mean(residuals**2)
    expected = 0.5 * len(residuals) * (np.log(2 * np.pi * variance) + 1)
    total = float(huber_loss(residuals, 1e-3).sum())
    assert compute_negative_log_likelihood(total, 1000, 1e-3) == pytest.approx(expected, rel=1e-6)


def test_large_residuals_have_the_likelihood_of_a_two_sided_exponential():
    residuals = np.random.default_rng(0).laplace(0, 0.1, 1000)
    expected = len(residuals) * (np.log(2 * np.mean(np.abs(residuals))) + 1)
    total = float(huber_loss(residuals, 1e-3).sum())
    assert compute_negative_log_likelihood(total, 1000, 1e-3) == pytest.approx(expected, rel=0.02)


def test_a_power_law_of_one_variable_is_found(grid):
    law = {"E": 0.0, "A": 0.0, "alpha": 0.3, "B": 300.0, "beta": 0.3}
    table, _ = grid(seeds=1, noise=0.0, law=law)
    found = fit(problem_of(table, POWER["tokens"]))
    assert found.values == pytest.approx({"B": 300.0, "beta": 0.3}, rel=1e-4)
