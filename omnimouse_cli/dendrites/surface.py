"""What a learned function of two arguments is like where its arguments lie."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Function = Callable[[F64], F64]
Curvature = Literal["hyperbolic", "elliptic", "degenerate"]

EXTENT, BIN, SIGMA = 5.0, 0.1, 0.5
PROBABILITY = 0.9
# Below this share of the function's variance the quadratic terms are rounding, and below this
# share of its squared size the Hessian's determinant is.
LEAST_BENT, LEAST_DETERMINANT = 1e-6, 1e-6
ROUNDING = 1e-20
NUM_RADII, NUM_ANGLES = 16, 64
ORDERS = (1, 2)


class Frame(NamedTuple):
    """Where the origin of both arguments is put, and what counts as 1 of each.

    Args:
        centre: Of both.
        scale: Of both.
    """

    centre: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)

    def inward(self, points: F64) -> F64:
        """Give arguments `(rows, 2)` in this frame."""
        framed: F64 = (points - np.array(self.centre)) / np.array(self.scale)
        return framed

    def outward(self, points: F64) -> F64:
        """Give points `(..., 2)` of this frame as arguments."""
        arguments: F64 = np.array(self.centre) + np.array(self.scale) * points
        return arguments


def frame_of(arguments: F64) -> Frame:
    """Give the frame of the arguments' own means and standard deviations.

    Arguments that nothing has normalised may lie anywhere, and the grid is to lie where they do.

    Example:
        >>> frame_of(np.array([[0.0, 3.0], [2.0, 3.0]]))
        Frame(centre=(1.0, 3.0), scale=(1.0, 1.0))
    """
    centre, spread = arguments.mean(axis=0), arguments.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    return Frame((float(centre[0]), float(centre[1])), (float(scale[0]), float(scale[1])))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """A function, and what was found.

    Args:
        curvature: Kind of the quadratic that fits best: a saddle is a soft XOR.
        quadratic: c0 to c5 of c0 a^2 + c1 b^2 + c2 ab + c3 a + c4 b + c5.
        r2: Share of variance that a product, silu(a) b and the quadratic explain.
        angular_power: Share of the power on rings about the centre that has 1 and 2 periods.
        density_fraction: Probability of the region that was fitted.
        frame: In which bins, region and rings are cut.
        region: bool `(100, 100)`, a first.
        values: float64 `(100, 100)`: the function at the middles of the bins.
    """

    curvature: Curvature
    quadratic: tuple[float, ...]
    r2: dict[str, float]
    angular_power: dict[int, float]
    density_fraction: float
    frame: Frame
    region: NDArray[np.bool_]
    values: F64

    def to_dict(self) -> dict[str, Any]:
        """Give the fields for JSON."""
        return {
            "curvature": self.curvature,
            "quadratic": list(self.quadratic),
            "r2": self.r2,
            "angular_power": self.angular_power,
            "density_fraction": self.density_fraction,
            "centre": list(self.frame.centre),
            "scale": list(self.frame.scale),
        }


def middles() -> F64:
    """Middles of the bins along one argument."""
    count = round(2 * EXTENT / BIN)
    return np.asarray((np.arange(count) + 0.5) * BIN - EXTENT, np.float64)


def density_region(arguments: F64) -> tuple[NDArray[np.bool_], float]:
    """Give the densest bins that hold 90 % of the arguments, after smoothing.

    Args:
        arguments: `(rows, 2)`.

    Returns:
        bool `(100, 100)`, and the probability that it holds.
    """
    from scipy.ndimage import gaussian_filter

    edges = np.linspace(-EXTENT, EXTENT, round(2 * EXTENT / BIN) + 1)
    counts = np.histogram2d(arguments[:, 0], arguments[:, 1], bins=(edges, edges))[0]
    density = gaussian_filter(counts, SIGMA / BIN, mode="constant")
    density /= density.sum()
    order = np.argsort(-density, axis=None, kind="stable")
    held = np.cumsum(density.ravel()[order])
    number = int(np.searchsorted(held, PROBABILITY)) + 1
    region = np.zeros(density.size, bool)
    region[order[:number]] = True
    return region.reshape(density.shape), float(held[number - 1])


def analyse(function: Function, arguments: F64, frame: Frame | None = None) -> Surface:
    """Fit and describe a function.

    Args:
        function: Takes float64 `(rows, 2)` and gives `(rows,)`.
        arguments: What its units were given, `(rows, 2)`.
        frame: In which bins of 0.1 and rings are cut; None for arguments that were normalised.
    """
    frame = frame or Frame()
    line = middles()
    grid = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    values = function(frame.outward(grid))
    framed = frame.inward(arguments)
    region, fraction = density_region(framed)
    inside = region.ravel()
    points, wanted = grid[inside], values[inside]
    columns = _quadratic_terms(points)
    quadratic, fitted = _fit(columns, wanted)
    a, b = frame.outward(points).T
    return Surface(
        curvature=curvature_of(quadratic, columns, wanted),
        quadratic=_of_arguments(quadratic, frame),
        r2={
            "product": _r2(wanted, _fit(_with_constant(a * b), wanted)[1]),
            "silu_product": _silu_product(a, b, wanted),
            "quadratic": _r2(wanted, fitted),
        },
        angular_power=angular_power(lambda rows: function(frame.outward(rows)), framed),
        density_fraction=fraction,
        frame=frame,
        region=region,
        values=values.reshape(region.shape),
    )


def _quadratic_terms(points: F64) -> F64:
    a, b = points.T
    return np.stack([a**2, b**2, a * b, a, b, np.ones_like(a)], axis=1)


def _of_arguments(quadratic: F64, frame: Frame) -> tuple[float, ...]:
    """Give a frame's quadratic as one of the arguments themselves."""
    c0, c1, c2, c3, c4, c5 = (float(one) for one in quadratic)
    (a, b), (p, q) = frame.centre, frame.scale
    c0, c1, c2, c3, c4 = c0 / p**2, c1 / q**2, c2 / (p * q), c3 / p, c4 / q
    constant = c0 * a**2 + c1 * b**2 + c2 * a * b - c3 * a - c4 * b + c5
    return c0, c1, c2, c3 - 2 * c0 * a - c2 * b, c4 - 2 * c1 * b - c2 * a, constant


