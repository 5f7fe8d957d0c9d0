"""The joint law of parameters and data: whether it can be fitted, its intervals, its stability."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from omnimouse_cli.metrics.intervals import Interval, percentile_interval
from omnimouse_cli.report.bootstrap import bootstrap_fit, start_near
from omnimouse_cli.report.effects import SharedEffects, estimate_effects, find_shared_groups
from omnimouse_cli.report.fitting import (
    HUBER_DELTA,
    MIN_SHARE,
    Fit,
    describe_bounds,
    fit,
    make_problem,
)
from omnimouse_cli.report.forms import JOINT, to_natural_parameters
from omnimouse_cli.report.goodness import Goodness, assess_fit
from omnimouse_cli.report.table import (
    Array,
    RunRow,
    compute_seed_noise,
    find_levels,
    get_column,
    get_compute,
    get_log_sizes,
    list_names,
)
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import format_magnitude, pluralize

Number = TypeVar("Number", float, Array)

NUM_RESAMPLES = 1000
NAMES = ("E", "A", "B", "alpha", "beta", "a_opt")
WORST_SHARE = 0.05
DELTAS = (1e-4, 1e-2)
# Both ends of the table must differ by so many standard deviations of seed noise.
MIN_FALL = 3.0
# Two values of a power term determine its factor or its exponent, not both.
MIN_LEVELS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The joint law without the worst residuals, or with another delta of the Huber loss."""

    name: str
    rows: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class JointLaw:
    """The joint law of a table.

    Args:
        fit: Fit of all rows.
        estimates: E, A, B, alpha, beta and a_opt with 95 % percentile intervals.
        samples: The same in every resample, `(resamples,)` each.
        bound_share: Fraction of resamples with a parameter at a bound.
        goodness: Goodness of fit.
        effects: Effects of subsets of the data; None where the table cannot tell them.
        variants: Fits in other ways, to show how stable the parameters are.
    """

    fit: Fit
    estimates: dict[str, Interval]
    samples: dict[str, Array]
    bound_share: float
    goodness: Goodness
    effects: SharedEffects | None
    variants: tuple[Variant, ...]


def fit_joint_law(
    rows: Sequence[RunRow], *, num_resamples: int, seed: int, reporter: Reporter
) -> tuple[JointLaw | None, list[str]]:
    """Fit the joint law with intervals, or return the reasons why these rows do not determine it.

    Args:
        rows: The runs.
        num_resamples: Number of resamples: whole runs are resampled, or, where several subsets of
            data were drawn, effects of subsets and of runs are drawn.
        seed: Seed of starts and resamples.
        reporter: Receives the progress of the bootstrap.
    """
    reasons = find_refusals(rows)
    if reasons:
        return None, reasons
    x, y = get_log_sizes(rows), np.log(get_column(rows, "loss"))
    result = fit(make_problem(JOINT, x, y), seed=seed)
    bounds = describe_bounds(result)
    if bounds:
        sentence = f"the optimum of the joint law lies at a bound: {', '.join(bounds)}"
        return None, [f"{sentence}, so its terms cannot be distinguished in this table"]
    goodness = assess_fit(result, rows)
    if not goodness.fits:
        return None, [f"the joint law does not fit these rows: {goodness.describe()}"]
    effects = estimate_subset_effects(result, rows)
    samples, bound_share = _bootstrap(
        result, rows, effects, num_resamples=num_resamples, seed=seed, reporter=reporter
    )
    point = _add_optimum(result.values)
    estimates = {}
    for name in NAMES:
        low, high = percentile_interval(samples[name])
        estimates[name] = Interval(value=point[name], low=low, high=high)
    law = JointLaw(
        fit=result,
        estimates=estimates,
        samples=samples,
        bound_share=bound_share,
        goodness=goodness,
        effects=effects,
        variants=fit_variants(result, x, y, seed=seed),
    )
    return law, []


def estimate_subset_effects(result: Fit, rows: Sequence[RunRow]) -> SharedEffects | None:
    """Return the effects of subsets of the data on ln loss, from the residuals of a joint law."""
    groups = find_shared_groups(rows)
    if groups is None:
        return None
    # E, B and beta depend on differences between amounts of data, A and alpha on those of sizes.
    return estimate_effects(result.residuals, groups, fitted_between=3, fitted_within=2)


