"""Random draws of context neurons: their permutations, and one score over all of them."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from omnimouse_cli.batch.selection import num_visible
from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.records import OVER_WINDOWS, EvalOptions
from omnimouse_cli.evaluation.scored_value import ScoredValue
from omnimouse_cli.evaluation.scorer import PredictorScores
from omnimouse_cli.evaluation.session_reader import F64, I64, SessionReader
from omnimouse_cli.evaluation.targets import Targets, select_targets
from omnimouse_cli.evaluation.windows import EvalWindows
from omnimouse_cli.seeds import derive_seed

# Blocks x neurons x draws whose sums, ten numbers each, are in memory at once.
MOST_BLOCK_VALUES = 8_000_000


def draw_orders(
    strategy: Strategy, *, session: str, num_neurons: int, options: EvalOptions
) -> list[I64 | None]:
    """Return the permutation of the neurons in each draw: the first ones are visible.

    A permutation depends on seed, session and draw alone, so that strategies with and without the
    stimulus have the same context neurons, and 16 of them are among the 64 of the same draw.

    Args:
        strategy: The masking strategy.
        session: Session key.
        num_neurons: Neurons of the session.
        options: `draws` and `seed` are used.

    Returns:
        int64 `(neurons,)` each, visible neurons and others in ascending order; a single None where
        all neurons or none are visible.
    """
    visible = num_visible(strategy, num_neurons)
    if not 0 < visible < num_neurons:
        return [None]
    orders: list[I64 | None] = []
    for draw in range(options.draws):
        generator = np.random.default_rng(derive_seed(options.seed, "draw", session, draw))
        order = generator.permutation(num_neurons)
        orders.append(np.concatenate([np.sort(order[:visible]), np.sort(order[visible:])]))
    return orders


def draws_at_once(num_neurons: int, windows: EvalWindows) -> int:
    """Return how many draws are scored together, so that their sums per block fit in memory."""
    return max(1, MOST_BLOCK_VALUES // max(1, windows.num_blocks * num_neurons))


def draw_targets(
    strategy: Strategy, reader: SessionReader, windows: EvalWindows, options: EvalOptions
) -> Iterator[tuple[Targets, ...]]:
    """Yield the targets of a strategy for each draw of its context neurons.

    Args:
        strategy: The masking strategy.
        reader: The session.
        windows: The windows that are scored.
        options: `draws` and `seed` are used.
    """
    session = reader.session
    orders = draw_orders(
        strategy, session=session.key, num_neurons=session.num_neurons, options=options
    )
    for draw, order in enumerate(orders):
        yield select_targets(strategy, reader, windows, draw=draw, order=order)


def combine_numbers(draws: Sequence[Sequence[ScoredValue]]) -> list[ScoredValue]:
    """Return each value as its mean over draws, with the spread over draws.

    Args:
        draws: The values of each draw, of one strategy.
    """
    by_key: dict[tuple[str, str, str], list[ScoredValue]] = {}
    for number in itertools.chain.from_iterable(draws):
        record = number.record
        by_key.setdefault((record.target, record.metric, record.predictor), []).append(number)
    return [_combine(numbers, len(draws)) for numbers in by_key.values()]


def combine_outputs(draws: Sequence[PredictorScores]) -> tuple[I64, F64]:
    """Return the outputs of any draw, and the mean correlation of each over the draws it is in.

    Args:
        draws: The scores of one predictor in each draw.

    Returns:
        int64 `(outputs,)`, ascending, and float64 `(outputs,)`, NaN where no draw has a value.
    """
    outputs = np.unique(np.concatenate([scores.outputs for scores in draws]))
    total, count = np.zeros(len(outputs)), np.zeros(len(outputs))
    for scores in draws:
        finite = np.isfinite(scores.per_output)
        position = np.searchsorted(outputs, scores.outputs[finite])
        total[position] += scores.per_output[finite]
        count[position] += 1
    mean = np.divide(total, count, out=np.full(len(outputs), np.nan), where=count > 0)
    return outputs, mean


def _combine(numbers: Sequence[ScoredValue], num_draws: int) -> ScoredValue:
    """Return the mean of a value over the draws in which it exists."""
    first = numbers[0]
    outputs = np.unique(np.concatenate([number.outputs for number in numbers]))
    values = [number.record.value for number in numbers if number.record.value is not None]
    resamples = [number.resamples for number in numbers if number.resamples is not None]
    undefined = [n.record.undefined for n in numbers if n.record.undefined is not None]
    # Means over draws are paired where every draw is.
    scored = hashlib.sha256("".join(number.scored for number in numbers).encode()).hexdigest()[:16]
    mean = replace(first, outputs=outputs, scored=scored).derive(
        metric=first.record.metric,
        value=float(np.mean(values)) if values else None,
        resamples=np.mean(resamples, axis=0) if values and len(resamples) == len(values) else None,
        undefined=max(undefined) if undefined else None,
        over=first.record.interval_over or OVER_WINDOWS,
    )
    record = replace(
        mean.record,
        neurons=len(outputs),
        draws=num_draws,
        draws_sd=float(np.std(values, ddof=1)) if len(values) > 1 else None,
    )
    return replace(mean, record=record)
