"""Whether training makes functions soft XORs: the change from start to end, over seeds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from omnimouse_cli.dendrites.surface import (
    SOFT_XOR_POWER,
    FunctionKey,
    LearnedFunction,
    Surface,
    fit_r2,
)
from omnimouse_cli.metrics.intervals import Interval, mean_interval, share_interval

Verdict = Literal["confirmed", "refuted", "undetermined"]
# A function has hardly moved when its start explains more than this share of its variance.
MAX_R2_TO_START = 0.9
RULE = (
    "a function is a soft XOR when its quadratic is a saddle and at least "
    f"{SOFT_XOR_POWER:g} of its angular power is at l = 2; it has become one when it was none at "
    f"the start, and the start explains at most {MAX_R2_TO_START:g} of its variance; confirmed "
    "when the whole 95 % intervals over seeds of the change from start to end, of the power at "
    "l = 2 and of R2 to a product, lie above 0, and that of the share of networks whose functions "
    "became soft XORs lies above one half"
)
# Statistics whose change is tested.
STATISTICS: Mapping[str, Callable[[Surface], float]] = {
    "angular_power_2": lambda surface: surface.angular_power[2],
    "r2_turned_product": lambda surface: surface.r2["turned_product"],
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnalyzedFunction:
    """A learned function and its surfaces, both where the arguments lie at the end.

    Args:
        function: The learned function.
        surface: Its surface at the end of training.
        start: Its surface before training; None where that is not known.
    """

    function: LearnedFunction
    surface: Surface
    start: Surface | None = None

    @property
    def r2_to_start(self) -> float | None:
        """Fraction of variance that the function before training explains; None if not known."""
        if self.start is None:
            return None
        region = self.surface.region
        return fit_r2(self.start.values[region], self.surface.values[region])

    @property
    def has_become_soft_xor(self) -> bool:
        """Whether it is a soft XOR, was none at the start, and has moved from there."""
        if self.start is None or self.start.is_soft_xor or not self.surface.is_soft_xor:
            return False
        return self.r2_to_start is not None and self.r2_to_start <= MAX_R2_TO_START

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        names = ("run", "network", "layer", "cell_type", "seed")
        return {
            **{name: getattr(self.function, name) for name in names},
            **self.surface.to_dict(),
            "learned": None if self.start is None else self.has_become_soft_xor,
            "r2_to_start": self.r2_to_start,
            "start": None if self.start is None else self.start.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A statistic before and after training: means over seeds, and the interval of the change."""

    start: float
    end: float
    change: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftXorCount:
    """Soft XORs among functions, and the test of their change; the sample are the seeds.

    Args:
        hyperbolic: Number of functions that are saddles.
        total: Number of functions.
        low: Lower end of the 95 % interval of the probability that most functions of a training
            are saddles; None for one training.
        high: Upper end of that interval.
        seeds: Number of trainings.
        soft_xors: Number of soft XORs at the end.
        soft_xors_at_start: Number of soft XORs at the start; None where it is not known.
        learned: Number of soft XORs that were none at the start.
        learned_share: Share of trainings in which most functions became soft XORs.
        changes: Change of each of `STATISTICS`.
        verdict: Whether most trainings learn soft XORs, by `RULE`; None where it cannot be tested.
    """

    hyperbolic: int
    total: int
    low: float | None
    high: float | None
    seeds: int
    soft_xors: int
    soft_xors_at_start: int | None
    learned: int | None
    learned_share: Interval | None
    changes: Mapping[str, Change]
    verdict: Verdict | None

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        counts = f"{self.soft_xors} of {self.total} functions are soft XORs"
        if self.soft_xors_at_start is None:
            return f"{counts}; their start is not known: no test"
        counts += f", {self.soft_xors_at_start} at the start"
        if not self.changes:
            return f"{counts}; one seed: no test"
        words = {"angular_power_2": "power at l = 2", "r2_turned_product": "R2 to a product"}
        changes = [
            f"{words[name]} {one.start:.2f} > {one.end:.2f}, {one.change.value:+.2f} "
            f"[{one.change.low:+.2f}, {one.change.high:+.2f}]"
            for name, one in self.changes.items()
        ]
        return "; ".join([counts, *changes])


