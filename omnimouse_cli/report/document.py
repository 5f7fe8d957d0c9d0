"""The report as one JSON document, with the names that scripts rely on."""

from typing import Any

from omnimouse_cli.report.alternatives import Alternative, Break, supported_breaks
from omnimouse_cli.report.analysis import ScalingReport
from omnimouse_cli.report.forms import JOINT
from omnimouse_cli.report.law import NAMES
from omnimouse_cli.report.table import Row

ROW_FIELDS = (
    "run",
    "source",
    "parameters",
    "parameters_core",
    "parameters_tables",
    "tokens",
    "tokens_seen",
    "epochs",
    "compute",
    "loss",
    "metric",
    "seed",
    "split",
)


def content(report: ScalingReport) -> dict[str, Any]:
    """Give the fields of report.json.

    Args:
        report: The report.
    """
    verdict = report.verdict
    return {
        "title": report.table.title,
        "parameters_counted": report.table.counted,
        "rows": _rows(report),
        "law": _law(report),
        "alternatives": [_alternative(one, report) for one in report.alternatives],
        "winner": report.winner,
        "breaks": [_break(one) for one in supported_breaks(report.alternatives)],
        "verdict": verdict.word,
        "reasons": list(verdict.reasons),
        "checks": [
            {"name": check.name, "passed": check.passed, "sentence": check.sentence}
            for check in verdict.checks
        ],
        "gain_ratio": verdict.gain_ratio,
        "agreement": verdict.agreement,
        "runs_that_would_decide": [
            {
                "parameters": list(one.parameters),
                "tokens": list(one.tokens),
                "seeds": one.seeds,
                "why": one.why,
            }
            for one in report.proposals
        ],
        "frontier": _frontier(report),
        "seed_noise": report.noise,
        "warnings": list(report.warnings),
        "resamples": report.num_resamples,
        "seed": report.seed,
    }


def _rows(report: ScalingReport) -> list[dict[str, Any]]:
    used = []
    for number, row in enumerate(report.table.rows):
        fitted = None if report.fitted is None else float(report.fitted[number])
        used.append({**row_fields(row), "fitted": fitted, "used": True, "reason": None})
    left_out = [
        {
            **dict.fromkeys(ROW_FIELDS),
            "run": one.run,
            "source": one.source,
            "fitted": None,
            "used": False,
            "reason": one.reason,
        }
        for one in report.table.left_out
    ]
    return used + left_out


def row_fields(row: Row) -> dict[str, Any]:
    """Give the fields of one used row."""
    return {name: getattr(row, name) for name in ROW_FIELDS}


def _law(report: ScalingReport) -> dict[str, Any] | None:
    law = report.law
    if law is None:
        return None
    numbers = {
        name: {"value": one.value, "low": one.low, "high": one.high}
        for name, one in law.estimates.items()
    }
    return {
        "form": JOINT.name,
        "formula": JOINT.formula,
        **{name: numbers[name] for name in NAMES},
        "huber_delta": law.fit.problem.delta,
        "objective": law.fit.objective,
        "starts_agreeing": law.fit.agreeing,
        "resamples_at_bound": law.bound_share,
        "sensitivity": [
            {"fit": one.name, "rows": one.rows, **{name: one.values[name] for name in NAMES}}
            for one in law.variants
        ],
    }


def _alternative(one: Alternative, report: ScalingReport) -> dict[str, Any]:
    # From a handful of rows neither exponents nor asymptotes can be read, whatever was fitted.
    enough = len(report.table.rows) >= JOINT.min_rows
    return {
        "form": one.form.name,
        "formula": one.form.formula,
        "fitted_numbers": one.form.num_fitted,
        "aicc": one.aicc,
        "bic": one.bic,
        "heldout_error": one.heldout_error,
        "values": one.fit.values if one.fit is not None and enough else None,
        "breaks": [_break(found) for found in one.breaks],
        "reason": one.reason,
    }


def _break(one: Break) -> dict[str, Any]:
    return {
        "axis": one.axis,
        "at": one.at,
        "low": one.low,
        "high": one.high,
        "delta_aicc": one.delta_aicc,
    }


def _frontier(report: ScalingReport) -> dict[str, Any] | None:
    frontier = report.frontier
    if frontier is None:
        return None
    return {
        "compute_measured": frontier.measured,
        "operations_per_parameter_and_token": frontier.operations if frontier.measured else None,
        "compute": frontier.compute,
        "parameters": frontier.parameters,
        "tokens": frontier.tokens,
        "isoflop_a_opt": frontier.isoflop_exponent,
        "isoflop_levels": frontier.isoflop_levels,
    }
