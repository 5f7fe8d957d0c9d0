"""The rivals of the joint law, compared by information criteria and by what they predict."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.report.fitting import Fit, descend, fit, make_problem, negative_log_likelihood
from omnimouse_cli.report.forms import (
    AXES,
    BROKEN_JOINT,
    BROKEN_SINGLE,
    CONSTANT,
    JOINT,
    POWER,
    SATURATING,
    TIED,
    Axis,
    Form,
    natural,
)
from omnimouse_cli.report.table import (
    Array,
    Row,
    column,
    compute_of,
    levels,
    logarithms,
    run_groups,
)
from omnimouse_cli.text import pluralize

Places = NDArray[np.intp]

NUM_STARTS = 128
NUM_BREAK_RESAMPLES = 300
MIN_ROWS_FOR_BREAK = 12
MIN_LEVELS_FOR_BREAK = 4
# A difference in AICc that counts.
CLEAR = 4.0
HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Where a power law changes its exponent.

    Args:
        axis: Parameters or tokens.
        at: Place of the break, with a 95 % percentile interval over resampled runs.
        low: Lower end.
        high: Upper end.
        delta_aicc: AICc of the same law without a break minus AICc with it; positive favours it.
    """

    axis: Axis
    at: float
    low: float
    high: float
    delta_aicc: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One form and how it does.

    Args:
        form: The law.
        aicc: Corrected Akaike criterion; None when there are fewer than k + 2 rows.
        bic: Bayesian criterion; None likewise.
        heldout_error: Root mean square error of ln loss on the most expensive quarter of the runs,
            predicted from the others; None when too few runs are left to fit.
        fit: The fit of all rows; None when there are fewer than k + 2 rows.
        reason: Why numbers are missing.
        breaks: Breaks of this form.
    """

    form: Form
    aicc: float | None = None
    bic: float | None = None
    heldout_error: float | None = None
    fit: Fit | None = None
    reason: str | None = None
    breaks: tuple[Break, ...] = field(default=())


def compare(rows: Sequence[Row], *, seed: int) -> tuple[Alternative, ...]:
    """Fit every form that the table can ask for.

    Args:
        rows: Runs of one metric and split.
        seed: Of starts and resamples.
    """
    x, y = logarithms(rows), np.log(column(rows, "loss"))
    varying = [axis for axis in AXES if len(levels(column(rows, axis))) > 1]
    forms = [CONSTANT]
    for axis in varying:
        forms += [POWER[axis], SATURATING[axis]]
    if len(varying) == 2:
        forms += [TIED, JOINT]
    split = extrapolation_split(rows)
    found = {form: _fit_one(form, x, y, split, seed) for form in forms}
    broken = [_with_break(axis, rows, found, split, seed) for axis in varying]
    return (*found.values(), *broken)


def winner(alternatives: Sequence[Alternative]) -> str | None:
    """Name the form whose AICc is clearly the lowest and that extrapolates best, if one is both."""
    scored = [one for one in alternatives if one.aicc is not None]
    predicted = [one for one in alternatives if one.heldout_error is not None]
    if len(scored) < 2 or not predicted:
        return None
    scored.sort(key=lambda one: _or_infinity(one.aicc))
    best = scored[0]
    clear = _or_infinity(scored[1].aicc) - _or_infinity(best.aicc) > CLEAR
    farthest = min(predicted, key=lambda one: _or_infinity(one.heldout_error))
    return best.form.name if clear and farthest is best else None


def supported_breaks(alternatives: Sequence[Alternative]) -> tuple[Break, ...]:
    """Give the breaks whose AICc is better by more than 4."""
    return tuple(found for one in alternatives for found in one.breaks if found.delta_aicc > CLEAR)


def extrapolation_split(rows: Sequence[Row]) -> tuple[Places, Places]:
    """Give the numbers of the cheaper rows and of the most expensive quarter, whole levels each.

    Where only one of parameters and tokens varies this is the quarter with the most of it.
    """
    compute, _ = compute_of(rows)
    order = np.argsort(compute, kind="stable")
    first = len(rows) - max(1, round(HELD_OUT_SHARE * len(rows)))
    # Runs that cost the same go to the same side.
    while first > 0 and compute[order[first - 1]] >= compute[order[first]] * (1 - 1e-9):
        first -= 1
    return order[:first], order[first:]


def criteria(found: Fit) -> tuple[float, float]:
    """Give AICc and BIC of a fit, from the likelihood that the robust loss maximises."""
    rows, k = len(found.problem.y), found.problem.form.num_fitted
    worst = 2 * negative_log_likelihood(found.objective * rows, rows, found.problem.delta)
    return worst + 2 * k + 2 * k * (k + 1) / (rows - k - 1), worst + k * math.log(rows)


def _fit_one(
    form: Form, x: Array, y: Array, split: tuple[Places, Places], seed: int
) -> Alternative:
    if len(y) < form.min_rows:
        few = f"{pluralize(len(y), 'row')}; {form.num_fitted} fitted numbers need {form.min_rows}"
        return Alternative(form=form, reason=few)
    whole = fit(make_problem(form, x, y), seed=seed, num_starts=NUM_STARTS)
    aicc, bic = criteria(whole)
    lower, upper = split
    error: float | None = None
    reason: str | None = None
    if _can_extrapolate(form, x[lower]):
        part = fit(make_problem(form, x[lower], y[lower]), seed=seed, num_starts=NUM_STARTS)
        missed = y[upper] - part.predict(x[upper])
        error = float(np.sqrt(np.mean(missed**2)))
    else:
        reason = f"{pluralize(len(lower), 'cheaper row')} cannot predict the others"
    return Alternative(form=form, aicc=aicc, bic=bic, heldout_error=error, fit=whole, reason=reason)


def _can_extrapolate(form: Form, x: Array) -> bool:
    """Say whether the cheaper rows are enough and still vary along the axes of the form."""
    needed = dict.fromkeys(form.axes, 4 if "break" in form.names else 2)
    return len(x) >= form.min_rows and all(
        len(np.unique(x[:, AXES.index(axis)])) >= number for axis, number in needed.items()
    )


def _with_break(
    axis: Axis,
    rows: Sequence[Row],
    found: dict[Form, Alternative],
    split: tuple[Places, Places],
    seed: int,
) -> Alternative:
    """Fit a break along one axis to the joint law, or to the saturating law of that axis."""
    plain, form = JOINT, BROKEN_JOINT[axis]
    if JOINT not in found:
        plain, form = SATURATING[axis], BROKEN_SINGLE[axis]
    num_levels = len(levels(column(rows, axis)))
    if len(rows) < max(MIN_ROWS_FOR_BREAK, form.min_rows) or num_levels < MIN_LEVELS_FOR_BREAK:
        reason = (
            f"{pluralize(len(rows), 'row')} with {pluralize(num_levels, 'level')} of {axis}; a "
            f"break needs {max(MIN_ROWS_FOR_BREAK, form.min_rows)} rows and "
            f"{MIN_LEVELS_FOR_BREAK} levels"
        )
        return Alternative(form=form, reason=reason)
    x, y = logarithms(rows), np.log(column(rows, "loss"))
    one = _fit_one(form, x, y, split, seed)
    before = found[plain].aicc
    if one.fit is None or one.aicc is None or before is None:
        return one
    low, high = _break_interval(one.fit, rows, seed)
    place = Break(
        axis=axis, at=one.fit.values["break"], low=low, high=high, delta_aicc=before - one.aicc
    )
    return Alternative(
        form=form,
        aicc=one.aicc,
        bic=one.bic,
        heldout_error=one.heldout_error,
        fit=one.fit,
        reason=one.reason,
        breaks=(place,),
    )


def _break_interval(found: Fit, rows: Sequence[Row], seed: int) -> tuple[float, float]:
    """Give the percentile interval of the break's place over resamples of whole runs."""
    generator = np.random.default_rng([seed, 2])
    groups = run_groups(rows)
    num_runs = int(groups.max()) + 1
    shares = np.full(num_runs, 1 / num_runs)
    weights = generator.multinomial(num_runs, shares, size=NUM_BREAK_RESAMPLES)[:, groups]
    problem = found.problem
    place = problem.form.names.index("break")
    start = np.repeat(found.theta[None], NUM_BREAK_RESAMPLES, axis=0)
    moved = start.copy()
    # The objective has a valley between any two neighbouring levels; this start is elsewhere.
    moved[:, place] = generator.uniform(problem.low[place], problem.high[place], len(moved))
    ends = [descend(problem, one, weights.astype(float)) for one in (start, moved)]
    better = (ends[1][1] < ends[0][1])[:, None]
    theta = np.where(better, ends[1][0], ends[0][0])
    places = natural(problem.form, theta, problem.center)["break"]
    return float(np.percentile(places, 2.5)), float(np.percentile(places, 97.5))


def _or_infinity(value: float | None) -> float:
    return math.inf if value is None else value
