"""The verdict on the largest run: limited by data, by parameters or undetermined; runs to add."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnimouse_cli.report.alternatives import Alternative
from omnimouse_cli.report.breaks import CLEAR
from omnimouse_cli.report.forms import JOINT, POWER, SATURATING
from omnimouse_cli.report.law import JointLaw, find_refusals
from omnimouse_cli.report.table import (
    SAME_LEVEL,
    Array,
    RunRow,
    compute_seed_noise,
    find_largest_run,
    find_levels,
    get_column,
)
from omnimouse_cli.text import pluralize

Limit = Literal["data-limited", "parameter-limited", "undetermined"]

MIN_AGREEMENT = 0.95
MIN_RATIO = 2.0
MIN_LEVELS = 4
MIN_RANGE = 16.0
# Held-out error, in standard deviations of seed noise.
MAX_HELD_OUT = 3.0
NUM_PROPOSED_SEEDS = 3
PROPOSED_FACTOR = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of the verdict, whether it is met, and the numbers in a sentence."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict and its reasons.

    Args:
        limit: What limits the largest run.
        reasons: Sentences: the rules that are missed, or all rules when all are met.
        checks: Every rule; empty without a law.
        gain_ratio: Gain by data over gain by parameters at the largest run; None without a law.
        gain_ratios: The same in every resample, `(resamples,)`; None without a law.
        agreement: Fraction of resamples on the same side as `gain_ratio`.
    """

    limit: Limit
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    gain_ratio: float | None = None
    gain_ratios: Array | None = None
    agreement: float | None = None


def judge(
    rows: Sequence[RunRow],
    law: JointLaw | None,
    refusals: Sequence[str],
    alternatives: Sequence[Alternative],
) -> Verdict:
    """Return what limits the largest run; undetermined unless every rule is met.

    Args:
        rows: The runs.
        law: Joint law of the runs; None if none was fitted.
        refusals: Reasons why no joint law was fitted.
        alternatives: Other forms of the law.
    """
    if law is None:
        return Verdict(limit="undetermined", reasons=tuple(refusals))
    ratio, ratios = _compute_gain_ratios(law, find_largest_run(rows))
    is_data = ratio >= 1
    agreement = float(np.mean((ratios >= 1) == is_data))
    checks = (
        _check_agreement(agreement, is_data=is_data),
        _check_ratio(ratio),
        *(_check_levels(rows, name) for name in ("parameters", "tokens")),
        _check_alternatives(alternatives),
        _check_heldout_error(rows, alternatives, law),
    )
    is_met = all(check.passed for check in checks)
    limit: Limit = "undetermined"
    if is_met:
        limit = "data-limited" if is_data else "parameter-limited"
    return Verdict(
        limit=limit,
        reasons=tuple(check.sentence for check in checks if check.passed is is_met),
        checks=checks,
        gain_ratio=ratio,
        gain_ratios=ratios,
        agreement=agreement,
    )


def compute_gains(values: dict[str, float], row: RunRow) -> tuple[float, float]:
    """Return the decrease of loss per e-fold of parameters and per e-fold of tokens at a run."""
    by_parameters = values["alpha"] * values["A"] * row.parameters ** -values["alpha"]
    by_tokens = values["beta"] * values["B"] * row.tokens ** -values["beta"]
    return by_parameters, by_tokens


def _compute_gain_ratios(law: JointLaw, row: RunRow) -> tuple[float, Array]:
    """Return the gain by data over the gain by parameters, of the fit and of every resample."""
    by_parameters, by_tokens = compute_gains(law.fit.values, row)
    samples = law.samples
    log_parameters = np.log(samples["A"] * samples["alpha"] + 1e-300)
    log_parameters -= samples["alpha"] * np.log(row.parameters)
    log_tokens = np.log(samples["B"] * samples["beta"] + 1e-300)
    log_tokens -= samples["beta"] * np.log(row.tokens)
    return by_tokens / by_parameters, np.exp(np.clip(log_tokens - log_parameters, -50, 50))


def _check_agreement(agreement: float, *, is_data: bool) -> Check:
    passed = agreement >= MIN_AGREEMENT
    sentence = (
        f"in {agreement:.0%} of the resamples more {'data' if is_data else 'parameters'} would "
        "gain more at the largest run"
    )
    return Check(
        name="agreement",
        passed=passed,
        sentence=sentence + ("" if passed else f"; {MIN_AGREEMENT:.0%} are needed"),
    )


def _check_ratio(ratio: float) -> Check:
    factor = max(ratio, 1 / ratio)
    more, less = ("data", "parameters") if ratio >= 1 else ("parameters", "data")
    passed = factor >= MIN_RATIO
    return Check(
        name="ratio",
        passed=passed,
        sentence=f"at the largest run {more} would gain {factor:.2g} times as much as {less}"
        + ("" if passed else "; twice is needed"),
    )


def _check_levels(rows: Sequence[RunRow], name: str) -> Check:
    levels = find_levels(get_column(rows, name))
    span = levels[-1] / levels[0]
    passed = not list_missing_levels(levels)
    return Check(
        name=f"levels of {name}",
        passed=passed,
        sentence=f"{name} have {pluralize(len(levels), 'level')} over a {span:.3g}-fold range"
        + ("" if passed else f"; {MIN_LEVELS} over {MIN_RANGE:g}-fold are needed"),
    )


