"""How often 95 % intervals hold the truth, where truth and prediction share slow states.

Autoregressive truth and predictions of a population with states in common; the correlation of an
infinite recording is known. Two predictors that are equally good are compared too: a difference
whose interval excludes 0 is a false claim that one is better.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from machine import benchmark_parser, chosen_device, write_result
from numpy.typing import NDArray
from scipy.signal import lfilter

from omnimouse_cli.metrics.intervals import TIMES_PER_WAVE, interval, resample_spread
from omnimouse_cli.metrics.moments import Moments, merge_blocks
from omnimouse_cli.metrics.resamples import (
    block_numbers,
    block_weights,
    resampled_correlations,
)
from omnimouse_cli.metrics.scores import mean_correlation

F64 = NDArray[np.float64]
DESIGNS = ("all slow", "slow states, fast noise")
TIME_CONSTANTS_SECONDS = (0.3, 3.0, 10.0, 30.0)
# Of 10 seconds.
NUM_BLOCKS = (20, 90)
TRUE_CORRELATION = 0.7
FAST_SECONDS = 0.3
NEURONS, STATES = 10, 2
NUM_DRAWS = 400
SLOW_WAVES = "slow waves"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One kind of recording.

    Args:
        design: `all slow`: everything has the time constant; `slow states, fast noise`: noise of
            single neurons lasts 0.3 s.
        seconds: Length of the recording.
        time_constant: Of the states, in seconds.
    """

    design: str
    seconds: float
    time_constant: float


def cells() -> Iterator[Cell]:
    """Yield all designs, lengths and time constants."""
    for design in DESIGNS:
        for number in NUM_BLOCKS:
            for time_constant in TIME_CONSTANTS_SECONDS:
                yield Cell(design=design, seconds=10.0 * number, time_constant=time_constant)


def autoregressive(
    rng: np.random.Generator, shape: tuple[int, int], seconds: float, step: float
) -> F64:
    """Return stationary series of variance 1: float64 `(samples, series)`."""
    keep = math.exp(-step / seconds)
    noise = rng.standard_normal(shape) * math.sqrt(1 - keep**2)
    noise[0] /= math.sqrt(1 - keep**2)
    series: F64 = lfilter([1.0], [1.0, -keep], noise, axis=0)
    return series


def simulate(rng: np.random.Generator, cell: Cell) -> tuple[F64, F64, F64]:
    """Return responses and two equally good predictions, each float64 `(blocks, samples, neurons)`.

    Seven tenths of the variance of a neuron are those of states in common, which both predictions
    know; half of a prediction's error is that of slow states too.
    """
    fast = cell.time_constant if cell.design == DESIGNS[0] else FAST_SECONDS
    step = min(max(fast / 3, 0.1), 0.5 if cell.time_constant > 1 else 0.1)
    num_samples = round(cell.seconds / step)
    blocks = int(block_numbers(int(cell.seconds), window_step_seconds=1.0)[-1]) + 1

    def noise() -> F64:
        return autoregressive(rng, (num_samples, NEURONS), fast, step)

    def states(mix: F64) -> F64:
        return autoregressive(rng, (num_samples, STATES), cell.time_constant, step) @ mix

    mix = rng.standard_normal((STATES, NEURONS))
    mix /= np.sqrt((mix**2).sum(axis=0))
    known, share = states(mix), TRUE_CORRELATION
    truth = math.sqrt(share) * known + math.sqrt(1 - share) * noise()
    predictions = [
        math.sqrt(share) * known
        + math.sqrt((1 - share) / 2) * states(mix[:, ::-1])
        + math.sqrt((1 - share) / 2) * noise()
        for _ in range(2)
    ]
    kept = num_samples // blocks * blocks
    truth, first, second = (
        series[:kept].reshape(blocks, -1, NEURONS) for series in (truth, *predictions)
    )
    return truth, first, second


