"""A break of a power law: where it is, and whether the table supports it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnimouse_cli.metrics.intervals import percentile_interval
from omnimouse_cli.report.bootstrap import bootstrap_fit
from omnimouse_cli.report.effects import (
    SharedEffects,
    estimate_effects,
    find_shared_groups,
    sum_group_squares,
)
from omnimouse_cli.report.fitting import Fit, compute_criteria, find_exponents_at_bounds
from omnimouse_cli.report.forms import AXES, BREAK_WIDTH, Axis, Form, to_natural_parameters
from omnimouse_cli.report.table import (
    ROUNDING,
    Array,
    RunRow,
    find_levels,
    get_column,
    number_levels,
)
from omnimouse_cli.text import format_magnitude

NUM_RESAMPLES = 300
# A difference in AICc that counts.
CLEAR = 4.0
MAX_CHANCE = 0.01
# A longer interval, as a share of the range of ln N or ln D, says nothing about the place.
MAX_SPAN = 0.5
# Interval ends so close to the outermost places that are tried, in ln N or ln D, are at them.
AT_END = 1e-2
# Smallest share of the rows on each side of a break; fewer may be outliers.
MIN_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """A value of an axis where a power law changes its exponent.

    Args:
        axis: Parameters or tokens.
        at: Value of the axis.
        low: Lower end of its 95 % percentile interval over resamples.
        high: Upper end.
        delta_aicc: AICc of the same law without a break minus AICc with it; positive favors it.
        heldout_error: Error of the law with the break on the most expensive quarter of the runs.
        heldout_error_without: Error of the law without it.
        reasons: Why the table does not support the break; empty if it does.
    """

    axis: Axis
    at: float
    low: float
    high: float
    delta_aicc: float
    heldout_error: float | None
    heldout_error_without: float | None
    reasons: tuple[str, ...]


def fit_width(form: Form, axis: Axis, rows: Sequence[RunRow]) -> Form:
    """Return the form with a break as wide as a step of the grid, and 0.25 at most."""
    steps = np.diff(np.log(find_levels(get_column(rows, axis), ROUNDING)))
    return replace(form, width=min(BREAK_WIDTH, float(np.median(steps))))


def assess_break(
    axis: Axis,
    rows: Sequence[RunRow],
    plain: Fit,
    broken: Fit,
    errors: tuple[float | None, float | None],
    *,
    seed: int,
) -> Break:
    """Return the break of a fit, its interval, and why it is not supported.

    Args:
        axis: Axis of the break.
        rows: The runs.
        plain: Fit of the law without a break.
        broken: Fit of the law with a break.
        errors: Held-out errors of both.
        seed: Seed of the resamples.
    """
    groups = find_shared_groups(rows) if axis == "tokens" else None
    if groups is None:
        groups = number_levels(get_column(rows, axis), ROUNDING)
    # The constant, the factor, both exponents and the break depend on differences along the axis.
    effects = estimate_effects(
        broken.residuals,
        groups,
        fitted_between=5,
        fitted_within=len(broken.problem.form.names) - 5,
    )
    delta = compute_criteria(plain)[0] - compute_criteria(broken)[0]
    # An interval that decides nothing may be coarse.
    number = NUM_RESAMPLES if delta > CLEAR else NUM_RESAMPLES // 6
    low, high = _bootstrap_break(broken, rows, effects, num_resamples=number, seed=seed)
    reasons = [
        *_check_criterion(delta),
        *_check_groups(plain, broken, effects, axis),
        *_check_heldout_errors(*errors),
        *_check_place(broken, axis, low, high),
        *(f"{sentence} with the break" for sentence in find_exponents_at_bounds(broken)),
    ]
    return Break(
        axis=axis,
        at=broken.values["break"],
        low=low,
        high=high,
        delta_aicc=delta,
        heldout_error=errors[1],
        heldout_error_without=errors[0],
        reasons=tuple(reasons),
    )


def _check_criterion(delta: float) -> list[str]:
    if delta > CLEAR:
        return []
    return [f"AICc is better by {delta:.1f} with the break; more than {CLEAR:g} is needed"]


def _check_groups(plain: Fit, broken: Fit, effects: SharedEffects | None, axis: Axis) -> list[str]:
    """Compare what the break explains with the scatter of subsets, or of values of the axis.

    Rows of one subset or value share its effect, and are not independent as AICc takes them to be.
    """
    from scipy.stats import f as f_distribution

    if effects is None:
        values = np.exp(broken.problem.x[:, AXES.index(axis)])
        levels = len(find_levels(values, ROUNDING))
        few = f"{levels} levels of {axis} cannot tell a break from an effect of a single level"
        return [] if levels == len(values) else [few]
    without, left = (sum_group_squares(one.residuals, effects.groups) for one in (plain, broken))
    # A break adds its place and an exponent.
    ratio = max(without - left, 0) / 2 / max(left / effects.degrees[0], 1e-300)
    chance = float(f_distribution.sf(ratio, 2, effects.degrees[0]))
    if chance < MAX_CHANCE:
        return []
    return [
        f"the scatter of subsets and levels along {axis} explains as much as the break "
        f"(F test, p = {chance:.2g}; less than {MAX_CHANCE:g} is needed)"
    ]


def _check_heldout_errors(without: float | None, error: float | None) -> list[str]:
    if error is None or without is None:
        return ["too few cheaper runs to predict the most expensive quarter with the break"]
    if error < without:
        return []
    return [
        f"the most expensive quarter of the runs is predicted no better with the break: error "
        f"{error:.2%} against {without:.2%} without"
    ]


def _check_place(broken: Fit, axis: Axis, low: float, high: float) -> list[str]:
    """Return a reason where the place is at the edge of the data or could be nearly anywhere."""
    problem = broken.problem
    index, column = problem.form.names.index("break"), AXES.index(axis)
    first, last = (float(ends[index]) for ends in (problem.low, problem.high))
    ends = np.log([low, high]) - problem.center[column]
    interval = f"{format_magnitude(low)} to {format_magnitude(high)}"
    values = problem.x[:, column]
    share = min(float((values < ends[0]).mean()), float((values > ends[1]).mean()))
    if ends[0] < first + AT_END or ends[1] > last - AT_END or share < MIN_SHARE:
        return [f"its interval, {interval}, reaches the edge of the data"]
    spread = float(np.ptp(values))
    if ends[1] - ends[0] > MAX_SPAN * spread:
        share = (ends[1] - ends[0]) / spread
        return [f"its interval, {interval}, covers {share:.0%} of the range of {axis}"]
    return []


def _bootstrap_break(
    broken: Fit,
    rows: Sequence[RunRow],
    effects: SharedEffects | None,
    *,
    num_resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Return the percentile interval of the break over resamples."""
    problem = broken.problem
    theta = bootstrap_fit(
        broken,
        rows,
        effects,
        _start_at_other_breaks,
        num_resamples=num_resamples,
        generator=np.random.default_rng([seed, 2]),
    )
    places = to_natural_parameters(problem.form, theta, problem.center)["break"]
    return percentile_interval(places)


def _start_at_other_breaks(result: Fit, number: int, generator: np.random.Generator) -> list[Array]:
    """Return the optimum, and the optimum with the break elsewhere, `(number, parameters)` each.

    The objective has a valley between any two adjacent levels.
    """
    problem = result.problem
    index = problem.form.names.index("break")
    best = np.repeat(result.theta[None], number, axis=0)
    moved = best.copy()
    moved[:, index] = generator.uniform(problem.low[index], problem.high[index], number)
    return [best, moved]
