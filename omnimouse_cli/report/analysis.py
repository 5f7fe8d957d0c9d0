"""From a table to the whole report: law, rivals, verdict, warnings, and the JSON document."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omnimouse_cli.report.alternatives import Alternative, compare, supported_breaks, winner
from omnimouse_cli.report.frontier import MAX_SPREAD, Frontier, compute_frontier
from omnimouse_cli.report.law import FEW_AGREE, NUM_RESAMPLES, Law, fit_joint
from omnimouse_cli.report.proposals import Proposal, propose
from omnimouse_cli.report.table import (
    Array,
    Row,
    RunTable,
    column,
    distinct,
    logarithms,
    seed_noise,
)
from omnimouse_cli.report.verdict import Verdict, judge
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

# Up to about four passes, repeated data is nearly as good as fresh data.
FRESH_PASSES = 4.0
# Below this share of a pass, data that count were not seen.
SHORT = 0.9
MIN_AGREEING = 0.1
MIXABLE = ("metric", "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingReport:
    """Everything that is shown.

    Args:
        table: The rows.
        law: The joint law; None when the table does not carry one.
        fitted: Loss that the law gives each row, (rows,); None without a law.
        alternatives: The rivals.
        winner: The form that is clearly the best, if one is.
        verdict: What limits the largest run.
        proposals: Runs that would decide.
        frontier: Compute-optimal sizes; None without a law.
        noise: Standard deviation of ln loss between seeds.
        warnings: What to keep in mind.
        num_resamples: Of the bootstrap.
        seed: Of starts and resamples.
    """

    table: RunTable
    law: Law | None
    fitted: Array | None
    alternatives: tuple[Alternative, ...]
    winner: str | None
    verdict: Verdict
    proposals: tuple[Proposal, ...]
    frontier: Frontier | None
    noise: float | None
    warnings: tuple[str, ...]
    num_resamples: int
    seed: int


def analyse(
    table: RunTable, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0, reporter: Reporter
) -> ScalingReport:
    """Fit, compare and judge; a table that carries no law gives a report that says so.

    Args:
        table: The rows.
        num_resamples: Of whole runs.
        seed: Of starts and resamples.
        reporter: Told about progress.
    """
    rows = table.rows
    law, refused = fit_joint(rows, num_resamples=num_resamples, seed=seed, reporter=reporter)
    mixed = any(len(distinct(getattr(row, name) for row in rows)) > 1 for name in MIXABLE)
    alternatives = () if mixed else compare(rows, seed=seed)
    verdict = judge(rows, law, refused, alternatives)
    frontier = compute_frontier(rows, law.fit.values) if law else None
    return ScalingReport(
        table=table,
        law=law,
        fitted=np.exp(law.fit.predict(logarithms(rows))) if law else None,
        alternatives=alternatives,
        winner=winner(alternatives),
        verdict=verdict,
        proposals=propose(rows, verdict),
        frontier=frontier,
        noise=seed_noise(rows),
        warnings=tuple(_warnings(table, law, alternatives, frontier, num_resamples)),
        num_resamples=num_resamples,
        seed=seed,
    )


def _warnings(
    table: RunTable,
    law: Law | None,
    alternatives: Sequence[Alternative],
    frontier: Frontier | None,
    num_resamples: int,
) -> list[str]:
    said = list(table.notes)
    if table.left_out:
        said.append(f"{pluralize(len(table.left_out), 'row')} left out; the table of rows says why")
    said += _passes_warnings(table.rows)
    if law is None:
        return said
    if num_resamples < NUM_RESAMPLES:
        said.append(
            f"the intervals rest on {num_resamples} resamples; {NUM_RESAMPLES} are the least "
            "for a result to be quoted"
        )
    if law.fit.agreeing < MIN_AGREEING:
        said.append(f"only {law.fit.agreeing:.1%} of the starts reached the best fit")
    if law.bound_share > FEW_AGREE:
        said.append(
            f"{law.bound_share:.0%} of the resamples ended at a bound: the intervals are too narrow"
        )
    said += _firmness_warnings(law)
    if frontier is not None and not frontier.measured:
        said.append(
            "compute was not measured in every run: parameters x tokens stands in for it, "
            "and the frontier is in those units"
        )
    elif frontier is not None and frontier.spread > MAX_SPREAD:
        said.append(
            f"compute per parameter and token differs {frontier.spread:.2g}-fold between runs: "
            "the frontier assumes the median"
        )
    said += [
        f"the loss changes regime along {found.axis} near {found.at:.3g} (AICc better by "
        f"{found.delta_aicc:.1f}): the exponents of the joint law mix both regimes"
        for found in supported_breaks(alternatives)
    ]
    return said


def _passes_warnings(rows: Sequence[Row]) -> list[str]:
    """Hold the tokens that were seen against the unique ones; windows overlap, epochs hide that."""
    passes = column(rows, "tokens_seen") / column(rows, "tokens")
    passes = np.where(np.isfinite(passes), passes, column(rows, "epochs"))
    known = passes[np.isfinite(passes)]
    if not len(known):
        return []
    low, high = float(known.min()), float(known.max())
    said = []
    if low < SHORT:
        said.append(
            f"{pluralize(int((known < SHORT).sum()), 'run')} ended before all of the data were "
            f"seen (down to {low:.2g} passes): unique tokens credit them with more than they used"
        )
    if high > FRESH_PASSES:
        said.append(
            f"runs saw their data up to {high:.3g} times; beyond about {FRESH_PASSES:g} passes "
            "repeated data are worth clearly less than fresh data"
        )
    if high > 2 * low:
        said.append(
            f"passes over the data differ between runs ({low:.2g} to {high:.3g}): part of the "
            "difference in loss may come from the length of training"
        )
    return said


def _firmness_warnings(law: Law) -> list[str]:
    """Name the fits of the sensitivity table that leave the interval of an exponent."""
    return [
        f"{variant.name}: {name} is {variant.values[name]:.3g}, outside its interval "
        f"{law.estimates[name].low:.3g} to {law.estimates[name].high:.3g}"
        for variant in law.variants
        for name in ("alpha", "beta")
        if not law.estimates[name].low <= variant.values[name] <= law.estimates[name].high
    ]
