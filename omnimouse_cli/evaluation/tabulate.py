"""From the scores of predictors to records: comparisons, and numbers over all sessions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from omnimouse_cli.batch.strategies import WITH_STIMULUS
from omnimouse_cli.evaluation.records import (
    CEILING,
    DIFFERENCE,
    FRACTION,
    INPUTS,
    MODEL,
    NEURONS,
    OVER_SEEDS,
    OVER_WINDOWS,
    OVERALL,
    SIMULATION,
    SINGLE_TRIAL,
    WITHOUT_STIMULUS,
    EvalRecord,
)
from omnimouse_cli.evaluation.scored_value import ScoredValue, with_interval
from omnimouse_cli.evaluation.scorer import PredictorScores
from omnimouse_cli.evaluation.stimulus import Familiarity
from omnimouse_cli.metrics.intervals import Spread, mean_spread
from omnimouse_cli.metrics.scores import fraction_of_ceiling, overall_value


def compare_predictors(scores: Mapping[str, PredictorScores]) -> Iterator[ScoredValue]:
    """Compare the model with its ceiling and with each baseline.

    Args:
        scores: By predictor, of the same targets; the model's is among them.

    Yields:
        Noise ceilings from repeats; for each target the share of the ceiling that the model
        reaches, and the model's correlation less that of every baseline.
    """
    yield from _from_repeats(scores)
    for target, model in scores[MODEL].correlations.items():
        if CEILING in scores:
            ceiling = scores[CEILING].correlations[target]
            share = fraction_of_ceiling(model.record.value, ceiling.record.value)
            if share is not None and model.resamples is not None and ceiling.resamples is not None:
                bounds = ceiling.resamples
                ratio = np.full(bounds.shape, np.nan)
                np.divide(model.resamples, bounds, out=ratio, where=bounds > 0)
                number = model.derive(metric=FRACTION, value=share, resamples=ratio)
                yield replace(number, record=replace(number.record, source=SIMULATION))
        for predictor, score in scores.items():
            if predictor not in (MODEL, CEILING):
                other = score.correlations[target]
                yield from _difference(model, other, f"{MODEL}-{predictor}")


def _from_repeats(scores: Mapping[str, PredictorScores]) -> Iterator[ScoredValue]:
    """Yield noise ceilings from repeats; that of single trials where no exact one is known."""
    repeats = scores[MODEL].repeats
    for ceiling in repeats.ceilings:
        if ceiling.record.metric != SINGLE_TRIAL or CEILING not in scores:
            yield ceiling
    if repeats.fraction is not None and CEILING not in scores:
        yield repeats.fraction


def compare_stimulus(numbers: Sequence[ScoredValue]) -> Iterator[ScoredValue]:
    """Compare the model with itself without the stimulus, where both predict the same outputs.

    Args:
        numbers: Scored values of one session.
    """
    correlations = {
        (number.record.strategy, number.record.target): number
        for number in numbers
        if (number.record.metric, number.record.predictor) == (SINGLE_TRIAL, MODEL)
    }
    for (strategy, target), number in correlations.items():
        other = correlations.get((strategy.removesuffix(WITH_STIMULUS), target))
        if other is None or not strategy.endswith(WITH_STIMULUS):
            continue
        if np.array_equal(number.outputs, other.outputs):
            yield from _difference(number, other, WITHOUT_STIMULUS)


def _difference(first: ScoredValue, second: ScoredValue, predictor: str) -> Iterator[ScoredValue]:
    """Yield the difference of two correlations, if both exist."""
    values = first.record.value, second.record.value
    if values[0] is None or values[1] is None:
        return
    assert first.resamples is not None, "a correlation has resamples"
    assert second.resamples is not None, "a correlation has resamples"
    yield first.derive(
        metric=DIFFERENCE,
        predictor=predictor,
        value=values[0] - values[1],
        resamples=first.resamples - second.resamples,
    )


def make_records(numbers: Sequence[ScoredValue]) -> Iterator[EvalRecord]:
    """Order the records of all sessions by strategy, with an overall record for each number.

    Args:
        numbers: Of all sessions, session by session.
    """
    by_strategy: dict[tuple[str, bool], list[ScoredValue]] = {}
    for number in numbers:
        kind = (number.record.strategy, number.record.target == NEURONS)
        by_strategy.setdefault(kind, []).append(number)
    for same in by_strategy.values():
        yield from (number.record for number in same)
        over_sessions: dict[tuple[str, str, str], list[ScoredValue]] = {}
        for number in same:
            record = number.record
            key = (record.target, record.metric, record.predictor)
            over_sessions.setdefault(key, []).append(number)
        yield from map(overall_record, over_sessions.values())


def overall_record(numbers: Sequence[ScoredValue]) -> EvalRecord:
    """Return a record over sessions, each weighted by its neurons.

    Args:
        numbers: One for each session that has the number.
    """
    records = [number.record for number in numbers]
    weights = [number.num_neurons for number in numbers]
    value = overall_value([record.value for record in records], weights)
    undefined = [record.undefined for record in records if record.undefined is not None]
    excluded = [record.excluded for record in records if record.excluded is not None]
    seconds = [record.scored_seconds for record in records if record.scored_seconds is not None]
    families = {record.distribution for record in records}
    seen = {record.stimulus_in_training for record in records}
    familiarity: Familiarity | None = None if None in seen else "mixed"
    if len(seen) == 1:
        (familiarity,) = seen
    overall = replace(
        records[0],
        inputs=tuple(name for name in INPUTS if any(name in one.inputs for one in records)),
        session=OVERALL,
        value=value,
        neurons=sum(record.neurons for record in records),
        windows=sum(record.windows for record in records),
        samples=sum(record.samples for record in records),
        undefined=sum(undefined) if undefined else None,
        draws_sd=_overall_draws_sd(records, weights),
        stimulus_in_training=familiarity,
        scored_seconds=sum(seconds) if seconds else None,
        repeats=overall_value([record.repeats for record in records], weights),
        excluded=sum(excluded) if excluded else None,
        distribution=records[0].distribution if len(families) == 1 else "mixed",
    )
    seeded = [number for number in numbers if number.of_runs]
    of_runs = np.zeros(0)
    if seeded:
        weights = [number.num_neurons for number in seeded]
        of_runs = np.average([number.of_runs for number in seeded], axis=0, weights=weights)
    return with_interval(overall, *overall_spread(numbers), of_runs=of_runs.tolist())


def _overall_draws_sd(records: Sequence[EvalRecord], weights: Sequence[int]) -> float | None:
    """Return the spread over draws of a weighted mean: sessions draw independently."""
    spreads = [record.draws_sd for record in records if record.draws_sd is not None]
    if not records or len(spreads) < len(records):
        return None
    return float(np.linalg.norm(np.multiply(spreads, weights)) / sum(weights))


def overall_spread(numbers: Sequence[ScoredValue]) -> tuple[Spread | None, str]:
    """Return the spread of a mean over sessions, weighted by neurons, and what it is over.

    With three sessions or animals the interval speaks of others like them too: the variance is
    that between animals (or sessions), which contains that within.

    Args:
        numbers: One for each session that has the number.
    """
    scored = [number for number in numbers if number.record.value is not None]
    spread, levels = mean_spread(
        [number.record.value or 0.0 for number in scored],
        [number.num_neurons for number in scored],
        [number.spread for number in scored],
        {
            "sessions": [number.record.session for number in scored],
            "animals": [number.animal for number in scored],
        },
    )
    overs = [number.record.interval_over for number in scored if number.record.interval_over]
    windows = (overs[0] if overs else OVER_WINDOWS).removesuffix(OVER_SEEDS)
    return spread, ", ".join([windows, *levels])
