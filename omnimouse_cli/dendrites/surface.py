"""The surface of a learned function of two arguments, where its arguments lie."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
# Maps float64 arguments `(rows, 2)` to values `(rows,)`.
Function = Callable[[F64], F64]
Curvature = Literal["hyperbolic", "elliptic", "degenerate"]
# Network, layer and cell type.
FunctionKey = tuple[str, str, int]

ALL_LAYERS = "all"
EXTENT, BIN, SIGMA = 5.0, 0.1, 0.5
NUM_BINS = round(2 * EXTENT / BIN)
PROBABILITY = 0.9
# Below this share of the function's variance the quadratic terms are rounding, and below this
# share of its squared size the Hessian's determinant is.
MIN_QUADRATIC_SHARE, MIN_DETERMINANT = 1e-6, 1e-6
ROUNDING = 1e-20
NUM_RADII, NUM_ANGLES = 16, 64
ORDERS = (1, 2)
# A saddle is a soft XOR when at least this share of its angular power has two periods per turn:
# silu(a) b of normal arguments has .75, and 0 to 4 % of untrained functions have as much.
SOFT_XOR_POWER = 0.7


class Frame(NamedTuple):
    """A shift and scale of both arguments.

    Args:
        center: Arguments at the origin of the frame.
        scale: Length of one unit of the frame, along each argument.
    """

    center: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)

    def to_frame(self, arguments: F64) -> F64:
        """Convert arguments `(..., 2)` to points of the frame."""
        points: F64 = (arguments - np.array(self.center)) / np.array(self.scale)
        return points

    def to_arguments(self, points: F64) -> F64:
        """Convert points `(..., 2)` of the frame to arguments."""
        arguments: F64 = np.array(self.center) + np.array(self.scale) * points
        return arguments


def fit_frame(arguments: F64) -> Frame:
    """Return the frame of the arguments' own means and standard deviations.

    Arguments that were not normalized may lie anywhere, and the grid has to lie where they do.

    Example:
        >>> fit_frame(np.array([[0.0, 3.0], [2.0, 3.0]]))
        Frame(center=(1.0, 3.0), scale=(1.0, 1.0))
    """
    center, spread = arguments.mean(axis=0), arguments.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return Frame((float(center[0]), float(center[1])), (float(scale[0]), float(scale[1])))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LearnedFunction:
    """A learned function of two arguments, and arguments of its units.

    Args:
        run: Name of the run's folder.
        network: Kind of network of a comparison, or size of a training run's model.
        layer: Name of the layer; `all` pools the layers that share the function.
        cell_type: Number of the cell type.
        seed: Number of the seed in a comparison, or seed of the training run.
        is_whole: Whether `arguments` are those of all units with this function, so that it is
            counted once.
        function: Maps float64 `(rows, 2)` to `(rows,)`.
        arguments: float64 `(rows, 2)`, arguments of its units on data.
        frame: Frame of the arguments; None for arguments that were normalized.
        start: The function before training; None where it is not known.
    """

    run: str
    network: str
    layer: str
    cell_type: int = 0
    seed: int
    is_whole: bool
    function: Function
    arguments: F64
    frame: Frame | None = None
    start: Function | None = None

    @property
    def key(self) -> FunctionKey:
        """Network, layer and cell type, which are the same in every run."""
        return self.network, self.layer, self.cell_type


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """Values of a function on a grid, and descriptions of its shape.

    Args:
        curvature: Kind of the fitted quadratic; a hyperbolic one is a saddle.
        quadratic: c0 to c5 of c0 a^2 + c1 b^2 + c2 ab + c3 a + c4 b + c5.
        r2: Fraction of variance that a product of the arguments, a product of two perpendicular
            directions, silu(a) b and the quadratic explain.
        angular_power: Fraction of the power on rings about the center with 1 and 2 periods.
        density_fraction: Probability of the fitted region.
        frame: Frame of grid, region and rings.
        region: bool `(100, 100)`, the fitted bins; the first axis is the first argument.
        values: float64 `(100, 100)`, values of the function at the centers of the bins.
    """

    curvature: Curvature
    quadratic: tuple[float, ...]
    r2: dict[str, float]
    angular_power: dict[int, float]
    density_fraction: float
    frame: Frame
    region: NDArray[np.bool_]
    values: F64

    @property
    def is_soft_xor(self) -> bool:
        """Whether it is a saddle whose angular variation has mostly two periods per turn."""
        return self.curvature == "hyperbolic" and self.angular_power[2] >= SOFT_XOR_POWER

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "curvature": self.curvature,
            "soft_xor": self.is_soft_xor,
            "quadratic": list(self.quadratic),
            "r2": self.r2,
            "angular_power": self.angular_power,
            "density_fraction": self.density_fraction,
            "centre": list(self.frame.center),
            "scale": list(self.frame.scale),
        }


def analyze(function: Function, arguments: F64, frame: Frame | None = None) -> Surface:
    """Fit and describe a function in the region of its arguments.

    Args:
        function: Maps float64 `(rows, 2)` to `(rows,)`.
        arguments: float64 `(rows, 2)`, arguments of its units on data.
        frame: Frame in which bins of 0.1 and rings are cut; None for normalized arguments.
    """
    frame = frame or Frame()
    line = get_bin_centers()
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    values = function(frame.to_arguments(grid))
    framed = frame.to_frame(arguments)
    region, fraction = find_density_region(framed)
    points, target = grid[region.ravel()], values[region.ravel()]
    a, b = points.T
    terms = np.stack([a**2, b**2, a * b, a, b, np.ones_like(a)], axis=1)
    quadratic, fitted = _fit(terms, target)
    turned = np.stack([a * b, a**2 - b**2, np.ones_like(a)], axis=1)
    a, b = frame.to_arguments(points).T
    # silu(a) b with either argument as the gate and either sign of it.
    gated = [
        gate / (1 + np.exp(-gate)) * value for gate, value in ((a, b), (-a, b), (b, a), (-b, a))
    ]
    return Surface(
        curvature=classify_curvature(quadratic, terms, target),
        quadratic=_to_argument_coefficients(quadratic, frame),
        r2={
            "product": fit_r2(a * b, target),
            "turned_product": _compute_r2(target, _fit(turned, target)[1]),
            "silu_product": max(fit_r2(column, target) for column in gated),
            "quadratic": _compute_r2(target, fitted),
        },
        angular_power=compute_angular_power(
            lambda rows: function(frame.to_arguments(rows)), framed
        ),
        density_fraction=fraction,
        frame=frame,
        region=region,
        values=values.reshape(region.shape),
    )


def get_bin_centers() -> F64:
    """Return the centers of the bins along one argument, float64 `(100,)`."""
    return np.asarray((np.arange(NUM_BINS) + 0.5) * BIN - EXTENT, np.float64)


def find_density_region(arguments: F64) -> tuple[NDArray[np.bool_], float]:
    """Return the densest bins that hold 90 % of the arguments, after smoothing.

    Args:
        arguments: float64 `(rows, 2)`.

    Returns:
        bool `(100, 100)`, and the probability of the region.
    """
    from scipy.ndimage import gaussian_filter

    edges = np.linspace(-EXTENT, EXTENT, NUM_BINS + 1)
    counts = np.histogram2d(arguments[:, 0], arguments[:, 1], bins=(edges, edges))[0]
    density = gaussian_filter(counts, SIGMA / BIN, mode="constant")
    density /= density.sum()
    order = np.argsort(-density, axis=None, kind="stable")
    cumulative = np.cumsum(density.ravel()[order])
    number = int(np.searchsorted(cumulative, PROBABILITY)) + 1
    region = np.zeros(density.size, bool)
    region[order[:number]] = True
    return region.reshape(density.shape), float(cumulative[number - 1])


def _to_argument_coefficients(quadratic: F64, frame: Frame) -> tuple[float, ...]:
    """Convert the coefficients of a quadratic in a frame to one of the arguments themselves."""
    c0, c1, c2, c3, c4, c5 = (float(one) for one in quadratic)
    (a, b), (p, q) = frame.center, frame.scale
    c0, c1, c2, c3, c4 = c0 / p**2, c1 / q**2, c2 / (p * q), c3 / p, c4 / q
    constant = c0 * a**2 + c1 * b**2 + c2 * a * b - c3 * a - c4 * b + c5
    return c0, c1, c2, c3 - 2 * c0 * a - c2 * b, c4 - 2 * c1 * b - c2 * a, constant


def classify_curvature(quadratic: F64, terms: F64, values: F64) -> Curvature:
    """Classify a quadratic by the sign of its Hessian's determinant.

    Args:
        quadratic: Coefficients c0 to c5.
        terms: float64 `(points, 6)`, a^2, b^2, ab, a, b and 1 at the fitted points.
        values: float64 `(points,)`, values of the function there.
    """
    c0, c1, c2 = quadratic[:3]
    bent = terms[:, :3] @ quadratic[:3]
    determinant = 4 * c0 * c1 - c2**2
    size = 4 * c0**2 + 4 * c1**2 + 2 * c2**2
    rounding = (ROUNDING * values**2).mean()
    flat = bent.var() <= max(MIN_QUADRATIC_SHARE * values.var(), rounding)
    if flat or abs(determinant) <= MIN_DETERMINANT * size:
        return "degenerate"
    return "hyperbolic" if determinant < 0 else "elliptic"


def _fit(columns: F64, target: F64) -> tuple[F64, F64]:
    """Return least-squares coefficients and fitted values."""
    coefficients = np.asarray(np.linalg.lstsq(columns, target, rcond=None)[0], np.float64)
    return coefficients, columns @ coefficients


def fit_r2(column: F64, target: F64) -> float:
    """Return R2 of the best multiple of a column plus a constant."""
    return _compute_r2(target, _fit(np.stack([column, np.ones_like(column)], axis=1), target)[1])


def _compute_r2(target: F64, fitted: F64) -> float:
    spread = float(((target - target.mean()) ** 2).sum())
    return 1 - float(((target - fitted) ** 2).sum()) / spread if spread > 0 else 0.0


def compute_angular_power(function: Function, arguments: F64) -> dict[int, float]:
    """Return the fraction of angular variation with 1 and with 2 periods per turn.

    The function is evaluated on rings about the arguments' mean, out to the radius that holds 90 %
    of them; rings are weighted by their length, and the mean of each ring is not counted.

    Args:
        function: Maps float64 `(rows, 2)` to `(rows,)`.
        arguments: float64 `(rows, 2)`.
    """
    center = arguments.mean(axis=0)
    farthest = np.quantile(np.linalg.norm(arguments - center, axis=1), PROBABILITY)
    radii = farthest * (np.arange(NUM_RADII) + 1) / NUM_RADII
    angles = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = center + radii[:, None, None] * ring
    values = function(points.reshape(-1, 2)).reshape(NUM_RADII, NUM_ANGLES)
    power = np.abs(np.fft.rfft(values, axis=1)[:, 1:]) ** 2
    # All but the highest frequency occur twice in a whole spectrum.
    power[:, :-1] *= 2
    total = radii @ power
    return {order: float(total[order - 1] / max(total.sum(), 1e-300)) for order in ORDERS}
