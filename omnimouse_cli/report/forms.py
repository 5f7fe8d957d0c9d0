"""Forms of a scaling law: sums of power terms, their logarithm and its derivatives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnimouse_cli.report.table import Array

Axis = Literal["parameters", "tokens"]
AXES: tuple[Axis, Axis] = ("parameters", "tokens")
SYMBOLS: dict[Axis, str] = {"parameters": "N", "tokens": "D"}

# Largest width of a break in ln N or ln D. It is narrower than the steps of usual grids, which
# therefore could not determine a free width; in finer grids a break is as wide as their steps.
BREAK_WIDTH = 0.25

MAX_EXPONENT = 4.0
# Beyond a break the loss can fall steeply, until it reaches the next floor.
MAX_LATER_EXPONENT = 20.0
MIN_LOG_SHARE = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand, exp(coefficient - exponent x), with another exponent beyond a break if given.

    Args:
        coefficient: Parameter name of the logarithm of the factor.
        axis: Axis whose logarithm x is; None for a constant.
        exponent: Parameter name of the exponent.
        later_exponent: Parameter name of the exponent beyond the break.
        break_point: Parameter name of the break.
    """

    coefficient: str
    axis: Axis | None = None
    exponent: str | None = None
    later_exponent: str | None = None
    break_point: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A form of the law.

    Args:
        name: Name of the form.
        formula: Formula of the loss.
        terms: Summands.
        width: Width of a break in ln N or ln D.
    """

    name: str
    formula: str
    terms: tuple[Term, ...]
    width: float = BREAK_WIDTH

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of a parameter vector."""
        names: dict[str, None] = {}
        for term in self.terms:
            fields = (term.coefficient, term.exponent, term.later_exponent, term.break_point)
            names.update(dict.fromkeys(name for name in fields if name is not None))
        return tuple(names)

    @property
    def num_fitted(self) -> int:
        """Number k of fitted values: the parameters and the scale of the residuals."""
        return len(self.names) + 1

    @property
    def min_rows(self) -> int:
        """Smallest number of rows, k + 2: AICc does not exist for fewer."""
        return self.num_fitted + 2

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes that the law depends on."""
        return tuple(axis for axis in AXES if any(term.axis == axis for term in self.terms))


_E = Term(coefficient="e")
_N = Term(coefficient="a", axis="parameters", exponent="alpha")
_D = Term(coefficient="b", axis="tokens", exponent="beta")
_D_TIED = Term(coefficient="b", axis="tokens", exponent="alpha")
_N_BROKEN = Term(
    coefficient="a",
    axis="parameters",
    exponent="alpha",
    later_exponent="alpha2",
    break_point="break",
)
_D_BROKEN = Term(
    coefficient="b", axis="tokens", exponent="beta", later_exponent="beta2", break_point="break"
)

CONSTANT = Form(name="constant", formula="E", terms=(_E,))
POWER = {
    "parameters": Form(name="power (parameters)", formula="A / N^alpha", terms=(_N,)),
    "tokens": Form(name="power (tokens)", formula="B / D^beta", terms=(_D,)),
}
SATURATING = {
    "parameters": Form(
        name="saturating power (parameters)", formula="E + A / N^alpha", terms=(_E, _N)
    ),
    "tokens": Form(name="saturating power (tokens)", formula="E + B / D^beta", terms=(_E, _D)),
}
TIED = Form(name="tied exponents", formula="E + A / N^alpha + B / D^alpha", terms=(_E, _N, _D_TIED))
JOINT = Form(name="joint", formula="E + A / N^alpha + B / D^beta", terms=(_E, _N, _D))
BROKEN_JOINT = {
    "parameters": Form(
        name="broken (parameters)",
        formula="E + A / N^alpha, alpha2 beyond a break, + B / D^beta",
        terms=(_E, _N_BROKEN, _D),
    ),
    "tokens": Form(
        name="broken (tokens)",
        formula="E + A / N^alpha + B / D^beta, beta2 beyond a break",
        terms=(_E, _N, _D_BROKEN),
    ),
}
BROKEN_SINGLE = {
    "parameters": Form(
        name="broken (parameters)",
        formula="E + A / N^alpha, alpha2 beyond a break",
        terms=(_E, _N_BROKEN),
    ),
    "tokens": Form(
        name="broken (tokens)",
        formula="E + B / D^beta, beta2 beyond a break",
        terms=(_E, _D_BROKEN),
    ),
}


def compute_log_loss(form: Form, theta: Array, x: Array) -> tuple[Array, Array]:
    """Return ln of the law and its derivatives, for many parameter vectors at once.

    Args:
        form: Form of the law.
        theta: Parameter vectors `(vectors, parameters)`, in the order of `form.names`.
        x: Centered ln N and ln D, `(rows, 2)`.

    Returns:
        ln loss `(vectors, rows)` and its derivatives `(vectors, rows, parameters)`.
    """
    index = {name: number for number, name in enumerate(form.names)}
    exponents = []
    slopes: list[dict[str, Array]] = []
    for term in form.terms:
        value, slope = _compute_log_term(term, theta, x, index, form.width)
        exponents.append(value)
        slopes.append(slope)
    stacked = np.stack(exponents)
    largest = stacked.max(axis=0)
    scaled = np.exp(stacked - largest)
    total = scaled.sum(axis=0)
    shares = scaled / total
    # Rows are last in memory, so that each derivative is written in one piece.
    jacobian = np.zeros((len(theta), len(index), len(x)))
    for share, slope in zip(shares, slopes, strict=True):
        for name, derivative in slope.items():
            jacobian[:, index[name]] += share * derivative
    return largest + np.log(total), jacobian.transpose(0, 2, 1)


def _compute_log_term(
    term: Term, theta: Array, x: Array, index: Mapping[str, int], width: float
) -> tuple[Array, dict[str, Array]]:
    """Return ln of one term, `(vectors, rows)`, and its derivatives by parameter name."""
    value = np.repeat(theta[:, index[term.coefficient], None], len(x), axis=1)
    slopes = {term.coefficient: np.ones_like(value)}
    if term.axis is None or term.exponent is None:
        return value, slopes
    axis = x[None, :, AXES.index(term.axis)]
    exponent = theta[:, index[term.exponent], None]
    if term.later_exponent is None or term.break_point is None:
        return value - exponent * axis, slopes | {
            term.exponent: np.broadcast_to(-axis, value.shape)
        }
    later = theta[:, index[term.later_exponent], None]
    distance = (axis - theta[:, index[term.break_point], None]) / width
    beyond = width * np.logaddexp(0, distance)
    slopes |= {
        term.exponent: beyond - axis,
        term.later_exponent: -beyond,
        term.break_point: (later - exponent) / (1 + np.exp(-np.clip(distance, -500, 500))),
    }
    return value - exponent * axis - (later - exponent) * beyond, slopes


def get_bounds(form: Form, x: Array, y: Array) -> tuple[Array, Array]:
    """Return the lowest and highest values of the parameters, `(parameters,)` each.

    Args:
        form: Form of the law.
        x: Centered ln N and ln D, `(rows, 2)`.
        y: ln loss, `(rows,)`.
    """
    limits = {
        "e": (y.min() - MIN_LOG_SHARE, y.max()),
        "a": (y.min() - MIN_LOG_SHARE, y.max() + 3),
        "b": (y.min() - MIN_LOG_SHARE, y.max() + 3),
    }
    broken = next((term.axis for term in form.terms if term.break_point is not None), None)
    if broken is not None:
        inner = np.unique(x[:, AXES.index(broken)])[1:-1]
        limits["break"] = (inner.min(), inner.max())
    limits |= dict.fromkeys(("alpha2", "beta2"), (0.0, MAX_LATER_EXPONENT))
    pairs = [limits.get(name, (0.0, MAX_EXPONENT)) for name in form.names]
    return np.array([low for low, _ in pairs]), np.array([high for _, high in pairs])


def to_natural_parameters(form: Form, theta: Array, center: Array) -> dict[str, Array]:
    """Convert parameters for centered data to those of the formula.

    Args:
        form: Form of the law.
        theta: Parameter vectors `(vectors, parameters)`.
        center: Subtracted means of ln N and ln D, `(2,)`.

    Returns:
        E, A, B, alpha, ..., break by name, `(vectors,)` each. Factors can overflow to infinity.
    """
    inner = dict(zip(form.names, theta.T, strict=True))
    values: dict[str, Array] = {}
    for term in form.terms:
        shift = np.zeros(len(theta))
        if term.axis is not None and term.exponent is not None:
            shift = inner[term.exponent] * center[AXES.index(term.axis)]
            values[term.exponent] = inner[term.exponent]
            if term.break_point is not None and term.later_exponent is not None:
                values[term.later_exponent] = inner[term.later_exponent]
                values["break"] = np.exp(inner[term.break_point] + center[AXES.index(term.axis)])
        with np.errstate(over="ignore"):
            values[term.coefficient.upper()] = np.exp(inner[term.coefficient] + shift)
    return values
