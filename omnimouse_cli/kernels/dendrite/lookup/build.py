"""Building the lookup table of a frozen function, and measuring its accuracy."""

from typing import NamedTuple

import torch
from torch import Tensor

from omnimouse_cli.kernels.dendrite.function import DendriticFunction
from omnimouse_cli.kernels.dendrite.lookup.grid import RINGS, SIDES, Grid, ring_distance
from omnimouse_cli.kernels.dendrite.lookup.reference import reference_interpolate
from omnimouse_cli.kernels.dendrite.reference import reference_dendrite

# K cell types, R rows and C cells of a table, N points, P weights of an inner network

# Samples of the error along each argument, and along sides and distance of each ring.
SAMPLES, SAMPLES_BEYOND = 401, 101
# An inner network of many units keeps many numbers of each point.
POINTS_AT_ONCE = 1 << 14


class TableAccuracy(NamedTuple):
    """Errors of interpolation, from a dense sampling.

    All are divided by the standard deviation of the function's values for two independent normal
    arguments, the distribution that units start with.

    Args:
        largest: Largest error on the grid.
        rms: Root mean square error for normal arguments on the grid.
        beyond: Largest error from the border of the grid to twice its limit.
    """

    largest: float
    rms: float
    beyond: float

    @classmethod
    def worst(cls, several: "list[TableAccuracy]") -> "TableAccuracy":
        """Return the largest of each error."""
        return cls(*(max(values) for values in zip(*several, strict=True)))


class LookupTables(NamedTuple):
    """Tables of several functions.

    Args:
        values: float32 `(cell types, rows, cells, 2)`, in the layout of `Grid`.
        accuracy: The largest errors of all of them.
    """

    values: Tensor
    accuracy: TableAccuracy


def build_tables(weights_KP: Tensor, function: DendriticFunction, grid: Grid) -> LookupTables:
    """Build the table of each cell type and measure its accuracy.

    Args:
        weights_KP: Weights of each cell type; tables are computed in float64.
        function: Shape of the inner network.
        grid: Grid of the tables.

    Example:
        >>> weights = torch.tensor([[1.0, 0.0, 0.0, 2.0, 0.5]])
        >>> tables = build_tables(weights, DendriticFunction(1), Grid(8, 1.0))
        >>> tables.values.shape, tables.accuracy.largest < 1e-6
        (torch.Size([1, 77, 8, 2]), True)
    """
    weights_KP = weights_KP.detach().double()
    with torch.no_grad():
        tables = torch.stack([_table(row_P[None], function, grid) for row_P in weights_KP])
        accuracies = [
            _accuracy(weights_KP[number : number + 1], tables[number : number + 1], function, grid)
            for number in range(len(weights_KP))
        ]
    return LookupTables(tables, TableAccuracy.worst(accuracies))


def _values(points_N2: Tensor, weights_1P: Tensor, function: DendriticFunction) -> Tensor:
    parts = [
        reference_dendrite(part_N2[:, :1], part_N2[:, 1:], weights_1P, function)[:, 0]
        for part_N2 in torch.split(points_N2, POINTS_AT_ONCE)
    ]
    return torch.cat(parts)


def _table(weights_1P: Tensor, function: DendriticFunction, grid: Grid) -> Tensor:
    axis = _axis(grid.cells + 1, weights_1P) * grid.limit
    inside_N2 = torch.cartesian_prod(axis, axis)
    rows = [_values(inside_N2, weights_1P, function).view(len(axis), -1)]
    for side in range(SIDES):
        side_N2 = _side(axis, side)
        distances = [ring_distance(ring) for ring in range(RINGS + 1)]
        rows += [_values(side_N2 * scale, weights_1P, function)[None] for scale in distances[:-1]]
        last = distances[-1] - distances[-2]
        rows += [rows[-1] + last * _far_slopes(side_N2, weights_1P, function)]
    values_RC = torch.cat(rows)
    pairs_RC2 = torch.stack([values_RC[:, :-1], values_RC.diff(dim=1)], dim=-1)
    return pairs_RC2.float()


def _axis(points: int, like: Tensor) -> Tensor:
    return torch.linspace(-1, 1, points, dtype=like.dtype, device=like.device)


def _side(axis: Tensor, side: int) -> Tensor:
    """Return the grid points along a side."""
    end = (axis[0] if side % 2 else axis[-1]).expand_as(axis)
    return torch.stack([end, axis] if side < 2 else [axis, end], dim=1)


def _far_slopes(side_N2: Tensor, weights_1P: Tensor, function: DendriticFunction) -> Tensor:
    """Return the slopes of a function along the rays through points, far from the origin.

    Networks that saturate have none; relu networks grow as they would without biases.
    """
    if function.inner != "relu":
        return side_N2.new_zeros(len(side_N2))
    layers = [layer.clone() for layer in function.layers(weights_1P)]
    for layer_1UI in layers:
        layer_1UI[..., -1] = 0
    without_1P = torch.cat([layer_1UI.reshape(1, -1) for layer_1UI in layers], dim=1)
    return _values(side_N2, without_1P, function)


def _accuracy(
    weights_1P: Tensor, table_1RC2: Tensor, function: DendriticFunction, grid: Grid
) -> TableAccuracy:
    # Rounding in float32 is far below what is measured.
    weights_1P = weights_1P.float()
    axis = _axis(SAMPLES, weights_1P) * grid.limit
    inside_N2 = torch.cartesian_prod(axis, axis)
    axis = _axis(SAMPLES_BEYOND, weights_1P)
    sides_N2 = torch.cat([_side(axis * grid.limit, side) for side in range(SIDES)])
    # From the border to twice its distance.
    beyond_N2 = ((3 + axis)[:, None, None] / 2 * sides_N2).reshape(-1, 2)
    density_N = torch.exp(-inside_N2.square().sum(1) / 2)
    density_N /= density_N.sum()
    exact_N = _values(inside_N2, weights_1P, function)
    center = (density_N * exact_N).sum()
    spread = (density_N * (exact_N - center).square()).sum().sqrt()
    spread = spread.clamp(min=torch.finfo(torch.float32).tiny)
    inside_N = exact_N - _read(inside_N2, table_1RC2, grid)
    beyond_N = _values(beyond_N2, weights_1P, function) - _read(beyond_N2, table_1RC2, grid)
    return TableAccuracy(
        largest=float(inside_N.abs().max() / spread),
        rms=float((density_N * inside_N.square()).sum().sqrt() / spread),
        beyond=float(beyond_N.abs().max() / spread),
    )


def _read(points_N2: Tensor, table_1RC2: Tensor, grid: Grid) -> Tensor:
    a_N1, b_N1 = points_N2[:, :1], points_N2[:, 1:]
    return reference_interpolate(a_N1, b_N1, table_1RC2, grid.limit)[:, 0]
