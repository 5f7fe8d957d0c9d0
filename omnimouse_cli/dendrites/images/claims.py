"""Verdicts on the paper's claims, by a rule that was fixed before the numbers were known."""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from omnimouse_cli.dendrites.images.architecture import (
    DENDRITIC,
    LEARNED_SCALAR,
    MAXOUT,
    POLYGLU,
    RELU,
    RELU_UNNORMALIZED,
    SINGLU,
    SWIGLU,
    XIELU,
    NetworkKind,
)
from omnimouse_cli.dendrites.images.controls import (
    PairedTest,
    compare_with_controls,
    correct_tests,
)
from omnimouse_cli.dendrites.images.scores import (
    F64,
    CandidateScores,
    ScoreTable,
    compute_corruption_ratio,
)
from omnimouse_cli.dendrites.soft_xor import SoftXorCount, Verdict
from omnimouse_cli.metrics.intervals import Interval, mean_interval
from omnimouse_cli.text import format_percent

SIGNIFICANT = 0.05
RULE = (
    "confirmed when the mean difference over paired seeds is on the claimed side and its two-sided "
    f"p value (Student's t) is below {SIGNIFICANT:g} after Holm's correction for the number of "
    "controls, refuted when it is on the other side with such a p value, else undetermined"
)
# Activations by the names that claims have for them.
NAMES = {
    LEARNED_SCALAR: "one learned argument",
    RELU: "ReLU",
    RELU_UNNORMALIZED: "ReLU without normalization",
    SWIGLU: "SwiGLU",
    MAXOUT: "maxout",
    SINGLU: "SinGLU",
    POLYGLU: "PolyGLU",
    XIELU: "xIELU",
}
# Controls whose robustness is compared: those of the paper.
ROBUSTNESS_CONTROLS = (LEARNED_SCALAR, RELU)


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
    """Judge every claim for which there are numbers, against each control by name.

    Args:
        scores: Scores of a comparison.
        soft_xors: Counts of soft XORs by kind of network.
    """
    claims: list[Claim] = []
    for network, by_name in scores.items():
        ours, tests = by_name.get(DENDRITIC), compare_with_controls(by_name)
        if ours is None:
            continue
        for measure, judge in (
            ("accuracy", _judge_accuracy),
            ("epochs", _judge_last_session),
            ("epochs_of_all_sessions", _judge_all_sessions),
        ):
            claims += [judge(ours, by_name[name], test) for name, test in tests[measure].items()]
        claims += _judge_corruptions(ours, by_name)
        claims += _judge_attacks(ours, by_name)
        if network in soft_xors:
            claims += [_judge_soft_xor(network, soft_xors[network])]
    return claims


def judge_test(test: PairedTest, *, border: float = 0.0, above: bool = True) -> Verdict:
    """Return the verdict on the claim that a difference lies above (or below) a border."""
    if test.p_holm >= SIGNIFICANT:
        return "undetermined"
    return "confirmed" if (test.advantage.value > border) == above else "refuted"


def _judge_accuracy(ours: CandidateScores, other: CandidateScores, test: PairedTest) -> Claim:
    name = other.result.candidate.activation
    return Claim(
        network=ours.network,
        claim=f"two-argument units are more accurate than {NAMES[name]}",
        verdict=judge_test(test),
        evidence=f"{100 * ours.accuracy.mean():.2f} % against {100 * other.accuracy.mean():.2f} %, "
        f"{_format_points(test)}, {len(ours.accuracy)} seeds",
        numbers={
            "control": name,
            "dendritic": float(ours.accuracy.mean()),
            "other": float(other.accuracy.mean()),
            "difference": test.to_dict(),
            "seeds": len(ours.accuracy),
        },
    )


def _judge_last_session(ours: CandidateScores, other: CandidateScores, test: PairedTest) -> Claim:
    return _judge_speed(ours, other, test, (ours.epochs, other.epochs), "the last session alone")


def _judge_all_sessions(ours: CandidateScores, other: CandidateScores, test: PairedTest) -> Claim:
    both = (ours.all_epochs, other.all_epochs)
    return _judge_speed(ours, other, test, both, "all sessions")