def moments_in_blocks(truth: F64, prediction: F64) -> Moments:
    """Return moments `(blocks, neurons)` of series `(blocks, samples, neurons)`."""
    mean_x, mean_y = truth.mean(axis=1), prediction.mean(axis=1)
    dx, dy = truth - mean_x[:, None], prediction - mean_y[:, None]
    return Moments(
        count=np.full(mean_x.shape, float(truth.shape[1])),
        mean_truth=mean_x,
        mean_prediction=mean_y,
        spread_truth=np.einsum("bsn,bsn->bn", dx, dx),
        spread_prediction=np.einsum("bsn,bsn->bn", dy, dy),
        spread_both=np.einsum("bsn,bsn->bn", dx, dy),
    )


class Numbers(NamedTuple):
    """A correlation, or two whose difference is meant, with their moments in blocks.

    Args:
        values: One correlation or two.
        blocks: Moments `(blocks, neurons)` of each.
        rng: For methods that draw.
    """

    values: list[float]
    blocks: list[Moments]
    rng: np.random.Generator

    @property
    def value(self) -> float:
        """The correlation or the difference."""
        return self.values[0] - sum(self.values[1:])

    def resamples(self, weights: F64) -> F64:
        """Return the number with other weights of the blocks: float64 `(resamples,)`."""
        found = [resampled_correlations(blocks, weights) for blocks in self.blocks]
        return found[0] - sum(found[1:])

    @property
    def num_blocks(self) -> int:
        """Blocks in time."""
        return len(self.blocks[0].count)

    @property
    def influence(self) -> F64:
        """Influence of each block on the number, about its mean."""
        influence = self.value - self.resamples(1 - np.eye(self.num_blocks))
        return influence - influence.mean()


def slow_waves(numbers: Numbers) -> tuple[float, float]:
    """Return the interval of this package."""
    num_blocks = numbers.num_blocks
    spread = resample_spread(
        numbers.value, numbers.resamples(block_weights(num_blocks)), num_blocks
    )
    assert spread is not None, "there are enough blocks"
    return interval(numbers.value, spread, is_correlation=len(numbers.values) == 1)


def fixed_blocks(numbers: Numbers) -> tuple[float, float]:
    """Return the basic bootstrap interval over blocks of 10 s, which earlier versions had."""
    num_coarse = NUM_BLOCKS[0] if numbers.num_blocks <= 100 else NUM_BLOCKS[1]
    coarse = np.arange(numbers.num_blocks) * num_coarse // numbers.num_blocks
    draws = numbers.rng.multinomial(num_coarse, np.full(num_coarse, 1 / num_coarse), NUM_DRAWS)
    low, high = np.percentile(numbers.resamples(draws[:, coarse].astype(float)), [2.5, 97.5])
    value = numbers.value
    return min(2 * value - high, value), max(2 * value - low, value)