def find_refusals(rows: Sequence[RunRow]) -> list[str]:
    """Return the reasons not to fit the joint law to these rows, one sentence each."""
    reasons = []
    for name, noun in (("metric", "metrics"), ("split", "splits")):
        names = list_names(getattr(row, name) for row in rows)
        if len(names) > 1:
            reasons.append(
                f"the rows mix {noun}, which have no common law: {', '.join(names)}; "
                f"choose one with --where '{name}=={names[0]}'"
            )
    if len(rows) < JOINT.min_rows:
        reasons.append(
            f"a law with {JOINT.num_fitted} fitted numbers (five parameters and the noise) needs "
            f"at least {JOINT.min_rows} rows, and the table has {len(rows)}"
        )
    for name, change in (("parameters", "larger models"), ("tokens", "more data")):
        levels = find_levels(get_column(rows, name))
        if len(levels) == 1:
            reasons.append(
                f"{name} have one level only ({format_magnitude(levels[0])}), so the table cannot "
                f"predict what {change} would change"
            )
        elif len(levels) < MIN_LEVELS:
            reasons.append(
                f"{name} have {len(levels)} levels only, from which a factor and an exponent "
                f"cannot both be determined: {MIN_LEVELS} are the least"
            )
    return reasons + _check_fall(rows)


def _check_fall(rows: Sequence[RunRow]) -> list[str]:
    """Return a reason where loss does not fall from the cheapest to the most expensive third."""
    if len(rows) < 3:
        return []
    order = np.argsort(get_compute(rows)[0], kind="stable")
    third = max(1, len(rows) // 3)
    loss = np.log(get_column(rows, "loss"))
    drop = float(loss[order[:third]].mean() - loss[order[-third:]].mean())
    noise = compute_seed_noise(rows)
    if drop <= 0:
        return ["loss does not fall from the cheapest to the most expensive third of the runs"]
    if noise is not None and drop < MIN_FALL * noise:
        return [
            f"loss falls by {drop:.2%} from the cheapest to the most expensive third of the runs, "
            f"which is within {MIN_FALL:g} standard deviations of seed noise ({noise:.2%} each)"
        ]
    return []


def _bootstrap(
    result: Fit,
    rows: Sequence[RunRow],
    effects: SharedEffects | None,
    *,
    num_resamples: int,
    seed: int,
    reporter: Reporter,
) -> tuple[dict[str, Array], float]:
    """Return parameters of every resample by name, and the fraction with one at a bound."""
    task = "bootstrap"
    reporter.start(task, total=num_resamples)
    theta = bootstrap_fit(
        result,
        rows,
        effects,
        start_near,
        num_resamples=num_resamples,
        generator=np.random.default_rng([seed, 1]),
        advance=lambda number: reporter.advance(task, number),
    )
    reporter.finish(task)
    values = to_natural_parameters(result.problem.form, theta, result.problem.center)
    return _add_optimum(values), _compute_bound_share(result, theta)


def _compute_bound_share(result: Fit, theta: Array) -> float:
    problem = result.problem
    span = 1e-3
    at_bound = (theta <= problem.low + span) | (theta >= problem.high - span)
    constant = problem.form.names.index("e")
    at_bound[:, constant] |= theta[:, constant] < problem.y.min() + np.log(MIN_SHARE)
    return float(at_bound.any(axis=1).mean())


def _add_optimum(values: dict[str, Number]) -> dict[str, Number]:
    """Add a_opt = beta / (alpha + beta): the best size grows as compute to this power."""
    total = values["alpha"] + values["beta"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {**values, "a_opt": values["beta"] / total}


def fit_variants(result: Fit, x: Array, y: Array, *, seed: int) -> tuple[Variant, ...]:
    """Fit again without the worst residuals, and with other deltas of the Huber loss.

    Args:
        result: Fit of all rows.
        x: ln N and ln D, `(rows, 2)`.
        y: ln loss, `(rows,)`.
        seed: Seed of the starts.
    """
    options = [(f"delta {delta:g}", np.arange(len(y)), delta) for delta in DELTAS]
    dropped = max(1, round(WORST_SHARE * len(y)))
    if len(y) - dropped >= JOINT.min_rows:
        kept = np.argsort(np.abs(result.residuals), kind="stable")[: len(y) - dropped]
        name = f"without the {pluralize(dropped, 'worst residual')}"
        options.insert(0, (name, np.sort(kept), HUBER_DELTA))
    return tuple(
        Variant(
            name=name,
            rows=len(kept),
            values=_add_optimum(
                fit(make_problem(JOINT, x[kept], y[kept], delta=delta), seed=seed).values
            ),
        )
        for name, kept, delta in options
    )