def _judge_speed(
    ours: CandidateScores,
    other: CandidateScores,
    test: PairedTest,
    epochs: tuple[F64, F64],
    counted: str,
) -> Claim:
    name, fewer = other.result.candidate.activation, test.advantage
    first, second = (float(one.mean()) for one in epochs)
    return Claim(
        network=ours.network,
        claim=f"two-argument units learn in fewer epochs than {NAMES[name]}, of {counted}",
        verdict=judge_test(test),
        evidence=f"{first:.1f} against {second:.1f} epochs to {format_percent(ours.threshold)}, "
        f"{fewer.value:+.1f} [{fewer.low:+.1f}, {fewer.high:+.1f}] fewer, {format_p(test)}",
        numbers={
            "control": name,
            "dendritic": first,
            "other": second,
            "fewer": test.to_dict(),
            "threshold": ours.threshold,
        },
    )


def _judge_corruptions(
    ours: CandidateScores, by_name: Mapping[str, CandidateScores]
) -> list[Claim]:
    ratios, relative = {}, {}
    for name in ROBUSTNESS_CONTROLS:
        if name not in by_name:
            continue
        mce = compute_corruption_ratio(ours, by_name[name], relative=False)
        relative_mce = compute_corruption_ratio(ours, by_name[name], relative=True)
        if mce is not None and relative_mce is not None:
            ratios[name], relative[name] = mce, relative_mce
    tests = correct_tests(ratios, len(ours.accuracy), border=100.0)
    return [
        Claim(
            network=ours.network,
            claim=f"two-argument units are more robust to corruptions than {NAMES[name]}",
            verdict=judge_test(test, border=100.0, above=False),
            evidence=f"errors {_format_percent(test.advantage)} of its, relative to clean errors "
            f"{_format_percent(relative[name])}, {format_p(test)}",
            numbers={
                "control": name,
                "mce": test.to_dict(),
                "relative_mce": relative[name].to_dict(),
            },
        )
        for name, test in tests.items()
    ]


def _judge_attacks(ours: CandidateScores, by_name: Mapping[str, CandidateScores]) -> list[Claim]:
    names = [name for name in (DENDRITIC, *ROBUSTNESS_CONTROLS) if name in by_name]
    measured = {name: by_name[name].robustness for name in names}
    attacks = {name: one["attacks"] for name, one in measured.items() if one is not None}
    if DENDRITIC not in attacks:
        return []
    first = np.asarray(attacks[DENDRITIC]["accuracy"])
    differences = {
        name: mean_interval(first - np.asarray(one["accuracy"]))
        for name, one in attacks.items()
        if name != DENDRITIC
    }
    return [
        _judge_attack(ours.network, name, {key: attacks[key] for key in (DENDRITIC, name)}, test)
        for name, test in correct_tests(differences, len(first)).items()
    ]


def _judge_attack(
    network: NetworkKind, control: str, attacks: Mapping[str, Mapping[str, Any]], test: PairedTest
) -> Claim:
    failures = [
        f"{name}: {failure}" for name, one in attacks.items() for failure in find_masking(one)
    ]
    first, second = (float(np.mean(one["accuracy"])) for one in attacks.values())
    epsilon = attacks[control]["epsilon"]
    checks = "; ".join(failures) or "attacks pass the masking checks"
    return Claim(
        network=network,
        claim=f"two-argument units are more robust to attacks than {NAMES[control]}",
        verdict="undetermined" if failures else judge_test(test),
        evidence=f"{format_percent(first)} against {format_percent(second)} at "
        f"{epsilon:.3g}, {_format_points(test)}; {checks}",
        numbers={
            "control": control,
            "dendritic": first,
            "other": second,
            "difference": test.to_dict(),
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


def format_p(test: PairedTest) -> str:
    """Return the corrected p value in words."""
    return "p < .001" if test.p_holm < 0.001 else f"p = {test.p_holm:.3f}".replace("0.", ".")


def _format_points(test: PairedTest) -> str:
    difference = test.advantage
    value, low, high = (100 * one for one in (difference.value, difference.low, difference.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}] points, {format_p(test)}"


def _format_percent(ratio: Interval) -> str:
    return f"{ratio.value:.1f} % [{ratio.low:.1f}, {ratio.high:.1f}]"
