"""What the numbers of a report rest on: goodness of fit, subsets, amounts, length of training."""

from collections.abc import Sequence

import numpy as np

from omnimouse_cli.report.effects import count_repeated_subsets, find_shared_groups
from omnimouse_cli.report.frontier import fit_isoflop_exponent
from omnimouse_cli.report.law import JointLaw
from omnimouse_cli.report.table import RunRow, find_levels, get_column, get_compute, number_levels
from omnimouse_cli.report.tasks import BEHAVIOR
from omnimouse_cli.text import format_count, format_magnitude, format_number, pluralize

# Numbers of steps or epochs within this factor are equal.
EQUAL = 1.1


def state_facts(rows: Sequence[RunRow], law: JointLaw | None) -> list[str]:
    """Return sentences about what the numbers rest on.

    Args:
        rows: The runs.
        law: Their joint law; None without one.
    """
    facts = []
    if law is not None:
        facts.append(f"goodness of fit of the joint law: {law.goodness.describe()}")
        if law.effects is not None:
            one, number = law.effects.estimate(), len(law.effects.group_means)
            facts.append(
                f"subsets of the data differ by {one.value:.2%} of the loss (standard deviation, "
                f"{one.low:.2%} to {one.high:.2%}, from {number} subsets) beyond the noise of "
                "their runs; resamples draw both anew"
            )
    facts += _state_isoflop_exponent(rows) + _state_channels(rows) + _state_amounts(rows)
    return facts + _state_learning_rates(rows) + _state_length(rows)


def _state_isoflop_exponent(rows: Sequence[RunRow]) -> list[str]:
    """Return how the best size grows with compute by parabolas, which need no law."""
    exponent, num_levels, _ = fit_isoflop_exponent(rows, get_compute(rows)[0])
    if exponent is None:
        return []
    levels = pluralize(num_levels, "level")
    return [
        f"by parabolas at {levels} of equal compute (isoFLOP) the best size grows as compute to "
        f"the power {exponent:.3f}"
    ]


def _state_channels(rows: Sequence[RunRow]) -> list[str]:
    """Return a sentence where runs have the loss of behavior, and not of each channel."""
    tasks = [row.tasks or {} for row in rows]
    older = sum(
        BEHAVIOR in of_run and not any(name.startswith(f"{BEHAVIOR}: ") for name in of_run)
        for of_run in tasks
    )
    if not older:
        return []
    return [
        f"{pluralize(older, 'run')} of an earlier version recorded the mean over the channels of "
        "behavior alone: there is no law for each channel"
    ]


def _state_amounts(rows: Sequence[RunRow]) -> list[str]:
    hours, tokens = get_column(rows, "neuron_hours"), get_column(rows, "tokens")
    if not np.isfinite(hours).all():
        return []
    amounts = _span([format_count(float(end)) for end in (tokens.min(), tokens.max())])
    length = _span([format_number(float(end)) for end in (hours.min(), hours.max())])
    return [f"D is {amounts} unique tokens, {length} neuron-hours"]


def _span(ends: Sequence[str]) -> str:
    """Return both ends of a range, or the only value."""
    return " to ".join(dict.fromkeys(ends))


def _state_learning_rates(rows: Sequence[RunRow]) -> list[str]:
    rates, sizes = get_column(rows, "learning_rate"), get_column(rows, "parameters")
    if not np.isfinite(rates).all():
        return []
    if len(np.unique(rates)) == 1:
        return [f"all runs have the learning rate {rates[0]:g}, which was not tuned per size"]
    levels = number_levels(sizes)
    of_sizes = [np.unique(rates[levels == level]) for level in np.unique(levels)]
    if any(len(values) > 1 for values in of_sizes):
        return ["learning rates differ between runs of one size: their losses are not comparable"]
    named = ", ".join(
        f"{values[0]:g} for {format_magnitude(size)}"
        for size, values in zip(find_levels(sizes), of_sizes, strict=True)
    )
    return [f"learning rates depend on the size of the model: {named}"]


def _state_length(rows: Sequence[RunRow]) -> list[str]:
    """Return whether epochs or steps were equal in all runs, and what that does to the loss."""
    epochs, steps = get_column(rows, "epochs"), get_column(rows, "steps")
    if not np.isfinite(epochs).all():
        return []
    span = _span([format_number(float(end)) for end in (epochs.min(), epochs.max())])
    if epochs.max() <= EQUAL * epochs.min():
        return [f"all runs saw their data for equal epochs: {span}"]
    if not np.isfinite(steps).all() or steps.max() > EQUAL * steps.min():
        return [f"neither epochs ({span}) nor steps were equal in all runs"]
    facts = [
        f"all runs took equal steps ({format_count(float(steps.max()))}), so that larger amounts "
        f"of data were seen less often: {span} epochs"
    ]
    if rises_with_data(rows):
        facts.append(
            "loss rises with the amount of data because of that: at equal steps a run with more "
            "data sees each session less often; compare equal epochs (sweep --epochs)"
        )
    return facts


def rises_with_data(rows: Sequence[RunRow]) -> bool:
    """Return whether loss rises from the least to the most data in most sizes."""
    tokens, loss = get_column(rows, "tokens"), np.log(get_column(rows, "loss"))
    sizes, amounts = number_levels(get_column(rows, "parameters")), number_levels(tokens)
    rises = []
    for size in np.unique(sizes):
        here = sizes == size
        first, last = amounts[here].min(), amounts[here].max()
        if first < last:
            ends = [loss[here & (amounts == level)].mean() for level in (first, last)]
            rises.append(ends[1] > ends[0])
    return bool(rises) and float(np.mean(rises)) > 0.5


def check_subsets(rows: Sequence[RunRow]) -> list[str]:
    """Warn of runs whose subsets of data are known, but too few to know what they matter."""
    if any(row.subset is None for row in rows) or find_shared_groups(rows) is not None:
        return []
    number = count_repeated_subsets(rows)
    few = "one subset" if number == 0 else f"one subset, and {number} more in all,"
    return [
        f"each amount of data is {few} of the sessions: how much their choice changes the loss is "
        "unknown, and the intervals do not contain it (sweep --subsets 3)"
    ]