def circular_blocks(numbers: Numbers) -> tuple[float, float]:
    """Return the percentile interval of a circular block bootstrap of automatic length.

    The length is that for a first-order autoregressive series (Politis and White 2004).
    """
    num_blocks, keep = numbers.num_blocks, _lag_one(numbers.influence)
    optimal = (6 * (keep / (1 - keep**2)) ** 2 * num_blocks) ** (1 / 3)
    length = min(max(math.ceil(optimal), 1), num_blocks // 3)
    starts = numbers.rng.integers(0, num_blocks, (NUM_DRAWS, math.ceil(num_blocks / length)))
    chosen = (starts[:, :, None] + np.arange(length)) % num_blocks
    weights = np.stack([np.bincount(row.ravel(), minlength=num_blocks) for row in chosen])
    low, high = np.percentile(numbers.resamples(weights.astype(float)), [2.5, 97.5])
    return float(low), float(high)


def hac(numbers: Numbers) -> tuple[float, float]:
    """Return value and 1.96 standard errors, of the Bartlett kernel with Andrews' bandwidth (1991).

    The variance is that of the sum of the influences of the blocks (delta method).
    """
    series = numbers.influence
    keep = _lag_one(series)
    bandwidth = 1.1447 * (4 * keep**2 * len(series) / (1 - keep**2) ** 2) ** (1 / 3)
    lags = np.arange(min(int(bandwidth) + 1, len(series)))
    covariance = np.array([series[lag:] @ series[: len(series) - lag] for lag in lags])
    kernel = np.where(lags == 0, 1.0, 2 * np.maximum(1 - lags / max(bandwidth, 1e-9), 0))
    value, half = numbers.value, 1.96 * math.sqrt(max(float(kernel @ covariance), 0.0))
    if len(numbers.values) > 1:
        return value - half, value + half
    middle, half = math.atanh(value), half / (1 - value**2)
    return math.tanh(middle - half), math.tanh(middle + half)


def _lag_one(series: F64) -> float:
    return min(max(float(series[1:] @ series[:-1] / (series @ series)), 0.0), 0.97)


METHODS: dict[str, Callable[[Numbers], tuple[float, float]]] = {
    SLOW_WAVES: slow_waves,
    "10 s blocks": fixed_blocks,
    "circular blocks": circular_blocks,
    "HAC": hac,
}


def study(
    cell: Cell, num_recordings: int, methods: Sequence[str], *, seed: int = 0
) -> dict[str, Any]:
    """Simulate recordings of one kind; return bias, and coverage and false claims of each method.

    Args:
        cell: The kind of recording.
        num_recordings: How many are simulated.
        methods: Names in `METHODS`.
        seed: Of the simulation.
    """
    rng = np.random.default_rng([seed, round(cell.seconds), round(10 * cell.time_constant)])
    found: dict[str, list[tuple[float, ...]]] = {name: [] for name in methods}
    errors = np.zeros((num_recordings, 2))
    for recording in range(num_recordings):
        truth, *predictions = simulate(rng, cell)
        blocks = [moments_in_blocks(truth, prediction) for prediction in predictions]
        values = [mean_correlation(merge_blocks(one))[0] or 0.0 for one in blocks]
        alone, both = Numbers(values[:1], blocks[:1], rng), Numbers(values, blocks, rng)
        resamples = alone.resamples(block_weights(len(truth)))
        spread = resample_spread(values[0], resamples, len(truth))
        assert spread is not None, "there are enough blocks"
        errors[recording] = values[0] - np.array([0.0, spread.bias]) - TRUE_CORRELATION
        for name in methods:
            low, high = METHODS[name](alone)
            least, most = METHODS[name](both)
            is_held, is_better = low <= TRUE_CORRELATION <= high, least > 0 or most < 0
            found[name].append((is_held, is_better, high - low, most - least))
    return {
        **asdict(cell),
        "recordings": num_recordings,
        "bias": dict(zip(("value", "bias_corrected"), errors.mean(axis=0), strict=True)),
        "rms_error": dict(
            zip(("value", "bias_corrected"), np.sqrt((errors**2).mean(axis=0)), strict=True)
        ),
        "methods": {name: _summary(np.array(rows, float)) for name, rows in found.items()},
    }


def _summary(rows: F64) -> dict[str, float]:
    return {
        "coverage": float(rows[:, 0].mean()),
        "false_better": float(rows[:, 1].mean()),
        "median_width": float(np.median(rows[:, 2])),
        "median_width_of_difference": float(np.median(rows[:, 3])),
    }


def main() -> None:
    """Run the study and write its result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--recordings", type=int, default=500, help="per kind of recording")
    options = parser.parse_args()
    num_recordings = 10 if options.quick else options.recordings
    results = []
    for cell in cells():
        result = study(cell, num_recordings, (SLOW_WAVES,))
        # The others are far off; fewer recordings show it.
        others = [name for name in METHODS if name != SLOW_WAVES]
        result["methods"] |= study(cell, num_recordings // 2, others)["methods"]
        results.append(result)
        rates = [
            f"{name} {one['coverage']:.3f} {one['false_better']:.3f}"
            for name, one in result["methods"].items()
        ]
        print(cell.design, f"{cell.seconds:g} s, {cell.time_constant:g} s:", "; ".join(rates))
    content = {
        "true_correlation": TRUE_CORRELATION,
        "neurons": NEURONS,
        "times_per_wave": TIMES_PER_WAVE,
        "recordings_of_other_methods": num_recordings // 2,
        "cells": results,
    }
    write_result(options.out, "intervals", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
