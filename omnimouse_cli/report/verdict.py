"""What the law says about the largest run: more data, more parameters, or nothing certain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from omnimouse_cli.report.alternatives import CLEAR, Alternative
from omnimouse_cli.report.forms import JOINT, POWER, SATURATING
from omnimouse_cli.report.law import Law
from omnimouse_cli.report.table import Array, Row, column, compute_of, levels, seed_noise

Word = Literal["data-limited", "parameter-limited", "undetermined"]

MIN_AGREEMENT = 0.95
MIN_RATIO = 2.0
MIN_LEVELS = 4
MIN_RANGE = 16.0
MAX_HELD_OUT = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of the verdict, whether it is met, and the sentence that says so."""

    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The verdict and what it rests on.

    Args:
        word: The verdict.
        reasons: Sentences: what was missed, or what it rests on.
        checks: Every rule; empty when there is no law.
        gain_ratio: Gain of data over gain of parameters at the largest run; None without a law.
        gain_ratios: The same of every resample; None without a law.
        agreement: Share of resamples on the side of `gain_ratio`.
    """

    word: Word
    reasons: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    gain_ratio: float | None = None
    gain_ratios: Array | None = None
    agreement: float | None = None


def largest(rows: Sequence[Row]) -> Row:
    """Give the run with the most compute; with equal compute the one with more parameters."""
    compute, _ = compute_of(rows)
    return max(zip(compute, rows, strict=True), key=lambda pair: (pair[0], pair[1].parameters))[1]


def gains(values: dict[str, float], row: Row) -> tuple[float, float]:
    """Give what a row would gain per e-fold of parameters and of tokens, in loss."""
    by_parameters = values["alpha"] * values["A"] * row.parameters ** -values["alpha"]
    by_tokens = values["beta"] * values["B"] * row.tokens ** -values["beta"]
    return by_parameters, by_tokens


def judge(
    rows: Sequence[Row],
    law: Law | None,
    refused: Sequence[str],
    alternatives: Sequence[Alternative],
) -> Verdict:
    """Apply the rules; a verdict is given only when every one is met.

    Args:
        rows: The runs.
        law: The joint law, if the table carries one.
        refused: Why it does not.
        alternatives: The rivals.
    """
    if law is None:
        return Verdict(word="undetermined", reasons=tuple(refused))
    ratio, ratios = _ratios(law, largest(rows))
    data_side = ratio >= 1
    agreement = float(np.mean((ratios >= 1) == data_side))
    checks = (
        _agreement_check(agreement, data_side=data_side),
        _ratio_check(ratio),
        *(_design_check(rows, name) for name in ("parameters", "tokens")),
        _rival_check(alternatives),
        _held_out_check(rows, alternatives),
    )
    met = all(check.passed for check in checks)
    word: Word = "undetermined"
    if met:
        word = "data-limited" if data_side else "parameter-limited"
    return Verdict(
        word=word,
        reasons=tuple(check.sentence for check in checks if check.passed is met),
        checks=checks,
        gain_ratio=ratio,
        gain_ratios=ratios,
        agreement=agreement,
    )


def _ratios(law: Law, row: Row) -> tuple[float, Array]:
    by_parameters, by_tokens = gains(law.fit.values, row)
    samples = law.samples
    log_parameters = np.log(samples["A"] * samples["alpha"] + 1e-300)
    log_parameters -= samples["alpha"] * np.log(row.parameters)
    log_tokens = np.log(samples["B"] * samples["beta"] + 1e-300)
    log_tokens -= samples["beta"] * np.log(row.tokens)
    return by_tokens / by_parameters, np.exp(np.clip(log_tokens - log_parameters, -50, 50))


def _agreement_check(agreement: float, *, data_side: bool) -> Check:
    side = "data" if data_side else "parameters"
    enough = agreement >= MIN_AGREEMENT
    return Check(
        name="agreement",
        passed=enough,
        sentence=f"{agreement:.0%} of the resamples say that more {side} would gain more at the "
        f"largest run{'' if enough else f'; {MIN_AGREEMENT:.0%} are needed'}",
    )


def _ratio_check(ratio: float) -> Check:
    factor = max(ratio, 1 / ratio)
    side = "data" if ratio >= 1 else "parameters"
    enough = factor >= MIN_RATIO
    return Check(
        name="ratio",
        passed=enough,
        sentence=f"at the largest run {side} would gain {factor:.2g} times as much as "
        f"{'parameters' if ratio >= 1 else 'data'}{'' if enough else '; twice is needed'}",
    )


def _design_check(rows: Sequence[Row], name: str) -> Check:
    found = levels(column(rows, name))
    span = found[-1] / found[0]
    enough = len(found) >= MIN_LEVELS and span >= MIN_RANGE * (1 - 1e-9)
    return Check(
        name=f"levels of {name}",
        passed=enough,
        sentence=f"{name} have {len(found)} level{'s' if len(found) > 1 else ''} over a "
        f"{span:.3g}-fold range"
        + ("" if enough else f"; {MIN_LEVELS} over {MIN_RANGE:g}-fold are needed"),
    )


def _rival_check(alternatives: Sequence[Alternative]) -> Check:
    """Hold the joint law against every law of one variable, on both counts."""
    by_form = {one.form: one for one in alternatives}
    joint = by_form.get(JOINT, Alternative(form=JOINT))
    rivals = [by_form[form] for form in (*POWER.values(), *SATURATING.values()) if form in by_form]
    criteria = [one.aicc for one in rivals if one.aicc is not None]
    errors = [one.heldout_error for one in rivals if one.heldout_error is not None]
    if joint.aicc is None or not criteria or joint.heldout_error is None or not errors:
        return Check(
            name="rivals",
            passed=False,
            sentence="the joint law cannot be compared with the laws of one variable on runs that "
            "it was not fitted to",
        )
    ahead = min(criteria) - joint.aicc
    better = ahead > CLEAR and joint.heldout_error < min(errors)
    return Check(
        name="rivals",
        passed=better,
        sentence=f"against the best law of one variable the joint law's AICc is lower by "
        f"{ahead:.1f} (more than {CLEAR:g} is needed), and it misses the held-out runs by "
        f"{joint.heldout_error:.2%} against {min(errors):.2%}",
    )


def _held_out_check(rows: Sequence[Row], alternatives: Sequence[Alternative]) -> Check:
    noise = seed_noise(rows)
    error = next((one.heldout_error for one in alternatives if one.form == JOINT), None)
    if noise is None:
        return Check(
            name="seed noise",
            passed=False,
            sentence="the noise between seeds is not known: no run was repeated with other seeds "
            "often enough",
        )
    if error is None:
        return Check(
            name="seed noise",
            passed=False,
            sentence="too few runs are left to fit when the most expensive quarter is held out",
        )
    enough = error < MAX_HELD_OUT * noise
    return Check(
        name="seed noise",
        passed=enough,
        sentence=f"the joint law misses held-out runs by {error:.2%}, "
        f"{error / noise:.2g} standard deviations of seed noise ({noise:.2%})"
        + ("" if enough else f"; fewer than {MAX_HELD_OUT:g} are needed"),
    )
