"""Blocks of windows and their resamples: a number recomputed with other weights of the blocks.

The resamples hold what an interval over windows needs: how the number changes with slow waves of
time, and with each block (`intervals.resample_spread`).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.metrics.moments import Moments, correlation

F64 = NDArray[np.float64]
MAX_BLOCKS = 200
MIN_BLOCKS = 20
# Short against the slow states of an animal, so that their autocorrelation is seen.
BLOCK_SECONDS = 2.0
# Student's quantile falls by less than 5 % beyond so many degrees of freedom.
MOST_WAVES = 25
# Outputs whose resampled moments are in memory at once: 250 x 256 x 8 bytes is half a MB an array.
CHUNK_OUTPUTS = 256


def block_numbers(num_windows: int, *, window_step_seconds: float) -> NDArray[np.int64]:
    """Return the block of each window: at most 200 contiguous blocks of about equal size.

    Blocks are about 2 s long, longer in long recordings and shorter where fewer than 20 would
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


def num_waves(num_blocks: int) -> int:
    """Return how many cosines weigh the blocks: at most 25, of at least 4 blocks a period."""
    return min(MOST_WAVES, num_blocks // 2)


def block_weights(num_blocks: int) -> F64:
    """Return the weights of the blocks in every resample; the mean weight of a wave is 1.

    Returns:
        float64 `(resamples, num_blocks)`: 1 plus the cosines with 1, 2, ... half periods in the
        whole time, 1 minus the same, and each block left out once.
    """
    time = (np.arange(num_blocks) + 0.5) / num_blocks
    waves = np.cos(np.pi * np.outer(np.arange(1, num_waves(num_blocks) + 1), time))
    return np.concatenate([1 + waves, 1 - waves, 1 - np.eye(num_blocks)])


def resampled_moments(blocks: Moments, weights: F64) -> Moments:
    """Return the moments of all samples in every resample.

    Args:
        blocks: Moments of shape `(blocks, outputs)`; large populations come in parts
            (`CHUNK_OUTPUTS`).
        weights: From `block_weights`.

    Returns:
        Moments of shape `(resamples, outputs)`; counts are sums of weights.
    """
    total = np.maximum(blocks.count.sum(axis=0), 1.0)
    center_x = (blocks.count * blocks.mean_truth).sum(axis=0) / total
    center_y = (blocks.count * blocks.mean_prediction).sum(axis=0) / total
    # Second moments about the mean of all blocks: about zero they would cancel catastrophically.
    dx, dy = blocks.mean_truth - center_x, blocks.mean_prediction - center_y
    count = weights @ blocks.count
    safe = np.maximum(count, 1e-300)
    shift_x = (weights @ (blocks.count * dx)) / safe
    shift_y = (weights @ (blocks.count * dy)) / safe
    spread_x = weights @ (blocks.spread_truth + blocks.count * dx**2)
    spread_y = weights @ (blocks.spread_prediction + blocks.count * dy**2)
    both = weights @ (blocks.spread_both + blocks.count * dx * dy)
    return Moments(
        count=count,
        mean_truth=center_x + shift_x,
        mean_prediction=center_y + shift_y,
        spread_truth=np.maximum(spread_x - count * shift_x**2, 0.0),
        spread_prediction=np.maximum(spread_y - count * shift_y**2, 0.0),
        spread_both=both - count * shift_x * shift_y,
    )


def resampled_correlations(blocks: Moments, weights: F64) -> F64:
    """Return the mean correlation over outputs in every resample; an undefined one counts as 0.

    Args:
        blocks: Moments of shape `(blocks, outputs)`.
        weights: From `block_weights`.

    Returns:
        float64 `(resamples,)`: outputs weigh by their samples, as in `scores.mean_correlation`.
    """
    weighted, samples = np.zeros(len(weights)), np.zeros(len(weights))
    for part in _chunks(blocks):
        moments = resampled_moments(part, weights)
        weighted += (np.nan_to_num(correlation(moments)) * moments.count).sum(axis=1)
        samples += moments.count.sum(axis=1)
    return weighted / np.maximum(samples, 1e-300)


def resampled_means(sums: F64, counts: F64, weights: F64) -> F64:
    """Return the mean of a quantity (a loss) in every resample, from sums and counts per block."""
    return (weights @ sums) / np.maximum(weights @ counts, 1e-300)


def _chunks(blocks: Moments) -> Iterator[Moments]:
    for first in range(0, blocks.count.shape[1], CHUNK_OUTPUTS):
        yield blocks[:, first : first + CHUNK_OUTPUTS]
