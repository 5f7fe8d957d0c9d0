"""The runs that would turn an undetermined verdict into one."""

from collections.abc import Sequence
from dataclasses import dataclass

from omnimouse_cli.report.law import refusals
from omnimouse_cli.report.table import Row, column, levels, seed_noise
from omnimouse_cli.report.verdict import MIN_LEVELS, MIN_RANGE, Verdict, largest

NUM_SEEDS = 3
STEP = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """Runs that are missing.

    Args:
        parameters: Sizes.
        tokens: Unique tokens; every size is trained on each.
        seeds: Seeds of each.
        why: What they would tell.
    """

    parameters: tuple[float, ...]
    tokens: tuple[float, ...]
    seeds: int
    why: str


def propose(rows: Sequence[Row], verdict: Verdict) -> tuple[Proposal, ...]:
    """Give the runs that would decide; none when the verdict stands.

    Args:
        rows: The runs.
        verdict: What they said so far.
    """
    if verdict.word != "undetermined":
        return ()
    sizes, amounts = levels(column(rows, "parameters")), levels(column(rows, "tokens"))
    more_sizes, more_amounts = missing_levels(sizes), missing_levels(amounts)
    proposals = []
    if more_sizes:
        proposals.append(
            Proposal(
                parameters=more_sizes,
                tokens=_spread(amounts, more_amounts),
                seeds=1,
                why=f"{MIN_LEVELS} sizes over a {MIN_RANGE:g}-fold range",
            )
        )
    if more_amounts:
        proposals.append(
            Proposal(
                parameters=_spread(sizes, ()),
                tokens=more_amounts,
                seeds=1,
                why=f"{MIN_LEVELS} amounts of data over a {MIN_RANGE:g}-fold range",
            )
        )
    if seed_noise(rows) is None:
        top = largest(rows)
        proposals.append(
            Proposal(
                parameters=(top.parameters,),
                tokens=(top.tokens,),
                seeds=NUM_SEEDS,
                why="the noise between seeds, which every difference is held against",
            )
        )
    if not proposals or not (more_sizes or more_amounts or refusals(rows)):
        proposals += _beyond(rows)
    return tuple(proposals)


def missing_levels(found: Sequence[float]) -> tuple[float, ...]:
    """Give the levels to add upwards, four-fold each, until number and range suffice."""
    known, added = list(found), []
    while len(known) < MIN_LEVELS or known[-1] / known[0] < MIN_RANGE * (1 - 1e-9):
        known.append(_next(known[-1]))
        added.append(known[-1])
    return tuple(added)


def _spread(found: Sequence[float], added: Sequence[float]) -> tuple[float, ...]:
    """Give at most four levels of those that exist or are proposed, both ends among them."""
    known = [*found, *added]
    if len(known) <= MIN_LEVELS:
        return tuple(known)
    places = [round(number * (len(known) - 1) / (MIN_LEVELS - 1)) for number in range(MIN_LEVELS)]
    return tuple(known[place] for place in places)


def _beyond(rows: Sequence[Row]) -> list[Proposal]:
    """Ask the two questions directly: one run with more data, one with more parameters."""
    top = largest(rows)
    return [
        Proposal(
            parameters=(top.parameters,),
            tokens=(_next(top.tokens),),
            seeds=NUM_SEEDS,
            why="what four times the data gain at the largest run",
        ),
        Proposal(
            parameters=(_next(top.parameters),),
            tokens=(top.tokens,),
            seeds=NUM_SEEDS,
            why="what four times the parameters gain at the largest run",
        ),
    ]


def _next(value: float) -> float:
    return float(f"{value * STEP:.3g}")
