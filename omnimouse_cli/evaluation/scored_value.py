"""One number of an evaluation with the resamples that its interval is from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from omnimouse_cli.evaluation.records import OVER_SEEDS, OVER_WINDOWS, EvalRecord, is_correlation
from omnimouse_cli.evaluation.session_reader import F64, I64
from omnimouse_cli.metrics.intervals import (
    Spread,
    interval,
    resample_spread,
    seed_spread,
    sum_spreads,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoredValue:
    """A record of one session plus its resamples.

    Args:
        record: As in `eval.json`, its interval included.
        outputs: int64 `(outputs,)`: neurons or channels that it is over.
        resamples: float64 `(resamples,)`: the value with every row of `block_weights`; None without
            an interval.
        num_blocks: Blocks of windows that the resamples weigh.
        num_neurons: Neurons of the session: its weight among sessions.
        animal: Animal of the session.
        scored: Hash of what was scored (`Targets.scored_hash`): values with one hash are paired.
        of_runs: Values of the runs, one per seed, whose mean the value is; empty for a single run.
    """

    record: EvalRecord
    outputs: I64
    resamples: F64 | None
    num_blocks: int
    num_neurons: int
    animal: str
    scored: str = ""
    of_runs: tuple[float, ...] = ()

    def derive(
        self,
        *,
        metric: str,
        value: float | None,
        predictor: str | None = None,
        resamples: F64 | None = None,
        undefined: int | None = None,
        over: str = OVER_WINDOWS,
    ) -> "ScoredValue":
        """Return another value over the same windows and outputs, with its interval.

        Args:
            metric: What it measures.
            value: Value of the derived record; None where it is undefined.
            predictor: Whose it is; None keeps the predictor.
            resamples: The value in every resample; None gives no interval.
            undefined: Outputs without a correlation.
            over: What the resamples are over.
        """
        record = replace(
            self.record,
            metric=metric,
            predictor=predictor or self.record.predictor,
            value=value,
            undefined=undefined,
            draws_sd=None,
        )
        derived = replace(self, record=record, resamples=resamples)
        return replace(derived, record=with_interval(record, derived.spread, over))

    @property
    def spread(self) -> Spread | None:
        """The spread of the value over the windows of its session; None without an interval."""
        if self.record.value is None or self.resamples is None:
            return None
        return resample_spread(self.record.value, self.resamples, self.num_blocks)


def with_interval(
    record: EvalRecord, spread: Spread | None, over: str | None, of_runs: Sequence[float] = ()
) -> EvalRecord:
    """Return the record with interval and bias-corrected value; with none where it has no spread.

    Args:
        record: Its value is used.
        spread: Spread of the value; None where it is not known.
        over: What the spread is over, for `interval_over`.
        of_runs: Values of the runs whose mean the value is: their spread is added.
    """
    if spread is not None and of_runs:
        spread = sum_spreads([spread, seed_spread(of_runs)], [1.0, 1.0])
        over = f"{over}{OVER_SEEDS}"
    if record.value is None or spread is None:
        return replace(record, low=None, high=None, interval_over=None, bias_corrected=None)
    low, high = interval(record.value, spread, is_correlation=is_correlation(record.metric))
    return replace(
        record,
        low=low,
        high=high,
        interval_over=over,
        bias_corrected=record.value - spread.bias,
    )
