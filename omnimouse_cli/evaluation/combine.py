"""The mean over runs that differ in their seed alone, with intervals over windows and seeds."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from omnimouse_cli.config.convert import to_dict
from omnimouse_cli.evaluation.records import Evaluation
from omnimouse_cli.evaluation.scored_value import ScoredValue, with_interval
from omnimouse_cli.evaluation.tabulate import make_records
from omnimouse_cli.run.weights import RunDescription


def group_by_seed(runs: Sequence[RunDescription]) -> list[list[int]]:
    """Return the positions of runs of the same sessions and configuration but for the seed.

    Returns:
        One list for each configuration of which there are several runs. Of several runs with one
        seed, which are copies, only the first counts.
    """
    groups: dict[str, dict[int, int]] = {}
    for position, run in enumerate(runs):
        key = json.dumps(
            [
                to_dict(replace(run.config, seed=0)),
                [(one.session, one.fingerprint) for one in run.sessions],
            ]
        )
        groups.setdefault(key, {}).setdefault(run.config.seed, position)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def combine_seeds(evaluations: Sequence[Evaluation]) -> Evaluation:
    """Return the mean of every number over runs, each run on the same windows.

    Seeds are crossed with windows: the interval has the variance of the mean over windows and that
    over seeds. Numbers that a run lacks are left out.

    Args:
        evaluations: Of one configuration, with one set of options.
    """
    numbers: dict[tuple[str, ...], list[ScoredValue]] = {}
    for evaluation in evaluations:
        for number in evaluation.numbers:
            record = number.record
            key = (record.session, record.strategy, record.target, record.metric, record.predictor)
            numbers.setdefault(key, []).append(number)
    means = [_mean(same) for same in numbers.values() if len(same) == len(evaluations)]
    return Evaluation(
        records=tuple(make_records(means)), unavailable=(), rows=evaluations[0].rows, numbers=means
    )


def combined_document(runs: Sequence[RunDescription], evaluation: Evaluation) -> dict[str, Any]:
    """Return the JSON object of a combined evaluation."""
    return {
        "runs": [run.folder.name for run in runs],
        "seeds": [run.config.seed for run in runs],
        "records": [record.to_dict() for record in evaluation.records],
    }


def _mean(numbers: Sequence[ScoredValue]) -> ScoredValue:
    first = numbers[0]
    values = [number.record.value for number in numbers if number.record.value is not None]
    resamples = [number.resamples for number in numbers if number.resamples is not None]
    if len(values) < len(numbers):
        values = []
    record = replace(
        first.record,
        value=float(np.mean(values)) if values else None,
        draws_sd=None,
        runs=len(numbers),
    )
    is_resampled = values and len(resamples) == len(numbers)
    mean = replace(
        first,
        record=record,
        resamples=np.mean(resamples, axis=0) if is_resampled else None,
        of_runs=tuple(values),
    )
    over = first.record.interval_over
    return replace(mean, record=with_interval(record, mean.spread, over, mean.of_runs))
