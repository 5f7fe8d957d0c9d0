"""The joint law of parameters and data: when it may be fitted, its intervals, how firm it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from omnimouse_cli.report.fitting import (
    HUBER_DELTA,
    MIN_SHARE,
    Fit,
    at_bound,
    descend,
    fit,
    make_problem,
    random_starts,
)
from omnimouse_cli.report.forms import JOINT, Form, natural
from omnimouse_cli.report.table import (
    Array,
    Row,
    column,
    compute_of,
    distinct,
    levels,
    logarithms,
    run_groups,
    seed_noise,
)
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import format_magnitude

Number = TypeVar("Number", float, Array)

NUM_RESAMPLES = 1000
NAMES = ("E", "A", "B", "alpha", "beta", "a_opt")
# Members times rows that are fitted at once; more would not fit the caches.
CHUNK = 60_000
WORST_SHARE = 0.05
DELTAS = (1e-4, 1e-3, 1e-2)
# Both ends of the table must differ by this many standard deviations of seed noise.
MIN_FALL = 3.0
# Two values of a power term fix its factor or its exponent, not both.
MIN_LEVELS = 3
FEW_AGREE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number and its 95 % percentile interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """The joint law fitted in another way, to see how firm it is."""

    name: str
    rows: int
    values: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The joint law of a table.

    Args:
        fit: The best parameters.
        estimates: E, A, B, alpha, beta, a_opt with intervals.
        samples: The same of every resample, (resamples,) each.
        bound_share: Share of resamples with an exponent at a bound.
        variants: Fits without the worst residuals and with other robust losses.
    """

    fit: Fit
    estimates: dict[str, Estimate]
    samples: dict[str, Array]
    bound_share: float
    variants: tuple[Variant, ...]


def refusals(rows: Sequence[Row]) -> list[str]:
    """Say, before any fit, why these rows cannot carry the joint law; one sentence per reason."""
    said = []
    for name, word in (("metric", "metrics"), ("split", "splits")):
        found = distinct(getattr(row, name) for row in rows)
        if len(found) > 1:
            said.append(
                f"the rows mix {word}, which have no common law: {', '.join(found)}; "
                f"choose one with --where '{name}=={found[0]}'"
            )
    if len(rows) < JOINT.min_rows:
        said.append(
            f"a law with {JOINT.num_fitted} fitted numbers (five parameters and the noise) needs "
            f"at least {JOINT.min_rows} rows, and the table has {len(rows)}"
        )
    said += [sentence for name in ("parameters", "tokens") if (sentence := _few_levels(rows, name))]
    fall = _fall(rows)
    return said + ([fall] if fall else [])


def _few_levels(rows: Sequence[Row], name: str) -> str | None:
    """Say that one axis has too few levels, if so."""
    found = levels(column(rows, name))
    if len(found) == 1:
        change = "larger models" if name == "parameters" else "more data"
        return (
            f"{name} have one level only ({format_magnitude(found[0])}), so the table cannot say "
            f"what {change} would change"
        )
    if len(found) < MIN_LEVELS:
        return (
            f"{name} have {len(found)} levels only, from which a factor and an exponent cannot be "
            f"told apart: {MIN_LEVELS} are the least"
        )
    return None


