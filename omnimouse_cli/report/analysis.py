"""The analysis of a table of runs: law, alternatives, verdict, warnings, and the JSON document."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from omnimouse_cli.report.alternatives import (
    Alternative,
    compare_forms,
    find_supported_breaks,
    find_winner,
)
from omnimouse_cli.report.facts import check_subsets, state_facts
from omnimouse_cli.report.forms import JOINT
from omnimouse_cli.report.frontier import Frontier, compute_frontier
from omnimouse_cli.report.law import NAMES, NUM_RESAMPLES, JointLaw, fit_joint_law
from omnimouse_cli.report.table import (
    Array,
    RunRow,
    RunTable,
    compute_seed_noise,
    get_column,
    get_log_sizes,
    list_names,
)
from omnimouse_cli.report.tasks import TaskLaw, fit_tasks
from omnimouse_cli.report.verdict import Proposal, Verdict, judge, propose_runs
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize

# Up to about four epochs, repeated data is nearly as good as fresh data.
FRESH_EPOCHS = 4.0
# Below this number of epochs, some of the counted data was not seen.
MIN_EPOCHS = 0.9
MIN_AGREEING = 0.1
MAX_BOUND_SHARE = 0.05
# Above this spread of compute per parameter and token, their median is a poor summary.
MAX_SPREAD = 1.5
ROW_FIELDS = (
    "run",
    "source",
    "parameters",
    "parameters_core",
    "parameters_tables",
    "tokens",
    "neuron_hours",
    "tokens_seen",
    "epochs",
    "steps",
    "learning_rate",
    "compute",
    "loss",
    "metric",
    "seed",
    "subset",
    "split",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingReport:
    """The content of a scaling report.

    Args:
        table: The runs.
        law: The joint law; None when the runs do not determine one.
        fitted: Loss by the law, `(rows,)`; None without a law.
        alternatives: Other forms of the law.
        winner: Name of the form that is clearly the best, if one is.
        verdict: What limits the largest run.
        proposals: Runs that would decide.
        frontier: Compute-optimal sizes; None without a law.
        noise: Standard deviation of ln loss between seeds.
        tasks: The joint law of each task.
        facts: What the numbers rest on.
        warnings: Limits of the data and of the fit.
        num_resamples: Number of bootstrap resamples.
        seed: Seed of starts and resamples.
    """

    table: RunTable
    law: JointLaw | None
    fitted: Array | None
    alternatives: tuple[Alternative, ...]
    winner: str | None
    verdict: Verdict
    proposals: tuple[Proposal, ...]
    frontier: Frontier | None
    noise: float | None
    tasks: tuple[TaskLaw, ...]
    facts: tuple[str, ...]
    warnings: tuple[str, ...]
    num_resamples: int
    seed: int

    def list_fitted(self) -> list[float | None]:
        """Return the loss by the law of each row; None without a law."""
        if self.fitted is None:
            return [None] * len(self.table.rows)
        return [float(value) for value in self.fitted]


def analyze(
    table: RunTable, *, num_resamples: int = NUM_RESAMPLES, seed: int = 0, reporter: Reporter
) -> ScalingReport:
    """Fit the joint law, compare it with other forms, and judge what limits the largest run.

    Args:
        table: The runs.
        num_resamples: Number of bootstrap resamples of whole runs.
        seed: Seed of starts and resamples.
        reporter: Receives progress.
    """
    rows = table.rows
    law, refusals = fit_joint_law(rows, num_resamples=num_resamples, seed=seed, reporter=reporter)
    is_mixed = any(
        len(list_names(getattr(row, name) for row in rows)) > 1 for name in ("metric", "split")
    )
    alternatives = () if is_mixed else compare_forms(rows, seed=seed)
    verdict = judge(rows, law, refusals, alternatives)
    frontier = compute_frontier(rows, law.fit.values) if law else None
    warnings = list(table.notes)
    if table.excluded:
        warnings.append(
            f"{pluralize(len(table.excluded), 'row')} excluded; the table of rows has the reasons"
        )
    warnings += _check_epochs(rows) + check_subsets(rows)
    if law is not None:
        warnings += _check_law(law, num_resamples)
    if frontier is not None:
        warnings += _check_frontier(frontier)
        warnings += [
            f"the loss changes regime along {found.axis} near {found.at:.3g} (AICc better by "
            f"{found.delta_aicc:.1f}): the exponents of the joint law mix both regimes"
            for found in find_supported_breaks(alternatives)
        ]
    return ScalingReport(
        table=table,
        law=law,
        fitted=np.exp(law.fit.predict(get_log_sizes(rows))) if law else None,
        alternatives=alternatives,
        winner=find_winner(alternatives),
        verdict=verdict,
        proposals=propose_runs(rows, verdict),
        frontier=frontier,
        noise=compute_seed_noise(rows),
        tasks=fit_tasks(rows, num_resamples=num_resamples, seed=seed, reporter=reporter),
        facts=tuple(state_facts(rows, law)),
        warnings=tuple(warnings),
        num_resamples=num_resamples,
        seed=seed,
    )


def _check_epochs(rows: Sequence[RunRow]) -> list[str]:
    """Warn of data that was not seen, or was seen often."""
    epochs = get_column(rows, "epochs")
    epochs = epochs[np.isfinite(epochs)]
    if not len(epochs):
        return []
    low, high = float(epochs.min()), float(epochs.max())
    warnings = []
    if low < MIN_EPOCHS:
        warnings.append(
            f"{pluralize(int((epochs < MIN_EPOCHS).sum()), 'run')} ended before all of the data "
            f"were seen (down to {low:.2g} epochs): unique tokens count more than was used"
        )
    if high > FRESH_EPOCHS:
        warnings.append(
            f"runs saw their data for up to {high:.3g} epochs; beyond about {FRESH_EPOCHS:g} "
            "epochs repeated data are worth clearly less than fresh data"
        )
    if high > 2 * low:
        warnings.append(
            f"the number of epochs differs between runs ({low:.2g} to {high:.3g}): part of the "
            "difference in loss may come from the length of training"
        )
    return warnings


def _check_law(law: JointLaw, num_resamples: int) -> list[str]:
    """Warn of few resamples, of a fragile optimum, and of variants outside the intervals."""
    warnings = []
    if num_resamples < NUM_RESAMPLES:
        warnings.append(
            f"the intervals rest on {num_resamples} resamples; {NUM_RESAMPLES} are the least "
            "for a result to be quoted"
        )
    if law.fit.agreeing < MIN_AGREEING:
        warnings.append(f"only {law.fit.agreeing:.1%} of the starts reached the best fit")
    if law.bound_share > MAX_BOUND_SHARE:
        warnings.append(
            f"{law.bound_share:.0%} of the resamples ended at a bound: the intervals are too narrow"
        )
    return warnings + [
        f"{variant.name}: {name} is {variant.values[name]:.3g}, outside its interval "
        f"{law.estimates[name].low:.3g} to {law.estimates[name].high:.3g}"
        for variant in law.variants
        for name in ("alpha", "beta")
        if not law.estimates[name].low <= variant.values[name] <= law.estimates[name].high
    ]


def _check_frontier(frontier: Frontier) -> list[str]:
    """Warn of compute that was not measured or is not proportional to N D."""
    if not frontier.measured:
        return [
            "compute was not measured in every run: parameters x tokens replace it, and the "
            "frontier is in those units"
        ]
    if frontier.spread > MAX_SPREAD:
        return [
            f"compute per parameter and token differs {frontier.spread:.2g}-fold between runs: "
            "the frontier assumes the median"
        ]
    return []


def build_document(report: ScalingReport) -> dict[str, Any]:
    """Return the fields of report.json."""
    verdict = report.verdict
    return {
        "title": report.table.title,
        "parameters_counted": report.table.parameters_counted,
        "rows": _build_rows(report),
        "law": None if report.law is None else _build_law(report.law),
        "alternatives": [
            {
                "form": one.form.name,
                "formula": one.form.formula,
                "fitted_numbers": one.form.num_fitted,
                "aicc": one.aicc,
                "bic": one.bic,
                "heldout_error": one.heldout_error,
                "goodness": None if one.goodness is None else asdict(one.goodness),
                # A handful of rows determines neither exponents nor asymptotes.
                "values": one.fit.values
                if one.fit is not None and one.fits and len(report.table.rows) >= JOINT.min_rows
                else None,
                "breaks": [asdict(found) for found in one.breaks],
                "reason": one.explain(),
            }
            for one in report.alternatives
        ],
        "winner": report.winner,
        "breaks": [asdict(found) for found in find_supported_breaks(report.alternatives)],
        "verdict": verdict.limit,
        "reasons": list(verdict.reasons),
        "checks": [asdict(check) for check in verdict.checks],
        "gain_ratio": verdict.gain_ratio,
        "agreement": verdict.agreement,
        "runs_that_would_decide": [asdict(proposal) for proposal in report.proposals],
        "frontier": None if report.frontier is None else _build_frontier(report.frontier),
        "seed_noise": report.noise,
        "tasks": [
            {
                "task": one.task,
                "law": None if one.law is None else _build_law(one.law),
                "reasons": list(one.reasons),
            }
            for one in report.tasks
        ],
        "facts": list(report.facts),
        "warnings": list(report.warnings),
        "resamples": report.num_resamples,
        "seed": report.seed,
    }


def _build_rows(report: ScalingReport) -> list[dict[str, Any]]:
    used = [
        {
            **{name: getattr(row, name) for name in ROW_FIELDS},
            "fitted": value,
            "used": True,
            "reason": None,
        }
        for row, value in zip(report.table.rows, report.list_fitted(), strict=True)
    ]
    excluded = [
        {
            **dict.fromkeys(ROW_FIELDS),
            "run": one.run,
            "source": one.source,
            "fitted": None,
            "used": False,
            "reason": one.reason,
        }
        for one in report.table.excluded
    ]
    return used + excluded


def _build_law(law: JointLaw) -> dict[str, Any]:
    return {
        "form": JOINT.name,
        "formula": JOINT.formula,
        **{name: asdict(law.estimates[name]) for name in NAMES},
        "huber_delta": law.fit.problem.delta,
        "objective": law.fit.objective,
        "starts_agreeing": law.fit.agreeing,
        "resamples": len(law.samples["alpha"]),
        "resamples_at_bound": law.bound_share,
        "goodness": asdict(law.goodness),
        "subset_effect": None if law.effects is None else asdict(law.effects.estimate()),
        "subsets": None if law.effects is None else len(law.effects.group_means),
        "sensitivity": [
            {"fit": one.name, "rows": one.rows, **{name: one.values[name] for name in NAMES}}
            for one in law.variants
        ],
    }


def _build_frontier(frontier: Frontier) -> dict[str, Any]:
    return {
        "compute_measured": frontier.measured,
        "operations_per_parameter_and_token": frontier.operations if frontier.measured else None,
        "compute": frontier.compute,
        "parameters": frontier.parameters,
        "tokens": frontier.tokens,
        "isoflop_a_opt": frontier.isoflop_exponent,
        "isoflop_levels": frontier.isoflop_levels,
        "isoflop_r2": frontier.isoflop_r2,
    }
