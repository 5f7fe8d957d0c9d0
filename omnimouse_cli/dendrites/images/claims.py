"""The claims of the paper, each judged by a rule that was fixed before the numbers."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from omnimouse_cli.dendrites.images.activation import DENDRITIC, LEARNED_SCALAR, RELU
from omnimouse_cli.dendrites.images.assess import Score, Scores, corruption_ratio, paired
from omnimouse_cli.dendrites.images.plan import NetworkKind
from omnimouse_cli.dendrites.intervals import Interval
from omnimouse_cli.dendrites.soft_xor import Count

Verdict = Literal["confirmed", "refuted", "undetermined"]
RULE = (
    "confirmed when the whole 95 % interval over paired seeds lies on the claimed side, refuted "
    "when it lies on the other, else undetermined"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim about one kind of network.

    Args:
        network: Which.
        claim: What is claimed.
        verdict: What comes out.
        told: The numbers in words.
        numbers: The same for programs.
    """

    network: NetworkKind
    claim: str
    verdict: Verdict
    told: str
    numbers: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """One line."""
        return f"{self.network}: {self.claim}: {self.verdict} ({self.told})"

    def to_dict(self) -> dict[str, Any]:
        """Give the fields for JSON."""
        return {
            "network": self.network,
            "claim": self.claim,
            "verdict": self.verdict,
            "numbers": dict(self.numbers),
            "told": self.told,
        }


def verdict_of(interval: Interval, *, border: float = 0.0, above: bool = True) -> Verdict:
    """Judge an interval by the side of the border on which it lies.

    Args:
        interval: Of what was measured.
        border: Between the sides.
        above: Whether the claim is that it lies above.
    """
    if interval.low > border:
        return "confirmed" if above else "refuted"
    if interval.high < border:
        return "refuted" if above else "confirmed"
    return "undetermined"


def claims_of(scores: Scores, saddles: Mapping[str, Count]) -> list[Claim]:
    """Judge every claim for which there are numbers.

    Args:
        scores: Of a comparison.
        saddles: How many functions are saddles, by network.
    """
    claims: list[Claim] = []
    for network, by_name in scores.items():
        ours = by_name.get(DENDRITIC)
        if ours is None:
            continue
        control, scalar = by_name.get(RELU), by_name.get(LEARNED_SCALAR)
        if control is not None:
            claims += [_accuracy(network, ours, control, "ReLU at matched parameters")]
            claims += [_speed(network, ours, control)]
        if scalar is not None:
            claims += [_accuracy(network, ours, scalar, "one learned argument")]
        if control is not None:
            claims += [*_natural(network, ours, control), *_attacks(network, ours, control)]
        if network in saddles:
            claims += [_soft_xor(network, saddles[network])]
    return claims


def _accuracy(network: NetworkKind, ours: Score, other: Score, what: str) -> Claim:
    difference = paired(ours.accuracy, other.accuracy)
    return Claim(
        network=network,
        claim=f"two-argument units are more accurate than {what}",
        verdict=verdict_of(difference),
        told=f"{100 * ours.accuracy.mean():.2f} % against {100 * other.accuracy.mean():.2f} %, "
        f"{_points(difference)}, {len(ours.accuracy)} seeds",
        numbers={
            "dendritic": float(ours.accuracy.mean()),
            "other": float(other.accuracy.mean()),
            "difference": difference.to_dict(),
            "seeds": len(ours.accuracy),
        },
    )


def _speed(network: NetworkKind, ours: Score, control: Score) -> Claim:
    sooner = paired(control.epochs, ours.epochs)
    return Claim(
        network=network,
        claim="two-argument units learn in fewer epochs than ReLU",
        verdict=verdict_of(sooner),
        told=f"{ours.epochs.mean():.1f} against {control.epochs.mean():.1f} epochs to "
        f"{100 * ours.threshold:.1f} %, {sooner.value:+.1f} "
        f"[{sooner.low:+.1f}, {sooner.high:+.1f}] fewer",
        numbers={
            "dendritic": float(ours.epochs.mean()),
            "other": float(control.epochs.mean()),
            "fewer": sooner.to_dict(),
            "threshold": ours.threshold,
        },
    )


