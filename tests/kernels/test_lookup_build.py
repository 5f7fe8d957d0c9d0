"""Lookup tables against their functions: exact where they can be, and as accurate as stated."""

import pytest
import torch

from omnimouse_cli.kernels.dendrite import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup import Grid, TableAccuracy, build_tables
from omnimouse_cli.kernels.dendrite.lookup.reference import reference_interpolate
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

pytestmark = pytest.mark.slow

FUNCTIONS = [
    DendriticFunction(),
    DendriticFunction(4, 1, "smoothstep"),
    DendriticFunction(6, 2),
    DendriticFunction(3, 2, "smoothstep"),
]
GRID = Grid(64, 3.0)


def weights_of(function, types=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(types, function.num_weights, generator=generator)
    return weights / function.hidden ** (0.5 * function.depth)


def both(function, weights, grid, points):
    """Values from the table and from the function, in float64."""
    table = build_tables(weights, function, grid).values
    a, b = points.double().split(1, dim=1)
    read = reference_interpolate(a, b, table, grid.limit)
    return read[:, 0], reference_dendrite(a, b, weights.double(), function)[:, 0]


def uniform(count, limit, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1) * limit


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_grid_points_and_rings_have_the_function_s_own_values(function):
    axis = torch.linspace(-3, 3, 65, dtype=torch.float64)
    inside = torch.cartesian_prod(axis, axis)
    border = inside[inside.abs().amax(1) == 3]
    distances = [1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10, 12, 14]
    points = torch.cat([inside, *(border * distance for distance in distances)])
    read, exact = both(function, weights_of(function), GRID, points)
    torch.testing.assert_close(read, exact, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_the_error_is_the_one_that_is_stated(function):
    weights = weights_of(function)
    stated = build_tables(weights, function, GRID).accuracy
    # Arguments of their own, not those that the table was measured with.
    normal = torch.randn(60_000, 2, generator=torch.Generator().manual_seed(4))
    normal = normal[normal.abs().amax(1) < 3]
    read, exact = both(function, weights, GRID, normal)
    spread = exact.std()
    assert float((read - exact).square().mean().sqrt() / spread) == pytest.approx(
        stated.rms, rel=0.1
    )
    for points, limit in ((uniform(30_000, 3.0), stated.largest), (ring(30_000), stated.beyond)):
        read, exact = both(function, weights, GRID, points)
        assert 0.4 * limit < (read - exact).abs().max() / spread < 1.1 * limit
    assert stated.largest < 0.2


def ring(count):
    points = uniform(count, 6.0)
    return points[points.abs().amax(1) > 3]


def test_a_finer_grid_is_closer():
    # Smooth curves get closer with the square of the step, kinks with the step or a bit more.
    for function, factor in ((FUNCTIONS[1], 3.0), (FUNCTIONS[0], 2.2)):
        weights = weights_of(function)
        coarse, fine = (build_tables(weights, function, Grid(n, 3.0)).accuracy for n in (32, 64))
        assert coarse.rms / fine.rms > factor
        assert coarse.largest / fine.largest > 1.5


def test_kinks_on_grid_lines_are_exact():
    # |a| - 2 |b - 1|, whose kinks lie on rows and columns of the grid.
    weights = torch.tensor([[1, 0, 0, -1, 0, 0, 0, 1, -1, 0, -1, 1, 1, 1, -2, -2, 0.5]])
    read, exact = both(DendriticFunction(4), weights, Grid(12, 3.0), uniform(500, 3.0))
    torch.testing.assert_close(read, exact, rtol=1e-6, atol=1e-6)
    assert build_tables(weights, DendriticFunction(4), Grid(12, 3.0)).accuracy.largest < 1e-6


@pytest.mark.parametrize("distance", [1.0, 30.0, 1e6])
def test_far_away_a_relu_network_goes_on_as_it_is(distance):
    function, weights = FUNCTIONS[0], weights_of(FUNCTIONS[0])
    points = uniform(2000, 1.0)
    points *= distance * 3 / points.abs().amax(1, keepdim=True)
    read, exact = both(function, weights, GRID, points)
    assert float((read - exact).abs().max() / exact.std()) < max(0.2 / distance, 0.02)
    # On rays through grid points, what a bias can still change is bounded, however far it is.
    axis = torch.linspace(-3, 3, 65, dtype=torch.float64)
    rays = torch.cartesian_prod(axis, axis)
    read, exact = both(function, weights, GRID, distance * rays[rays.abs().amax(1) == 3])
    assert (read - exact).abs().max() < 1.5 + 1e-6 * exact.abs().max()


def test_far_away_a_saturated_network_stays_where_it_is():
    function, weights = FUNCTIONS[1], weights_of(FUNCTIONS[1])
    read, exact = both(function, weights, GRID, uniform(2000, 1e4))
    assert (read - exact).abs().max() < 2 * weights.abs().sum()
    axis = torch.tensor([[1.0, 0.3], [-0.2, 1.0]], dtype=torch.float64)
    near, _ = both(function, weights, GRID, 1e3 * axis)
    far, _ = both(function, weights, GRID, 1e6 * axis)
    torch.testing.assert_close(near, far, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", FUNCTIONS[:2], ids=str)
def test_gradients_are_those_of_the_interpolant(function):
    table = build_tables(weights_of(function, 2), function, Grid(8, 2.0)).values
    # Steps of gradcheck must not cross a grid line, where slopes jump.
    inside = torch.randint(-4, 4, (12, 2), generator=torch.Generator().manual_seed(1)) + 0.3
    far = torch.tensor([[7.3, 1.1], [-9.1, 2.2], [0.7, 5.3], [3.9, -33.1], [-81.0, -2.7]])
    a, b = torch.cat([inside / 2, far]).double().T.reshape(2, -1, 1).expand(2, -1, 2)
    leaves = [x.contiguous().requires_grad_() for x in (a, b)]
    assert torch.autograd.gradcheck(lambda a, b: reference_interpolate(a, b, table, 2.0), leaves)


def test_values_do_not_jump_at_cells_sides_rings_and_corners():
    table = build_tables(weights_of(FUNCTIONS[0]), FUNCTIONS[0], Grid(8, 2.0)).values
    angles = torch.linspace(0, 6.3, 20_001, dtype=torch.float64)[:, None]
    radii = torch.linspace(0, 70, 20_001, dtype=torch.float64)[:, None]
    for a, b in (
        *((size * angles.cos(), size * angles.sin()) for size in (1.9, 2.3, 50.0)),
        *((radii * x, radii * y) for x, y in ((1, 1), (0.3, -1), (-1, 0.001))),
    ):
        values = reference_interpolate(a, b, table, 2.0)
        steps = (a.diff(dim=0).square() + b.diff(dim=0).square()).sqrt()
        assert (values.diff(dim=0).abs() / steps).max() < 10


def test_the_worst_of_several_tables_is_reported():
    function = FUNCTIONS[0]
    weights = weights_of(function, 3)
    errors = [build_tables(row[None], function, GRID).accuracy for row in weights]
    assert build_tables(weights, function, GRID).accuracy == TableAccuracy.worst(errors)
    assert TableAccuracy.worst([TableAccuracy(1, 5, 3), TableAccuracy(2, 4, 1)]) == TableAccuracy(
        2, 5, 3
    )
    flat = build_tables(torch.zeros(1, function.num_weights), function, GRID)
    assert flat.accuracy == TableAccuracy(0, 0, 0)
