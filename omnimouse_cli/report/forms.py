"""The forms of a scaling law: sums of power terms, their logarithm and its derivatives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnimouse_cli.report.table import Array

Axis = Literal["parameters", "tokens"]
AXES: tuple[Axis, Axis] = ("parameters", "tokens")
SYMBOLS: dict[Axis, str] = {"parameters": "N", "tokens": "D"}

# A break is this sharp, in units of ln N or ln D: sharper than the steps of usual grids, so a free
# sharpness could not be read from them.
BREAK_WIDTH = 0.25

MAX_EXPONENT = 4.0
MIN_LOG_SHARE = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One summand: exp(coefficient - exponent x), with another exponent beyond `place` if given.

    Args:
        coefficient: Name of the logarithm of the factor.
        axis: What x is the logarithm of; None is a constant.
        exponent: Name of the exponent.
        later_exponent: Name of the exponent beyond the break.
        place: Name of the break's place.
    """

    coefficient: str
    axis: Axis | None = None
    exponent: str | None = None
    later_exponent: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A law: a name, how people write it, and its terms."""

    name: str
    formula: str
    terms: tuple[Term, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Give the names of the parameters, in the order of a parameter vector."""
        found: dict[str, None] = {}
        for term in self.terms:
            fields = (term.coefficient, term.exponent, term.later_exponent, term.place)
            found.update(dict.fromkeys(name for name in fields if name is not None))
        return tuple(found)

    @property
    def num_fitted(self) -> int:
        """Give k: the parameters and the scale of the residuals."""
        return len(self.names) + 1

    @property
    def min_rows(self) -> int:
        """Give k + 2, below which AICc does not exist."""
        return self.num_fitted + 2

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Give what the law depends on."""
        return tuple(axis for axis in AXES if any(term.axis == axis for term in self.terms))


_E = Term(coefficient="e")
_N = Term(coefficient="a", axis="parameters", exponent="alpha")
_D = Term(coefficient="b", axis="tokens", exponent="beta")
_D_TIED = Term(coefficient="b", axis="tokens", exponent="alpha")
_N_BROKEN = Term(
    coefficient="a", axis="parameters", exponent="alpha", later_exponent="alpha2", place="break"
)
_D_BROKEN = Term(
    coefficient="b", axis="tokens", exponent="beta", later_exponent="beta2", place="break"
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


def log_loss(form: Form, theta: Array, x: Array) -> tuple[Array, Array]:
    """Give ln of the law and its derivatives, for many parameter vectors at once.

    Args:
        form: The law.
        theta: Parameter vectors, (members, parameters), in the order of `form.names`.
        x: ln N and ln D, centred, (rows, 2).

    Returns:
        ln loss, (members, rows), and its derivatives, (members, rows, parameters).
    """
    place = {name: number for number, name in enumerate(form.names)}
    exponents = []
    slopes: list[dict[str, Array]] = []
    for term in form.terms:
        value, slope = _exponent(term, theta, x, place)
        exponents.append(value)
        slopes.append(slope)
    stacked = np.stack(exponents)
    largest = stacked.max(axis=0)
    scaled = np.exp(stacked - largest)
    total = scaled.sum(axis=0)
    shares = scaled / total
    jacobian = np.zeros((*largest.shape, len(place)))
    for share, slope in zip(shares, slopes, strict=True):
        for name, derivative in slope.items():
            jacobian[:, :, place[name]] += share * derivative
    return largest + np.log(total), jacobian


def _exponent(
    term: Term, theta: Array, x: Array, place: Mapping[str, int]
) -> tuple[Array, dict[str, Array]]:
    """Give ln of one term, (members, rows), and its derivatives by name."""
    value = np.repeat(theta[:, place[term.coefficient], None], len(x), axis=1)
    slopes = {term.coefficient: np.ones_like(value)}
    if term.axis is None or term.exponent is None:
        return value, slopes
    axis = x[None, :, AXES.index(term.axis)]
    exponent = theta[:, place[term.exponent], None]
    if term.later_exponent is None or term.place is None:
        return value - exponent * axis, slopes | {
            term.exponent: np.broadcast_to(-axis, value.shape)
        }
    later = theta[:, place[term.later_exponent], None]
    distance = (axis - theta[:, place[term.place], None]) / BREAK_WIDTH
    beyond = BREAK_WIDTH * np.logaddexp(0, distance)
    slopes |= {
        term.exponent: beyond - axis,
        term.later_exponent: -beyond,
        term.place: (later - exponent) / (1 + np.exp(-np.clip(distance, -500, 500))),
    }
    return value - exponent * axis - (later - exponent) * beyond, slopes


def bounds(form: Form, x: Array, y: Array) -> tuple[Array, Array]:
    """Give the lowest and highest values of the parameters for centred data.

    Args:
        form: The law.
        x: ln N and ln D, centred, (rows, 2).
        y: ln loss, (rows,).

    Returns:
        Two vectors, (parameters,).
    """
    limits = {
        "e": (y.min() - MIN_LOG_SHARE, y.max()),
        "a": (y.min() - MIN_LOG_SHARE, y.max() + 3),
        "b": (y.min() - MIN_LOG_SHARE, y.max() + 3),
    }
    broken = next((term.axis for term in form.terms if term.place is not None), None)
    if broken is not None:
        inner = np.unique(x[:, AXES.index(broken)])[1:-1]
        limits["break"] = (inner.min(), inner.max())
    pairs = [limits.get(name, (0.0, MAX_EXPONENT)) for name in form.names]
    return np.array([low for low, _ in pairs]), np.array([high for _, high in pairs])


def natural(form: Form, theta: Array, center: Array) -> dict[str, Array]:
    """Give the parameters as people write them, from those of centred data.

    Args:
        form: The law.
        theta: Parameter vectors, (members, parameters).
        center: Means of ln N and ln D that were taken off, (2,).

    Returns:
        By name (E, A, B, alpha, ..., break), (members,) each. Factors can overflow to infinity.
    """
    inner = dict(zip(form.names, theta.T, strict=True))
    values: dict[str, Array] = {}
    for term in form.terms:
        shift = np.zeros(len(theta))
        if term.axis is not None and term.exponent is not None:
            shift = inner[term.exponent] * center[AXES.index(term.axis)]
            values[term.exponent] = inner[term.exponent]
        if term.place is not None and term.later_exponent is not None and term.axis is not None:
            values[term.later_exponent] = inner[term.later_exponent]
            values["break"] = np.exp(inner[term.place] + center[AXES.index(term.axis)])
        with np.errstate(over="ignore"):
            values[term.coefficient.upper()] = np.exp(inner[term.coefficient] + shift)
    return values