def _natural(network: NetworkKind, ours: Score, control: Score) -> Iterator[Claim]:
    ratio = corruption_ratio(ours, control, relative=False)
    relative = corruption_ratio(ours, control, relative=True)
    if ratio is None or relative is None:
        return
    yield Claim(
        network=network,
        claim="two-argument units are more robust to corruptions than ReLU",
        verdict=verdict_of(ratio, border=100.0, above=False),
        told=f"mCE {_percent(ratio)}, relative mCE {_percent(relative)}",
        numbers={"mce": ratio.to_dict(), "relative_mce": relative.to_dict()},
    )


def _attacks(network: NetworkKind, ours: Score, control: Score) -> Iterator[Claim]:
    first, second = ours.attacked_accuracy, control.attacked_accuracy
    if first is None or second is None or ours.robustness is None or control.robustness is None:
        return
    difference = paired(first, second)
    checks = [
        f"{name}: {failure}"
        for name, score in (("dendritic", ours.robustness), ("relu", control.robustness))
        for failure in masking_failures(score["attacks"])
    ]
    told = f"{100 * first.mean():.1f} % against {100 * second.mean():.1f} % at "
    told += f"{ours.robustness['attacks']['epsilon']:.3g}, {_points(difference)}"
    told += "; " + ("; ".join(checks) if checks else "attacks pass the masking checks")
    yield Claim(
        network=network,
        claim="two-argument units are more robust to attacks than ReLU",
        verdict="undetermined" if checks else verdict_of(difference),
        told=told,
        numbers={
            "dendritic": float(first.mean()),
            "other": float(second.mean()),
            "difference": difference.to_dict(),
            "epsilon": ours.robustness["attacks"]["epsilon"],
            "masking": checks,
        },
    )


def masking_failures(attacks: Mapping[str, Any]) -> list[str]:
    """Say what hints at gradients that mislead the attack; nothing when all is well.

    The loss must rise with the budget, an attack that may change everything must leave no right
    answer, and the attack without gradients must not be the stronger one.

    Args:
        attacks: As a robustness file has them.
    """
    losses = [float(np.mean(one["loss"])) for one in attacks["gradient"]]
    failures = []
    if any(later <= earlier for earlier, later in itertools.pairwise(losses)):
        failures.append("the loss does not rise with the budget")
    left = float(np.mean(attacks["gradient"][-1]["accuracy"]))
    if left > 0:
        failures.append(f"an unbounded attack leaves {100 * left:.1f} % right")
    if attacks["square"] is not None:
        at_budget = next(one for one in attacks["gradient"] if one["epsilon"] == attacks["epsilon"])
        if np.mean(attacks["square"]) < np.mean(at_budget["accuracy"]):
            failures.append("the attack without gradients is the stronger one")
    return failures


def _soft_xor(network: NetworkKind, count: Count) -> Claim:
    share = Interval(value=count.hyperbolic / max(count.total, 1), low=count.low, high=count.high)
    return Claim(
        network=network,
        claim="most networks learn a soft XOR",
        verdict=verdict_of(share, border=0.5),
        told=f"{count.hyperbolic} of {count.total} are hyperbolic, 95 % interval "
        f"{100 * count.low:.0f} to {100 * count.high:.0f} %",
        numbers={
            "hyperbolic": count.hyperbolic,
            "total": count.total,
            "low": count.low,
            "high": count.high,
        },
    )


def _points(difference: Interval) -> str:
    value, low, high = (100 * one for one in (difference.value, difference.low, difference.high))
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}] points"


def _percent(ratio: Interval) -> str:
    return f"{ratio.value:.1f} % [{ratio.low:.1f}, {ratio.high:.1f}]"
