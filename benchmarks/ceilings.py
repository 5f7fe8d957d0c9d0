"""Whether noise ceilings from repeats are unbiased, and how often their intervals hold the truth.

Signals and noise of known power; neurons that are alike or not; noise that is independent in time
or lasts a second. The prediction is the true signal: CC_norm and FEVE are 1.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from machine import benchmark_parser, chosen_device, write_result
from numpy.typing import NDArray
from scipy.signal import lfilter

from omnimouse_cli.metrics.ceilings import Estimate, RepeatScores, repeat_scores
from omnimouse_cli.metrics.intervals import interval, resample_spread
from omnimouse_cli.metrics.repeats import RepeatedSamples
from omnimouse_cli.metrics.resamples import block_weights

F64 = NDArray[np.float64]
NEURONS, CLIPS, CLIP_SAMPLES = 50, 6, 60
SAMPLES = CLIPS * CLIP_SAMPLES
SHARES = (0.0, 0.02, 0.1)
REPEATS = (3, 5, 10)
# Autocorrelation of noise from one sample of 1/30 s to the next.
KEPT = {"independent": 0.0, "1 s": float(np.exp(-1 / 30))}
POPULATIONS = ("alike", "exponential", "half silent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One kind of recording.

    Args:
        population: How shares of explainable variance are distributed over neurons.
        share: Their mean.
        repeats: Repeats of every clip.
        noise: How long the noise lasts.
    """

    population: str
    share: float
    repeats: int
    noise: str


def cells() -> Iterator[Cell]:
    """Yield the kinds of recordings; slow noise and no signal for neurons that are alike only."""
    for population in POPULATIONS:
        is_alike = population == "alike"
        for share in SHARES if is_alike else SHARES[1:]:
            for noise in KEPT if is_alike else list(KEPT)[:1]:
                for repeats in REPEATS:
                    yield Cell(population=population, share=share, repeats=repeats, noise=noise)


def draw_shares(rng: np.random.Generator, cell: Cell) -> F64:
    """Draw the share of explainable variance of each neuron: `(neurons,)`."""
    if cell.population == "exponential":
        return np.minimum(rng.exponential(cell.share, NEURONS), 0.95)
    shares = np.full(NEURONS, cell.share)
    if cell.population == "half silent":
        shares = np.where(np.arange(NEURONS) % 2, 2 * shares, 0.0)
    return shares


def draw(rng: np.random.Generator, cell: Cell) -> tuple[RepeatScores, dict[str, float]]:
    """Draw a recording; return its estimates and the truth."""
    shares = draw_shares(rng, cell)
    signal = rng.normal(size=(SAMPLES, NEURONS))
    signal = (signal - signal.mean(axis=0)) / signal.std(axis=0) * np.sqrt(shares)
    keep, shape = KEPT[cell.noise], (cell.repeats, CLIPS, CLIP_SAMPLES + 300, NEURONS)
    scale = np.sqrt(1 - keep**2)
    noise = lfilter([scale], [1, -keep], rng.normal(size=shape), axis=2)[:, :, 300:]
    responses = signal + np.sqrt(1 - shares) * noise.reshape(cell.repeats, SAMPLES, NEURONS)
    moment = np.tile(np.arange(SAMPLES), cell.repeats)
    samples = RepeatedSamples(
        cell=moment,
        trial=np.repeat(np.arange(cell.repeats), SAMPLES) * CLIPS + moment // CLIP_SAMPLES,
        truth=responses.reshape(-1, NEURONS),
        prediction=np.tile(signal, (cell.repeats, 1)),
    )
    averaged = shares / (shares + (1 - shares) / cell.repeats)
    others = shares / np.sqrt(shares + (1 - shares) / (cell.repeats - 1))
    truth = {
        "share": float(shares.mean()),
        "ceiling": float(np.sqrt(shares).mean()),
        "cc_max": float(np.sqrt(averaged).mean()),
        "oracle": float(others.mean()),
        "cc_norm": 1.0,
        "feve": 1.0,
    }
    return repeat_scores(samples), truth


def holds(estimate: Estimate, truth: float) -> tuple[bool, bool]:
    """Return whether the interval of an estimate holds the truth, and whether it is above 0."""
    assert estimate.value is not None
    num_units = len(estimate.influence)
    resamples = estimate.value + (block_weights(num_units) - 1) @ estimate.influence
    spread = resample_spread(estimate.value, resamples, num_units)
    assert spread is not None
    low, high = interval(estimate.value, spread)
    return low <= truth <= high, low > 0


def study(cell: Cell, num_draws: int) -> dict[str, Any]:
    """Return mean errors with standard errors, and the coverage of the interval of the share."""
    errors: dict[str, list[float]] = {}
    coverage, shown = [], []
    for seed in range(num_draws):
        found, truth = draw(np.random.default_rng(seed), cell)
        held, is_shown = holds(found.share, truth["share"])
        coverage.append(held)
        shown.append(is_shown)
        # As in `eval`, nothing is divided by a signal power that may be 0.
        divided = {"cc_norm": is_shown, "feve": is_shown and holds(found.reliable, 0.0)[1]}
        for name, value in truth.items():
            estimate = getattr(found, name).value
            if divided.get(name, True) and estimate is not None:
                errors.setdefault(name, []).append(estimate - value)
    return {
        **asdict(cell),
        "coverage": float(np.mean(coverage)),
        "above_0": float(np.mean(shown)),
        "errors": {
            name: {
                "mean": float(np.mean(values)),
                "standard_error": float(np.std(values) / len(values) ** 0.5),
                "draws": len(values),
            }
            for name, values in errors.items()
        },
    }


def main() -> None:
    """Run the study and write its result."""
    parser = benchmark_parser(__doc__ or "")
    parser.add_argument("--draws", type=int, default=40, help="recordings of each kind")
    options = parser.parse_args()
    results = []
    for cell in cells():
        result = study(cell, 3 if options.quick else options.draws)
        results.append(result)
        errors = [
            f"{name} {one['mean']:+.4f}±{one['standard_error']:.4f}"
            for name, one in result["errors"].items()
        ]
        print(cell, f"coverage {result['coverage']:.2f} above 0 {result['above_0']:.2f}", *errors)
    content = {"neurons": NEURONS, "clips": CLIPS, "samples": SAMPLES, "cells": results}
    write_result(options.out, "ceilings", chosen_device("cpu"), content)


if __name__ == "__main__":
    main()
