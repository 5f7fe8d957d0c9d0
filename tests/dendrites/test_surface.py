"""Functions with a known answer are described by it."""

import numpy as np
import pytest

from omnimouse_cli.dendrites.surface import analyze, find_density_region, fit_frame, get_bin_centers

ARGUMENTS = np.random.default_rng(0).standard_normal((20_000, 2))


def silu(a):
    return a / (1 + np.exp(-a))


KNOWN = {
    "product": (lambda a, b: a * b, "hyperbolic"),
    "turned product": (lambda a, b: a**2 - b**2, "hyperbolic"),
    "product on a slope": (lambda a, b: 0.1 * a * b + 3 * a - 2 * b, "hyperbolic"),
    "bowl": (lambda a, b: a**2 + b**2, "elliptic"),
    "hill": (lambda a, b: 4 - 2 * a**2 - b**2 + a * b, "elliptic"),
    "plane": (lambda a, b: a + 2 * b + 1, "degenerate"),
    "ridge": (lambda a, b: (a + b) ** 2, "degenerate"),
    "constant": (lambda a, b: 0 * a * b + 3, "degenerate"),
}


def surface(function):
    return analyze(lambda points: function(*points.T), ARGUMENTS)


@pytest.mark.parametrize("name", KNOWN)
def test_the_sign_of_the_curvature_names_the_kind(name):
    function, kind = KNOWN[name]
    assert surface(function).curvature == kind


def test_a_quadratic_is_found_exactly():
    wanted = (0.5, -1.0, 2.0, 0.25, -0.75, 3.0)
    found = surface(lambda a, b: 0.5 * a**2 - b**2 + 2 * a * b + 0.25 * a - 0.75 * b + 3)
    assert found.quadratic == pytest.approx(wanted, abs=1e-9)
    assert found.r2["quadratic"] == pytest.approx(1)
    assert found.r2["product"] < 0.99


def test_products_are_recognised():
    product, gated = surface(lambda a, b: 3 * a * b - 1), surface(lambda a, b: -2 * silu(-b) * a)
    assert product.r2["product"] == pytest.approx(1)
    assert product.r2["silu_product"] < 0.95
    assert gated.r2["silu_product"] == pytest.approx(1)
    assert gated.r2["product"] < 0.95


@pytest.mark.parametrize(
    ("function", "order"),
    [
        (lambda a, b: a * b, 2),
        (lambda a, b: a**2 - b**2, 2),
        (lambda a, b: 2 * a - b, 1),
    ],
)
def test_angular_power_is_all_at_one_order(function, order):
    # The rings lie about the arguments' own mean, so only arguments of mean 0 give pure orders.
    centred = ARGUMENTS - ARGUMENTS.mean(axis=0)
    power = analyze(lambda points: function(*points.T), centred).angular_power
    assert power[order] == pytest.approx(1, abs=1e-9)
    assert power[3 - order] == pytest.approx(0, abs=1e-9)


def test_the_region_holds_ninety_percent_in_the_fewest_bins():
    region, fraction = find_density_region(ARGUMENTS)
    line = get_bin_centers()
    distance = np.hypot(line[:, None], line[None])
    # Smoothing adds .5 squared to the variance; 90 % of a Gaussian lie within sqrt(2 ln 10) std.
    radius = np.sqrt(2 * np.log(10) * (1 + 0.5**2))
    assert 0.9 <= fraction < 0.902
    assert region[distance < 0.9 * radius].all()
    assert not region[distance > 1.1 * radius].any()


def test_arguments_of_any_size_and_place_are_described_in_their_own_frame():
    far = np.array([7.0, -0.2]) + np.array([30.0, 0.004]) * ARGUMENTS
    wanted = (1e-3, 2e4, 3.0, -0.5, 40.0, 2.0)

    def quadratic(points):
        a, b = points.T
        return np.stack([a**2, b**2, a * b, a, b, np.ones_like(a)], axis=1) @ wanted

    found = analyze(quadratic, far, fit_frame(far))
    assert found.quadratic == pytest.approx(wanted, rel=1e-6)
    assert found.curvature == "elliptic"
    assert found.r2["quadratic"] == pytest.approx(1)
    assert 0.9 <= found.density_fraction < 0.902
    near = analyze(lambda rows: quadratic(rows * [30, 0.004] + [7, -0.2]), ARGUMENTS)
    assert found.angular_power[2] == pytest.approx(near.angular_power[2], abs=0.02)
    # A product stays one of the arguments themselves, wherever they lie.
    product = analyze(lambda rows: rows.prod(axis=1), far, fit_frame(far))
    assert product.r2["product"] == pytest.approx(1)
