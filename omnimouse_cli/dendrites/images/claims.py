"""Verdicts on the paper's claims, by a rule that was fixed before the numbers were known."""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from omnimouse_cli.dendrites.images.architecture import (
    DENDRITIC,
    LEARNED_SCALAR,
    RELU,
    NetworkKind,
)
from omnimouse_cli.dendrites.images.scores import (
    CandidateScores,
    ScoreTable,
    compute_corruption_ratio,
)
from omnimouse_cli.dendrites.soft_xor import SoftXorCount, Verdict, judge_interval
from omnimouse_cli.metrics.intervals import Interval, mean_interval
from omnimouse_cli.text import format_percent

RULE = (
    "confirmed when the whole 95 % interval over paired seeds lies on the claimed side, refuted "
    "when it lies on the other, else undetermined"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim about one kind of network, and its verdict.

    Args:
        network: Kind of network.
        claim: The claim in words.
        verdict: Verdict by `RULE`.
        evidence: The numbers in words.
        numbers: The numbers by name.
    """

    network: NetworkKind
    claim: str
    verdict: Verdict
    evidence: str
    numbers: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """Claim, verdict and evidence in one line."""
        return f"{self.network}: {self.claim}: {self.verdict} ({self.evidence})"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {
            "network": self.network,
            "claim": self.claim,
            "verdict": self.verdict,
            "numbers": dict(self.numbers),
            "told": self.evidence,
        }


def judge_claims(scores: ScoreTable, soft_xors: Mapping[NetworkKind, SoftXorCount]) -> list[Claim]:
    """Judge every claim for which there are numbers.

    Args:
        scores: Scores of a comparison.
        soft_xors: Counts of soft XORs by kind of network.
    """
    claims: list[Claim | None] = []
    for network, by_name in scores.items():
        ours = by_name.get(DENDRITIC)
        if ours is None:
            continue
        control, scalar = by_name.get(RELU), by_name.get(LEARNED_SCALAR)
        if control is not None:
            claims += [
                _judge_accuracy(ours, control, "ReLU at matched parameters"),
                _judge_speed(ours, control),
            ]
        if scalar is not None:
            claims += [_judge_accuracy(ours, scalar, "one learned argument")]
        if control is not None:
            claims += [
                _judge_corruptions(ours, control),
                _judge_attacks(ours, control),
            ]
        if network in soft_xors:
            claims += [_judge_soft_xor(network, soft_xors[network])]
    return [claim for claim in claims if claim is not None]


def _judge_accuracy(ours: CandidateScores, other: CandidateScores, name: str) -> Claim:
    difference = mean_interval(ours.accuracy - other.accuracy)
    return Claim(
        network=ours.network,
        claim=f"two-argument units are more accurate than {name}",
        verdict=judge_interval(difference),
        evidence=f"{100 * ours.accuracy.mean():.2f} % against {100 * other.accuracy.mean():.2f} %, "
        f"{_format_points(difference)}, {len(ours.accuracy)} seeds",
        numbers={
            "dendritic": float(ours.accuracy.mean()),
            "other": float(other.accuracy.mean()),
            "difference": difference.to_dict(),
            "seeds": len(ours.accuracy),
        },
    )


def _judge_speed(ours: CandidateScores, control: CandidateScores) -> Claim:
    fewer = mean_interval(control.epochs - ours.epochs)
    return Claim(
        network=ours.network,
        claim="two-argument units learn in fewer epochs than ReLU",
        verdict=judge_interval(fewer),
        evidence=f"{ours.epochs.mean():.1f} against {control.epochs.mean():.1f} epochs to "
        f"{format_percent(ours.threshold)}, {fewer.value:+.1f} "
        f"[{fewer.low:+.1f}, {fewer.high:+.1f}] fewer",
        numbers={
            "dendritic": float(ours.epochs.mean()),
            "other": float(control.epochs.mean()),
            "fewer": fewer.to_dict(),
            "threshold": ours.threshold,
        },
    )


def _judge_corruptions(ours: CandidateScores, control: CandidateScores) -> Claim | None:
    mce = compute_corruption_ratio(ours, control, relative=False)
    relative_mce = compute_corruption_ratio(ours, control, relative=True)
    if mce is None or relative_mce is None:
        return None
    return Claim(
        network=ours.network,
        claim="two-argument units are more robust to corruptions than ReLU",
        verdict=judge_interval(mce, border=100.0, above=False),
        evidence=f"mCE {_format_percent(mce)}, relative mCE {_format_percent(relative_mce)}",
        numbers={"mce": mce.to_dict(), "relative_mce": relative_mce.to_dict()},
    )


def _judge_attacks(ours: CandidateScores, control: CandidateScores) -> Claim | None:
    first, second = ours.attacked_accuracy, control.attacked_accuracy
    if first is None or second is None or ours.robustness is None or control.robustness is None:
        return None
    difference = mean_interval(first - second)
    failures = [
        f"{name}: {failure}"
        for name, robustness in ((DENDRITIC, ours.robustness), (RELU, control.robustness))
        for failure in find_masking(robustness["attacks"])
    ]
    epsilon = ours.robustness["attacks"]["epsilon"]
    checks = "; ".join(failures) or "attacks pass the masking checks"
    return Claim(
        network=ours.network,
        claim="two-argument units are more robust to attacks than ReLU",
        verdict="undetermined" if failures else judge_interval(difference),
        evidence=f"{format_percent(first.mean())} against {format_percent(second.mean())} at "
        f"{epsilon:.3g}, {_format_points(difference)}; {checks}",
        numbers={
            "dendritic": float(first.mean()),
            "other": float(second.mean()),
            "difference": difference.to_dict(),
            "epsilon": epsilon,
            "masking": failures,
        },
    )


def find_masking(attacks: Mapping[str, Any]) -> list[str]:
    """Return signs of gradient masking, in words; an empty list where there are none.

    The loss must rise with the budget, an unbounded attack must leave no image right, and the
    gradient-free attack must not be the stronger one.

    Args:
        attacks: The field `attacks` of a robustness document.
    """
    losses = [float(np.mean(one["loss"])) for one in attacks["gradient"]]
    failures = []
    if any(later <= earlier for earlier, later in itertools.pairwise(losses)):
        failures.append("the loss does not rise with the budget")
    left = float(np.mean(attacks["gradient"][-1]["accuracy"]))
    if left > 0:
        failures.append(f"an unbounded attack leaves {format_percent(left)} right")
    if attacks["square"] is not None:
        at_budget = next(one for one in attacks["gradient"] if one["epsilon"] == attacks["epsilon"])
        if np.mean(attacks["square"]) < np.mean(at_budget["accuracy"]):
            failures.append("the attack without gradients is the stronger one")
    return failures


def _judge_soft_xor(network: NetworkKind, count: SoftXorCount) -> Claim:
    return Claim(
        network=network,
        claim="most networks learn a soft XOR",
        verdict=count.verdict or "undetermined",
        evidence=count.sentence,
        numbers=asdict(count),
    )


def _format_points(difference: Interval) -> str:
    value, low, high = (100 * one for one in (difference.value, difference.low, difference.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}] points"


def _format_percent(ratio: Interval) -> str:
    return f"{ratio.value:.1f} % [{ratio.low:.1f}, {ratio.high:.1f}]"
