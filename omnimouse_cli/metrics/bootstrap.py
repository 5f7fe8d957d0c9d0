"""95 % intervals over windows by the block bootstrap: blocks of windows are resampled."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.metrics.intervals import percentile_interval
from omnimouse_cli.metrics.moments import CONSTANT_RELATIVE_STD, Moments

NUM_RESAMPLES = 2000
MAX_BLOCKS = 100
MIN_BLOCKS = 20
# Slow states of an animal last seconds: blocks of this length are nearly independent.
BLOCK_SECONDS = 10.0
# With fewer blocks there is no interval.
FEWEST_BLOCKS = 5
# Neurons whose resampled moments are in memory at once: 2000 x 256 x 8 bytes is 4 MB an array.
CHUNK_OUTPUTS = 256


def block_numbers(num_windows: int, *, window_step_seconds: float) -> NDArray[np.int64]:
    """Return the block of each window: at most 100 contiguous blocks of about equal size.

    Blocks are about 10 s long, longer in long recordings and shorter where fewer than 20 would
    remain.

    Args:
        num_windows: Windows in the order of their time.
        window_step_seconds: Time from one window to the next.

    Example:
        >>> block_numbers(6, window_step_seconds=1.0).tolist()
        [0, 1, 2, 3, 4, 5]
    """
    num_blocks = int(num_windows * window_step_seconds / BLOCK_SECONDS)
    # Windows that lie further apart than a block is long are blocks of their own.
    num_blocks = min(max(num_blocks, MIN_BLOCKS), MAX_BLOCKS, num_windows)
    return np.arange(num_windows, dtype=np.int64) * num_blocks // max(num_windows, 1)


def draw_resamples(
    num_blocks: int, *, seed: int, num_resamples: int = NUM_RESAMPLES
) -> NDArray[np.float64]:
    """Draw how often each block occurs in each resample; equal seeds give equal resamples.

    Returns:
        float64 `(num_resamples, num_blocks)`, rows sum to `num_blocks`.
    """
    generator = np.random.default_rng(seed)
    shares = np.full(num_blocks, 1.0 / num_blocks)
    return generator.multinomial(num_blocks, shares, size=num_resamples).astype(np.float64)


def resampled_correlations(blocks: Moments, draws: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the session's mean correlation in every resample.

    Args:
        blocks: Moments of shape `(blocks, outputs)`.
        draws: From `draw_resamples`.

    Returns:
        float64 `(num_resamples,)`.
    """
    num_outputs = blocks.count.shape[1]
    weighted = np.zeros(len(draws))
    samples = np.zeros(len(draws))
    for first in range(0, num_outputs, CHUNK_OUTPUTS):
        part = blocks[:, first : first + CHUNK_OUTPUTS]
        correlations, counts = _correlations_per_output(part, draws)
        weighted += (correlations * counts).sum(axis=1)
        samples += counts.sum(axis=1)
    return weighted / np.maximum(samples, 1.0)


def resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], draws: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean of a quantity (a loss) in every resample, from sums and counts per block."""
    return (draws @ sums) / np.maximum(draws @ counts, 1e-300)


def interval(
    value: float | None, resamples: NDArray[np.float64], *, num_blocks: int
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a value; `(None, None)` with too few blocks.

    It is the basic bootstrap interval: the quantiles of the resamples are mirrored at the value.
    Mirroring removes the bias that slow or rare activity gives to correlations of short
    recordings, which percentiles would double. Where the bias exceeds the spread of the resamples,
    the interval is widened to contain the value.

    Args:
        value: The value over all windows.
        resamples: float64 `(num_resamples,)`: the value in every resample.
        num_blocks: Number of blocks.
    """
    finite = resamples[np.isfinite(resamples)]
    if value is None or num_blocks < FEWEST_BLOCKS or len(finite) < len(resamples) // 2:
        return None, None
    low, high = percentile_interval(finite)
    return min(2 * value - high, value), max(2 * value - low, value)


def _correlations_per_output(
    blocks: Moments, draws: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return correlations, 0 where undefined, and counts, each `(num_resamples, outputs)`."""
    count, mean_x, mean_y, sum_xx, sum_yy, sum_xy = _raw_sums(blocks)
    total = draws @ count
    safe = np.maximum(total, 1.0)
    shift_x, shift_y = (draws @ (count * mean_x)) / safe, (draws @ (count * mean_y)) / safe
    spread_x = draws @ sum_xx - total * shift_x**2
    spread_y = draws @ sum_yy - total * shift_y**2
    both = draws @ sum_xy - total * shift_x * shift_y
    center_x, center_y = _means(blocks)
    floor_x = safe * (CONSTANT_RELATIVE_STD * (center_x + shift_x)) ** 2
    floor_y = safe * (CONSTANT_RELATIVE_STD * (center_y + shift_y)) ** 2
    exists = (spread_x > floor_x) & (spread_y > floor_y)
    scale = np.sqrt(np.where(exists, spread_x, 1.0)) * np.sqrt(np.where(exists, spread_y, 1.0))
    return np.where(exists, np.clip(both / scale, -1.0, 1.0), 0.0), total


def _raw_sums(blocks: Moments) -> Iterator[NDArray[np.float64]]:
    # Second moments about the mean of all blocks: about zero they would cancel catastrophically.
    center_x, center_y = _means(blocks)
    dx, dy = blocks.mean_truth - center_x, blocks.mean_prediction - center_y
    yield blocks.count
    yield dx
    yield dy
    yield blocks.spread_truth + blocks.count * dx**2
    yield blocks.spread_prediction + blocks.count * dy**2
    yield blocks.spread_both + blocks.count * dx * dy


def _means(blocks: Moments) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    total = np.maximum(blocks.count.sum(axis=0), 1.0)
    return (
        (blocks.count * blocks.mean_truth).sum(axis=0) / total,
        (blocks.count * blocks.mean_prediction).sum(axis=0) / total,
    )
