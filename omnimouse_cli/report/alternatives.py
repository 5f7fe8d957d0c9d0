"""Alternatives to the joint law, compared by information criteria and by extrapolation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.report.breaks import CLEAR, Break, assess_break, fit_width
from omnimouse_cli.report.fitting import Fit, compute_criteria, fit, make_problem
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
)
from omnimouse_cli.report.goodness import Goodness, assess_fit
from omnimouse_cli.report.table import (
    Array,
    RunRow,
    find_levels,
    get_column,
    get_compute,
    get_log_sizes,
)
from omnimouse_cli.text import pluralize

Indices = NDArray[np.intp]

NUM_STARTS = 128
MIN_ROWS_FOR_BREAK = 12
MIN_LEVELS_FOR_BREAK = 4
HELD_OUT_SHARE = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A form of the law, and how well it fits and extrapolates.

    Args:
        form: Form of the law.
        aicc: Corrected Akaike criterion; None with fewer than k + 2 rows.
        bic: Bayesian criterion; None likewise.
        heldout_error: Root mean square error of ln loss on the most expensive quarter of the runs,
            predicted from the others; None when too few runs are left to fit.
        fit: Fit of all rows; None with fewer than k + 2 rows.
        goodness: Variance that the form explains and misses; None likewise.
        reason: Why numbers are missing.
        breaks: Breaks of this form.
    """

    form: Form
    aicc: float | None = None
    bic: float | None = None
    heldout_error: float | None = None
    fit: Fit | None = None
    goodness: Goodness | None = None
    reason: str | None = None
    breaks: tuple[Break, ...] = ()

    @property
    def fits(self) -> bool:
        """Return whether the form fits the runs."""
        return self.goodness is not None and self.goodness.fits

    @property
    def r2(self) -> str:
        """Return the share of the variance of ln loss that the form explains, in words."""
        return "-" if self.goodness is None else f"{self.goodness.r2:.1%}"

    def explain(self) -> str | None:
        """Return why numbers are missing or mean nothing; None if they do not."""
        if self.goodness is None or self.fits:
            return self.reason
        # A robust fit may miss more than the variance about the mean.
        share = min(self.goodness.misfit, 1.0)
        return f"does not fit: {share:.0%} of the variance is unexplained"


def compare_forms(rows: Sequence[RunRow], *, seed: int) -> tuple[Alternative, ...]:
    """Fit every form whose axes vary in the table.

    Args:
        rows: Runs of one metric and split.
        seed: Seed of starts and resamples.
    """
    varying = [axis for axis in AXES if len(find_levels(get_column(rows, axis))) > 1]
    forms = [CONSTANT]
    for axis in varying:
        forms += [POWER[axis], SATURATING[axis]]
    if len(varying) == 2:
        forms += [TIED, JOINT]
    by_form = {form: _evaluate_form(form, rows, seed) for form in forms}
    broken = [_evaluate_break(axis, rows, by_form, seed) for axis in varying]
    return (*by_form.values(), *broken)


def find_winner(alternatives: Sequence[Alternative]) -> str | None:
    """Return the form with clearly the lowest AICc if it also extrapolates best, else None.

    A form with a break that the table does not support cannot win.
    """
    by_aicc = sorted((one.aicc, one.form.name) for one in alternatives if one.aicc is not None)
    errors = [
        (one.heldout_error, one.form.name) for one in alternatives if one.heldout_error is not None
    ]
    if len(by_aicc) < 2 or not errors:
        return None
    (lowest, winner), (second, _) = by_aicc[:2]
    broken = next(one for one in alternatives if one.form.name == winner)
    if any(found.reasons for found in broken.breaks):
        return None
    return winner if second - lowest > CLEAR and min(errors)[1] == winner else None


def find_supported_breaks(alternatives: Sequence[Alternative]) -> tuple[Break, ...]:
    """Return the breaks that the table supports."""
    return tuple(found for one in alternatives for found in one.breaks if not found.reasons)


def split_by_compute(rows: Sequence[RunRow]) -> tuple[Indices, Indices]:
    """Return the indices of the cheaper rows and of the most expensive quarter.

    Where only one of parameters and tokens varies this is the quarter with the most of it.
    """
    compute, _ = get_compute(rows)
    order = np.argsort(compute, kind="stable")
    first = len(rows) - max(1, round(HELD_OUT_SHARE * len(rows)))
    # Runs of the same compute stay on the same side.
    while first > 0 and compute[order[first - 1]] >= compute[order[first]] * (1 - 1e-9):
        first -= 1
    return order[:first], order[first:]


def _evaluate_form(form: Form, rows: Sequence[RunRow], seed: int) -> Alternative:
    if len(rows) < form.min_rows:
        few = (
            f"{pluralize(len(rows), 'row')}; {form.num_fitted} fitted numbers need {form.min_rows}"
        )
        return Alternative(form=form, reason=few)
    x, y = get_log_sizes(rows), np.log(get_column(rows, "loss"))
    whole = fit(make_problem(form, x, y), seed=seed, num_starts=NUM_STARTS)
    aicc, bic = compute_criteria(whole)
    goodness = assess_fit(whole, rows)
    result = Alternative(form=form, aicc=aicc, bic=bic, fit=whole, goodness=goodness)
    lower, upper = split_by_compute(rows)
    if not _can_extrapolate(form, x[lower]):
        reason = f"{pluralize(len(lower), 'cheaper row')} cannot predict the others"
        return replace(result, reason=reason)
    part = fit(make_problem(form, x[lower], y[lower]), seed=seed, num_starts=NUM_STARTS)
    residuals = y[upper] - part.predict(x[upper])
    return replace(result, heldout_error=float(np.sqrt(np.mean(residuals**2))))


def _can_extrapolate(form: Form, x: Array) -> bool:
    """Return whether the cheaper rows are enough and vary along the axes of the form."""
    needed = 4 if "break" in form.names else 2
    return len(x) >= form.min_rows and all(
        len(np.unique(x[:, AXES.index(axis)])) >= needed for axis in form.axes
    )


def _evaluate_break(
    axis: Axis, rows: Sequence[RunRow], by_form: dict[Form, Alternative], seed: int
) -> Alternative:
    """Fit a break along one axis to the joint law, or to the saturating law of that axis."""
    plain, form = JOINT, BROKEN_JOINT[axis]
    if JOINT not in by_form:
        plain, form = SATURATING[axis], BROKEN_SINGLE[axis]
    num_levels = len(find_levels(get_column(rows, axis)))
    min_rows = max(MIN_ROWS_FOR_BREAK, form.min_rows)
    if len(rows) < min_rows or num_levels < MIN_LEVELS_FOR_BREAK:
        reason = (
            f"{pluralize(len(rows), 'row')} with {pluralize(num_levels, 'level')} of {axis}; "
            f"a break needs {min_rows} rows and {MIN_LEVELS_FOR_BREAK} levels"
        )
        return Alternative(form=form, reason=reason)
    result = _evaluate_form(fit_width(form, axis, rows), rows, seed)
    before = by_form[plain].fit
    if result.fit is None or before is None:
        return result
    errors = (by_form[plain].heldout_error, result.heldout_error)
    found = assess_break(axis, rows, before, result.fit, errors, seed=seed)
    return replace(result, breaks=(found,))