def _check_alternatives(alternatives: Sequence[Alternative]) -> Check:
    """Compare the joint law with every law of one variable, by AICc and by extrapolation."""
    by_form = {one.form: one for one in alternatives}
    joint = by_form.get(JOINT, Alternative(form=JOINT))
    others = [by_form[form] for form in (*POWER.values(), *SATURATING.values()) if form in by_form]
    criteria = [one.aicc for one in others if one.aicc is not None]
    errors = [one.heldout_error for one in others if one.heldout_error is not None]
    if joint.aicc is None or not criteria or joint.heldout_error is None or not errors:
        return Check(
            name="rivals",
            passed=False,
            sentence="the joint law cannot be compared with the laws of one variable on held-out "
            "runs",
        )
    lead = min(criteria) - joint.aicc
    return Check(
        name="rivals",
        passed=lead > CLEAR and joint.heldout_error < min(errors),
        sentence="between the best law of one variable and the joint law the AICc difference is "
        f"{lead:.1f} (more than {CLEAR:g} is needed), and the joint law's error on held-out runs "
        f"is {joint.heldout_error:.2%} against {min(errors):.2%}",
    )


def _check_heldout_error(
    rows: Sequence[RunRow], alternatives: Sequence[Alternative], law: JointLaw
) -> Check:
    noise, source = compute_seed_noise(rows), "seed noise"
    if noise is not None and law.effects is not None:
        noise = math.hypot(noise, law.effects.estimate().value)
        source = "the noise of seeds and subsets of data"
    error = next((one.heldout_error for one in alternatives if one.form == JOINT), None)
    passed = False
    if noise is None:
        sentence = "the noise between seeds is unknown: too few runs were repeated with other seeds"
    elif error is None:
        sentence = "too few runs are left to fit when the most expensive quarter is held out"
    else:
        passed = error < MAX_HELD_OUT * noise
        sentence = (
            f"the joint law's error on held-out runs is {error:.2%}, {error / noise:.2g} standard "
            f"deviations of {source} ({noise:.2%})"
        ) + ("" if passed else f"; fewer than {MAX_HELD_OUT:g} are needed")
    return Check(name="seed noise", passed=passed, sentence=sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Runs to add.

    Args:
        parameters: Sizes of models.
        tokens: Unique tokens; every size is trained on each.
        seeds: Seeds of each.
        why: What the runs would show.
    """

    parameters: tuple[float, ...]
    tokens: tuple[float, ...]
    seeds: int
    why: str


def propose_runs(rows: Sequence[RunRow], verdict: Verdict) -> tuple[Proposal, ...]:
    """Return the runs that would turn an undetermined verdict into another; else none."""
    if verdict.limit != "undetermined":
        return ()
    sizes, amounts = (find_levels(get_column(rows, name)) for name in ("parameters", "tokens"))
    new_sizes, new_amounts = list_missing_levels(sizes), list_missing_levels(amounts)
    largest = find_largest_run(rows)
    proposals = []
    if new_sizes:
        proposals.append(
            Proposal(
                parameters=new_sizes,
                tokens=_thin_levels([*amounts, *new_amounts]),
                seeds=1,
                why=f"{MIN_LEVELS} sizes over a {MIN_RANGE:g}-fold range",
            )
        )
    if new_amounts:
        proposals.append(
            Proposal(
                parameters=_thin_levels(sizes),
                tokens=new_amounts,
                seeds=1,
                why=f"{MIN_LEVELS} amounts of data over a {MIN_RANGE:g}-fold range",
            )
        )
    at_largest = [(largest.parameters, largest.tokens, "the noise between seeds")]
    if compute_seed_noise(rows) is not None:
        at_largest = []
    if not (proposals or at_largest) or not (new_sizes or new_amounts or find_refusals(rows)):
        at_largest += [
            (
                largest.parameters,
                _next_level(largest.tokens),
                "what four times the data gain at the largest run",
            ),
            (
                _next_level(largest.parameters),
                largest.tokens,
                "what four times the parameters gain at the largest run",
            ),
        ]
    return (
        *proposals,
        *(
            Proposal(parameters=(size,), tokens=(tokens,), seeds=NUM_PROPOSED_SEEDS, why=why)
            for size, tokens, why in at_largest
        ),
    )


def list_missing_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return the levels to add upwards, four-fold each, until number and range suffice.

    Example:
        >>> list_missing_levels([1.0, 2.0, 4.0])
        (16.0,)
    """
    known, added = list(levels), []
    # Sessions differ a little in length: values so close together are one level.
    while len(known) < MIN_LEVELS or known[-1] / known[0] < MIN_RANGE / SAME_LEVEL:
        known.append(_next_level(known[-1]))
        added.append(known[-1])
    return tuple(added)


def _thin_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return at most four of the levels, both ends among them."""
    if len(levels) <= MIN_LEVELS:
        return tuple(levels)
    step = (len(levels) - 1) / (MIN_LEVELS - 1)
    return tuple(levels[round(number * step)] for number in range(MIN_LEVELS))


def _next_level(value: float) -> float:
    return float(f"{value * PROPOSED_FACTOR:.3g}")
