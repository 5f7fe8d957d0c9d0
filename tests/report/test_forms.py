"""Every form of the law: value, derivatives, bounds, and the numbers as people write them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad

from omnimouse_cli.report.fitting import compute_objective, draw_starts, make_problem
from omnimouse_cli.report.forms import (
    BROKEN_JOINT,
    BROKEN_SINGLE,
    CONSTANT,
    JOINT,
    POWER,
    SATURATING,
    TIED,
    compute_log_loss,
    to_natural_parameters,
)

FORMS = [
    CONSTANT,
    *POWER.values(),
    *SATURATING.values(),
    TIED,
    JOINT,
    *BROKEN_JOINT.values(),
    *BROKEN_SINGLE.values(),
]


def data(seed=0, rows=30):
    generator = np.random.default_rng(seed)
    x = generator.uniform([13, 18], [20, 26], (rows, 2))
    return x, generator.uniform(0.5, 1.5, rows)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form.name}-{len(form.axes)}")
@pytest.mark.parametrize("delta", [1e-3, 0.3])
def test_the_gradient_is_that_of_the_objective(form, delta):
    problem = make_problem(form, *data(), delta=delta)
    for theta in draw_starts(problem, 5, np.random.default_rng(1)):
        error = check_grad(
            lambda point: compute_objective(problem, point)[0],
            lambda point: compute_objective(problem, point)[1],
            theta,
        )
        assert error < 1e-6 * max(1, np.abs(compute_objective(problem, theta)[1]).max())


@settings(max_examples=50, deadline=None)
@given(
    st.floats(0.1, 3), st.floats(1, 1e3), st.floats(1, 1e3), st.floats(0.05, 1), st.floats(0.05, 1)
)
def test_the_joint_law_is_the_plain_formula(e, a, b, alpha, beta):
    x, y = data()
    problem = make_problem(JOINT, x, y)
    center = problem.center
    theta = np.array(
        [np.log(e), np.log(a) - alpha * center[0], alpha, np.log(b) - beta * center[1], beta]
    )
    assert JOINT.names == ("e", "a", "alpha", "b", "beta")
    plain = e + a * np.exp(x[:, 0]) ** -alpha + b * np.exp(x[:, 1]) ** -beta
    np.testing.assert_allclose(compute_log_loss(JOINT, theta[None], problem.x)[0][0], np.log(plain))
    back = {
        name: value[0] for name, value in to_natural_parameters(JOINT, theta[None], center).items()
    }
    expected = {"E": e, "A": a, "B": b, "alpha": alpha, "beta": beta}
    assert back == pytest.approx(expected, rel=1e-9)


def test_a_broken_law_has_one_exponent_before_and_another_beyond_the_break():
    form = BROKEN_SINGLE["tokens"]
    assert form.names == ("e", "b", "beta", "beta2", "break")
    x = np.stack([np.zeros(400), np.linspace(-10, 10, 400)], axis=1)
    theta = np.array([[-60.0, 1.0, 0.2, 0.7, 0.0]])
    slope = np.diff(compute_log_loss(form, theta, x)[0][0]) / np.diff(x[:, 1])
    assert slope[0] == pytest.approx(-0.2)
    assert slope[-1] == pytest.approx(-0.7)
    # Without a change of exponent the break is not there at all.
    same = np.array([[-60.0, 1.0, 0.2, 0.2, 0.0]])
    np.testing.assert_allclose(compute_log_loss(form, same, x)[0][0], 1.0 - 0.2 * x[:, 1])


def test_k_counts_the_parameters_and_the_noise():
    assert [form.num_fitted for form in (CONSTANT, POWER["tokens"], SATURATING["tokens"])] == [
        2,
        3,
        4,
    ]
    assert (TIED.num_fitted, JOINT.num_fitted, BROKEN_JOINT["tokens"].num_fitted) == (5, 6, 8)