def _fall(rows: Sequence[Row]) -> str | None:
    """Say that loss does not fall from the cheapest to the dearest third, if so."""
    if len(rows) < 3:
        return None
    compute, _ = compute_of(rows)
    order = np.argsort(compute, kind="stable")
    third = max(1, len(rows) // 3)
    loss = np.log(column(rows, "loss"))
    drop = float(loss[order[:third]].mean() - loss[order[-third:]].mean())
    noise = seed_noise(rows)
    if drop <= 0:
        return "loss does not fall from the cheapest to the dearest third of the runs"
    if noise is not None and drop < MIN_FALL * noise:
        return (
            f"loss falls by {drop:.2%} from the cheapest to the dearest third of the runs, "
            f"which is within {MIN_FALL:g} standard deviations of seed noise ({noise:.2%} each)"
        )
    return None


def fit_joint(
    rows: Sequence[Row], *, num_resamples: int, seed: int, reporter: Reporter
) -> tuple[Law | None, list[str]]:
    """Fit the joint law with intervals, or say why there is none.

    Args:
        rows: Runs of one metric and split.
        num_resamples: Of whole runs.
        seed: Of starts and resamples.
        reporter: Told about the progress of the bootstrap.

    Returns:
        The law, or None and the reasons.
    """
    reasons = refusals(rows)
    if reasons:
        return None, reasons
    x, y = logarithms(rows), np.log(column(rows, "loss"))
    found = fit(make_problem(JOINT, x, y), seed=seed)
    stuck = at_bound(found)
    if stuck:
        sentence = f"the optimum of the joint law lies at a bound: {', '.join(stuck)}"
        return None, [f"{sentence}, so this table cannot tell its terms apart"]
    samples, bound_share = bootstrap(found, rows, num=num_resamples, seed=seed, reporter=reporter)
    point = _with_optimum(found.values)
    low, high = 2.5, 97.5
    estimates = {
        name: Estimate(
            value=point[name],
            low=float(np.percentile(samples[name], low)),
            high=float(np.percentile(samples[name], high)),
        )
        for name in NAMES
    }
    law = Law(
        fit=found,
        estimates=estimates,
        samples=samples,
        bound_share=bound_share,
        variants=sensitivity(found, x, y, seed=seed),
    )
    return law, []


def bootstrap(
    found: Fit, rows: Sequence[Row], *, num: int, seed: int, reporter: Reporter
) -> tuple[dict[str, Array], float]:
    """Fit resamples of whole runs, each from the optimum, from near it and from a random start.

    Args:
        found: The fit of all rows.
        rows: Its rows; those of one run stay together.
        num: Resamples.
        seed: Of the resampling.
        reporter: Told about progress.

    Returns:
        Parameters of every resample by name, (num,) each, and the share that met a bound.
    """
    generator = np.random.default_rng([seed, 1])
    groups = run_groups(rows)
    num_runs = int(groups.max()) + 1
    counts = generator.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=num)
    weights = counts[:, groups].astype(float)
    task = "bootstrap"
    reporter.start(task, total=num)
    ends = []
    chunk = max(1, CHUNK // len(rows))
    for first in range(0, num, chunk):
        part = weights[first : first + chunk]
        ends.append(_best_of_starts(found, part, generator))
        reporter.advance(task, len(part))
    reporter.finish(task)
    theta = np.concatenate(ends)
    values = natural(found.problem.form, theta, found.problem.center)
    return _with_optimum(values), _share_at_bound(found, theta)


def _best_of_starts(found: Fit, weights: Array, generator: np.random.Generator) -> Array:
    problem = found.problem
    best = np.repeat(found.theta[None], len(weights), axis=0)
    lowest = np.full(len(weights), np.inf)
    jitter = generator.normal(0, 0.3, (len(weights), len(found.theta)))
    starts = [
        best.copy(),
        np.clip(best + jitter, problem.low, problem.high),
        random_starts(problem, len(weights), generator),
    ]
    for start in starts:
        ends, values = descend(problem, start, weights)
        better = values < lowest
        best[better], lowest[better] = ends[better], values[better]
    return best


def _share_at_bound(found: Fit, theta: Array) -> float:
    problem = found.problem
    span = 1e-3
    met = (theta <= problem.low + span) | (theta >= problem.high - span)
    constant = problem.form.names.index("e")
    met[:, constant] |= theta[:, constant] < problem.y.min() + np.log(MIN_SHARE)
    return float(met.any(axis=1).mean())


def _with_optimum(values: dict[str, Number]) -> dict[str, Number]:
    """Add a_opt = beta / (alpha + beta): the best size grows as compute to this power."""
    total = values["alpha"] + values["beta"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {**values, "a_opt": values["beta"] / total}


def sensitivity(found: Fit, x: Array, y: Array, *, seed: int) -> tuple[Variant, ...]:
    """Fit again without the worst residuals, and with other widths of the robust loss.

    Args:
        found: The fit of all rows.
        x: ln N and ln D, (rows, 2).
        y: ln loss, (rows,).
        seed: Of the starts.
    """
    form = found.problem.form
    variants = [
        _variant(f"delta {delta:g}", form, x, y, delta=delta, seed=seed)
        for delta in DELTAS
        if delta != HUBER_DELTA
    ]
    dropped = max(1, round(WORST_SHARE * len(y)))
    if len(y) - dropped >= form.min_rows:
        kept = np.argsort(np.abs(found.residuals), kind="stable")[: len(y) - dropped]
        kept.sort()
        name = f"without the {dropped} worst residual{'s' if dropped > 1 else ''}"
        variants.insert(0, _variant(name, form, x[kept], y[kept], delta=HUBER_DELTA, seed=seed))
    return tuple(variants)


def _variant(name: str, form: Form, x: Array, y: Array, *, delta: float, seed: int) -> Variant:
    again = fit(make_problem(form, x, y, delta=delta), seed=seed)
    return Variant(name=name, rows=len(y), values=_with_optimum(again.values))
