"""From the scores of sessions to flat records, per session and overall."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from omnimouse_cli.batch.strategies import WITH_STIMULUS
from omnimouse_cli.evaluate.records import (
    CEILING,
    DIFFERENCE,
    FRACTION,
    LOSS,
    MODEL,
    NEURONS,
    OVERALL,
    SINGLE_TRIAL,
    TO_AVERAGE,
    WITHOUT_STIMULUS,
    EvalRecord,
)
from omnimouse_cli.evaluate.session import RowScores
from omnimouse_cli.evaluate.signals import F64
from omnimouse_cli.metrics.bootstrap import interval
from omnimouse_cli.metrics.scores import fraction_of_ceiling, overall_resamples, overall_value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Number:
    """A number of a session, with what its interval comes from.

    Args:
        target, metric, predictor: What it is of.
        value: The number, None where it does not exist.
        resamples: float64 `(num_resamples,)`, None where there is no interval.
        outputs: Neurons or channels.
        samples: Scored samples of each.
        undefined: Outputs without a correlation.
    """

    target: str
    metric: str
    predictor: str
    value: float | None
    resamples: F64 | None = None
    outputs: int
    samples: int
    undefined: int | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What is one number over all sessions."""
        return self.target, self.metric, self.predictor


def records_of(rows: Sequence[RowScores], tier: str) -> Iterator[EvalRecord]:
    """Give the records of every session and, after them, of all sessions.

    Args:
        rows: Of all sessions, in their order.
        tier: Whose trials were scored.
    """
    names = dict.fromkeys((row.asked.row, row.asked.behavior) for row in rows)
    for name, behavior in names:
        same = [r for r in rows if r.asked.row == name and r.asked.behavior == behavior]
        numbers = [[*_numbers(row), *_of_stimulus(row, rows)] for row in same]
        for row, found in zip(same, numbers, strict=True):
            for number in found:
                yield _session_record(row, number, tier)
        for key in dict.fromkeys(number.key for found in numbers for number in found):
            pairs = [
                (row, number)
                for row, found in zip(same, numbers, strict=True)
                for number in found
                if number.key == key
            ]
            yield _overall_record(pairs, tier)


def _numbers(row: RowScores) -> Iterator[_Number]:
    for target, positions in row.asked.groups.items():
        for predictor, score in row.scores.items():
            of_target = score.targets[target]
            single = of_target.single_trial
            common = _Number(
                target=target,
                metric=SINGLE_TRIAL,
                predictor=predictor,
                value=single.value,
                resamples=None if single.value is None else of_target.resamples,
                outputs=len(positions),
                samples=of_target.samples,
                undefined=single.num_undefined,
            )
            yield common
            if predictor != CEILING:
                yield replace(
                    common,
                    metric=LOSS,
                    value=of_target.loss,
                    resamples=of_target.loss_resamples,
                    undefined=None,
                )
            if score.to_average is not None and target == NEURONS:
                yield replace(common, metric=TO_AVERAGE, value=score.to_average, resamples=None)
        yield from _comparisons(row, target, len(positions))


def _comparisons(row: RowScores, target: str, outputs: int) -> Iterator[_Number]:
    """The model beside its ceiling, and less each of its baselines."""
    model = row.scores[MODEL].targets[target]
    value = model.single_trial.value
    common = _Number(
        target=target,
        metric=FRACTION,
        predictor=MODEL,
        value=None,
        outputs=outputs,
        samples=model.samples,
    )
    if CEILING in row.scores:
        best = row.scores[CEILING].targets[target]
        share = fraction_of_ceiling(value, best.single_trial.value)
        if share is not None:
            yield replace(common, value=share, resamples=_ratio(model.resamples, best.resamples))
    bound = row.scores[MODEL].ceiling
    if row.repeat_ceiling and bound is not None:
        best_value = float(np.nan_to_num(bound).mean())
        yield replace(common, metric=SINGLE_TRIAL, predictor=CEILING, value=best_value)
        yield replace(common, value=fraction_of_ceiling(value, best_value))
    for predictor, score in row.scores.items():
        other = score.targets[target]
        if predictor in (MODEL, CEILING) or value is None or other.single_trial.value is None:
            continue
        yield replace(
            common,
            metric=DIFFERENCE,
            predictor=f"{MODEL}-{predictor}",
            value=value - other.single_trial.value,
            resamples=model.resamples - other.resamples,
        )


def _of_stimulus(row: RowScores, rows: Sequence[RowScores]) -> Iterator[_Number]:
    """The model less itself without the stimulus, where both rows ask the same."""
    asked = row.asked
    for other in rows:
        twin = other.asked
        if asked.row != f"{twin.row}{WITH_STIMULUS}" or asked.behavior != twin.behavior:
            continue
        if twin.signals is not asked.signals or not np.array_equal(twin.columns, asked.columns):
            continue
        for target, positions in asked.groups.items():
            mine, its = row.scores[MODEL].targets[target], other.scores[MODEL].targets[target]
            if mine.single_trial.value is None or its.single_trial.value is None:
                continue
            yield _Number(
                target=target,
                metric=DIFFERENCE,
                predictor=WITHOUT_STIMULUS,
                value=mine.single_trial.value - its.single_trial.value,
                resamples=mine.resamples - its.resamples,
                outputs=len(positions),
                samples=mine.samples,
            )


def _ratio(values: F64, bounds: F64) -> F64:
    result: F64 = np.divide(values, bounds, out=np.full(values.shape, np.nan), where=bounds > 0)
    return result


def _session_record(row: RowScores, number: _Number, tier: str) -> EvalRecord:
    asked = row.asked
    low, high = None, None
    if number.resamples is not None:
        low, high = interval(number.value, number.resamples, num_blocks=asked.windows.num_blocks)
    return EvalRecord(
        regime=asked.strategy.family,
        strategy=asked.row,
        inputs=asked.inputs,
        session=asked.signals.session.key,
        tier=tier,
        target=number.target,
        metric=number.metric,
        predictor=number.predictor,
        value=number.value,
        low=low,
        high=high,
        neurons=number.outputs,
        windows=len(asked.windows),
        samples=number.samples,
        undefined=number.undefined,
    )


def _overall_record(pairs: Sequence[tuple[RowScores, _Number]], tier: str) -> EvalRecord:
    rows, numbers = [row for row, _ in pairs], [number for _, number in pairs]
    weights = [row.asked.signals.session.num_neurons for row in rows]
    value = overall_value([number.value for number in numbers], weights)
    drawn = [
        (number.resamples, weight)
        for number, weight in zip(numbers, weights, strict=True)
        if number.resamples is not None
    ]
    low, high = None, None
    if len(drawn) == sum(number.value is not None for number in numbers) and drawn:
        resamples = overall_resamples([part for part, _ in drawn], [weight for _, weight in drawn])
        fewest = min(row.asked.windows.num_blocks for row in rows)
        low, high = interval(value, resamples, num_blocks=fewest)
    undefined = [number.undefined for number in numbers if number.undefined is not None]
    inputs = {name for row in rows for name in row.asked.inputs}
    return replace(
        _session_record(rows[0], replace(numbers[0], resamples=None), tier),
        inputs=tuple(name for name in rows[0].asked.strategy.inputs if name in inputs),
        session=OVERALL,
        value=value,
        low=low,
        high=high,
        neurons=sum(number.outputs for number in numbers),
        windows=sum(len(row.asked.windows) for row in rows),
        samples=sum(number.samples for number in numbers),
        undefined=sum(undefined) if undefined else None,
    )
