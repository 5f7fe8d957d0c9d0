"""Two-argument units against each control: paired differences over seeds, corrected by Holm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from omnimouse_cli.dendrites.images.architecture import DENDRITIC, LEARNED_SCALAR, RELU
from omnimouse_cli.dendrites.images.scores import F64, CandidateScores
from omnimouse_cli.metrics.intervals import Interval, mean_interval
from omnimouse_cli.metrics.significance import adjust_holm, interval_p


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """The advantage of two-argument units over one control, over paired seeds.

    Args:
        advantage: Mean difference with its 95 % interval; positive where two arguments are better.
        p: Two-sided p value by Student's t.
        p_holm: The same, corrected by Holm's method for the number of controls.
    """

    advantage: Interval
    p: float
    p_holm: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields for JSON."""
        return {**self.advantage.to_dict(), "p": self.p, "p_holm": self.p_holm}


def list_controls(by_name: Mapping[str, CandidateScores]) -> list[str]:
    """Return the names of all controls, one learned argument first."""
    first = [name for name in (LEARNED_SCALAR, RELU) if name in by_name]
    return [*first, *(name for name in by_name if name not in (DENDRITIC, *first))]


# How much better the first is than the second, float64 `(seeds,)`.
ADVANTAGES: Mapping[str, Callable[[CandidateScores, CandidateScores], F64]] = {
    "accuracy": lambda ours, other: ours.accuracy - other.accuracy,
    "epochs": lambda ours, other: other.epochs - ours.epochs,
    "epochs_of_all_sessions": lambda ours, other: other.all_epochs - ours.all_epochs,
}


def compare_with_controls(
    by_name: Mapping[str, CandidateScores],
) -> dict[str, dict[str, PairedTest]]:
    """Test the advantage of two-argument units over every control of one network.

    Args:
        by_name: Scores of one kind of network by activation.

    Returns:
        Tests by measure and control; none without two-argument units.
    """
    ours = by_name.get(DENDRITIC)
    if ours is None:
        return {}
    tests = {}
    for measure, compute in ADVANTAGES.items():
        advantages = {
            name: mean_interval(compute(ours, by_name[name])) for name in list_controls(by_name)
        }
        tests[measure] = correct_tests(advantages, len(ours.accuracy))
    return tests


def correct_tests(
    advantages: Mapping[str, Interval], num_seeds: int, *, border: float = 0.0
) -> dict[str, PairedTest]:
    """Return tests of several controls, corrected for their number."""
    p_values = [interval_p(one, num_seeds - 1, border=border) for one in advantages.values()]
    return {
        name: PairedTest(advantage=one, p=p, p_holm=p_holm)
        for (name, one), p, p_holm in zip(
            advantages.items(), p_values, adjust_holm(p_values), strict=True
        )
    }