def judge_interval(interval: Interval, *, border: float = 0.0, above: bool = True) -> Verdict:
    """Return the verdict on the claim that a value lies above (or below) a border.

    Args:
        interval: Interval of the value.
        border: Value between the claimed side and the other.
        above: Whether the claimed side is above the border.
    """
    if interval.low > border:
        return "confirmed" if above else "refuted"
    if interval.high < border:
        return "refuted" if above else "confirmed"
    return "undetermined"


def count_soft_xors(
    analyzed: Sequence[AnalyzedFunction], network: str | None = None
) -> SoftXorCount:
    """Count soft XORs and test their change; a function that several layers share counts once.

    Args:
        analyzed: Functions of one or several runs.
        network: Count only those of this network.
    """
    return _count(
        [
            one
            for one in analyzed
            if one.function.is_whole and network in (None, one.function.network)
        ]
    )


def count_by_layer(analyzed: Sequence[AnalyzedFunction]) -> dict[FunctionKey, SoftXorCount]:
    """Count and test over the seeds of each network, layer and cell type."""
    keys = dict.fromkeys(one.function.key for one in analyzed)
    return {key: _count([one for one in analyzed if one.function.key == key]) for key in keys}


def list_networks(analyzed: Sequence[AnalyzedFunction]) -> list[str]:
    """Return the different networks in order."""
    return list(dict.fromkeys(one.function.network for one in analyzed))


def _count(analyzed: Sequence[AnalyzedFunction]) -> SoftXorCount:
    trainings: dict[tuple[str, str, int], list[AnalyzedFunction]] = {}
    for one in analyzed:
        key = (one.function.run, one.function.network, one.function.seed)
        trainings.setdefault(key, []).append(one)
    seeds = list(trainings.values())
    starts = [one.start for one in analyzed if one.start is not None]
    is_known, is_sample = len(starts) == len(analyzed), len(seeds) > 1
    learned = _share(seeds, lambda one: one.has_become_soft_xor)
    hyperbolic = _share(seeds, lambda one: one.surface.curvature == "hyperbolic")
    changes = _measure_changes(seeds) if is_known and is_sample else {}
    return SoftXorCount(
        hyperbolic=sum(one.surface.curvature == "hyperbolic" for one in analyzed),
        total=len(analyzed),
        low=hyperbolic.low if is_sample else None,
        high=hyperbolic.high if is_sample else None,
        seeds=len(seeds),
        soft_xors=sum(one.surface.is_soft_xor for one in analyzed),
        soft_xors_at_start=sum(start.is_soft_xor for start in starts) if is_known else None,
        learned=sum(one.has_become_soft_xor for one in analyzed) if is_known else None,
        learned_share=learned if changes else None,
        changes=changes,
        verdict=_judge(learned, changes) if changes else None,
    )


def _share(
    seeds: Sequence[Sequence[AnalyzedFunction]], holds: Callable[[AnalyzedFunction], bool]
) -> Interval:
    """Return the share of trainings for most functions of which something holds."""
    count = sum(2 * sum(map(holds, functions)) > len(functions) for functions in seeds)
    low, high = share_interval(count, len(seeds))
    return Interval(value=count / max(1, len(seeds)), low=low, high=high)


def _measure_changes(seeds: Sequence[Sequence[AnalyzedFunction]]) -> dict[str, Change]:
    """Return the change of each statistic, averaged over the functions of a training."""

    def average(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    changes = {}
    for name, measure in STATISTICS.items():
        ends = [average([measure(one.surface) for one in functions]) for functions in seeds]
        starts = [
            average([measure(one.start) for one in functions if one.start is not None])
            for functions in seeds
        ]
        changes[name] = Change(
            start=average(starts),
            end=average(ends),
            change=mean_interval([end - start for start, end in zip(starts, ends, strict=True)]),
        )
    return changes


def _judge(learned: Interval, changes: Mapping[str, Change]) -> Verdict:
    verdicts = {judge_interval(learned, border=0.5)}
    verdicts |= {judge_interval(one.change) for one in changes.values()}
    if verdicts == {"confirmed"}:
        return "confirmed"
    return "refuted" if "refuted" in verdicts else "undetermined"