def curvature_of(quadratic: F64, columns: F64, values: F64) -> Curvature:
    """Name the kind of a quadratic by the sign of its Hessian's determinant.

    Args:
        quadratic: c0 to c5.
        columns: Its terms at the fitted points.
        values: Of the function there.
    """
    c0, c1, c2 = quadratic[:3]
    bent = columns[:, :3] @ quadratic[:3]
    determinant = 4 * c0 * c1 - c2**2
    size = 4 * c0**2 + 4 * c1**2 + 2 * c2**2
    rounding = (ROUNDING * values**2).mean()
    flat = bent.var() <= max(LEAST_BENT * values.var(), rounding)
    if flat or abs(determinant) <= LEAST_DETERMINANT * size:
        return "degenerate"
    return "hyperbolic" if determinant < 0 else "elliptic"


def _fit(columns: F64, wanted: F64) -> tuple[F64, F64]:
    coefficients = np.asarray(np.linalg.lstsq(columns, wanted, rcond=None)[0], np.float64)
    return coefficients, columns @ coefficients


def _with_constant(column: F64) -> F64:
    return np.stack([column, np.ones_like(column)], axis=1)


def _silu_product(a: F64, b: F64, wanted: F64) -> float:
    """Give the best R2 of silu(a) b with either argument as the gate and either sign of it."""
    gated = [
        gate / (1 + np.exp(-gate)) * value for gate, value in ((a, b), (-a, b), (b, a), (-b, a))
    ]
    return max(_r2(wanted, _fit(_with_constant(column), wanted)[1]) for column in gated)


def _r2(wanted: F64, fitted: F64) -> float:
    spread = float(((wanted - wanted.mean()) ** 2).sum())
    return 1 - float(((wanted - fitted) ** 2).sum()) / spread if spread > 0 else 0.0


def angular_power(function: Function, arguments: F64) -> dict[int, float]:
    """Give the share of angular variation with 1 and with 2 periods per turn.

    The function is read on rings about the arguments' mean, out to the radius that holds 90 % of
    them; rings count by their length, and the mean of each ring does not count.

    Args:
        function: As of `analyse`.
        arguments: As of `analyse`.
    """
    centre = arguments.mean(axis=0)
    farthest = np.quantile(np.linalg.norm(arguments - centre, axis=1), PROBABILITY)
    radii = farthest * (np.arange(NUM_RADII) + 1) / NUM_RADII
    angles = 2 * np.pi * np.arange(NUM_ANGLES) / NUM_ANGLES
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = centre + radii[:, None, None] * ring
    values = function(points.reshape(-1, 2)).reshape(NUM_RADII, NUM_ANGLES)
    power = np.abs(np.fft.rfft(values, axis=1)[:, 1:]) ** 2
    # All but the highest frequency occur twice in a whole spectrum.
    power[:, :-1] *= 2
    total = radii @ power
    return {order: float(total[order - 1] / max(total.sum(), 1e-300)) for order in ORDERS}
