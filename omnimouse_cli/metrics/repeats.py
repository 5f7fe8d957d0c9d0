"""Repeats of a stimulus: correlation to the average response, and the noise ceiling."""

import numpy as np
from numpy.typing import NDArray


class RepeatSums:
    """Sums over repeats per cell, a cell being one moment of one stimulus.

    Args:
        num_cells: Number of cells.
        num_outputs: Number of neurons.
    """

    def __init__(self, num_cells: int, num_outputs: int) -> None:
        self.count = np.zeros((num_cells, num_outputs))
        self.truth = np.zeros((num_cells, num_outputs))
        self.prediction = np.zeros((num_cells, num_outputs))
        self.truth_squared = np.zeros((num_cells, num_outputs))

    def add(
        self,
        cells: NDArray[np.int64],
        truth: NDArray[np.floating],
        prediction: NDArray[np.floating],
        outputs: slice = slice(None),
    ) -> None:
        """Add samples; one whose truth is NaN was not measured and is excluded.

        Args:
            cells: `(samples,)`; negative cells are excluded.
            truth: `(samples, outputs)`.
            prediction: The same shape.
            outputs: Which outputs the columns are.
        """
        kept = cells >= 0
        if not kept.any():
            return
        order = np.argsort(cells[kept], kind="stable")
        numbers, first = np.unique(cells[kept][order], return_index=True)
        x = truth[kept][order].astype(np.float64)
        y = prediction[kept][order].astype(np.float64)
        measured = ~np.isnan(x)
        if not measured.all():
            x, y = np.where(measured, x, 0.0), np.where(measured, y, 0.0)
        self.count[numbers, outputs] += np.add.reduceat(measured.astype(np.float64), first, axis=0)
        self.truth[numbers, outputs] += np.add.reduceat(x, first, axis=0)
        self.prediction[numbers, outputs] += np.add.reduceat(y, first, axis=0)
        self.truth_squared[numbers, outputs] += np.add.reduceat(x * x, first, axis=0)


def correlation_to_average(sums: RepeatSums) -> NDArray[np.float64] | None:
    """Correlate each neuron's mean prediction with its mean response, over repeated cells.

    Returns:
        float64 `(outputs,)`, NaN where one of the two is constant; None without repeats.
    """
    repeated = sums.count >= 2
    cells = repeated.sum(axis=0)
    if not (cells >= 2).any():
        return None
    count = np.maximum(sums.count, 1.0)
    x, dx = _centered(sums.truth / count, repeated, cells)
    y, dy = _centered(sums.prediction / count, repeated, cells)
    scale = np.sqrt((dx**2).sum(axis=0)) * np.sqrt((dy**2).sum(axis=0))
    # Below this, what is left of the deviations is rounding.
    floor = 1e-12 * np.abs(x).max(axis=0) * np.abs(y).max(axis=0) * np.maximum(cells, 1)
    result: NDArray[np.float64] = np.divide(
        (dx * dy).sum(axis=0), scale, out=np.full(scale.shape, np.nan), where=scale > floor
    )
    return result


def repeat_ceiling(sums: RepeatSums) -> NDArray[np.float64] | None:
    """Return the single-trial correlation that the true mean response to the stimulus would reach.

    It is the square root of the share of variance that repeats explain: the variance of all samples
    less the variance within cells. It bounds predictors that see the stimulus alone; with responses
    or behavior as inputs the correlation may be higher.

    Returns:
        float64 `(outputs,)`, 0 where repeats share nothing, NaN for a constant neuron; None
        without repeats.
    """
    repeated = sums.count >= 2
    if not (repeated.sum(axis=0) >= 2).any():
        return None
    count = np.where(repeated, sums.count, 0.0)
    total = np.where(repeated, sums.truth, 0.0)
    squares = np.where(repeated, sums.truth_squared, 0.0)
    between = (total**2 / np.maximum(count, 1.0)).sum(axis=0)
    freedom = np.maximum((count - repeated).sum(axis=0), 1.0)
    within = (squares.sum(axis=0) - between) / freedom
    samples = np.maximum(count.sum(axis=0), 1.0)
    mean = total.sum(axis=0) / samples
    variance = squares.sum(axis=0) / samples - mean**2
    alive = variance > 1e-12 * np.maximum(mean**2, 1e-300)
    share = np.divide(variance - within, variance, out=np.full(variance.shape, np.nan), where=alive)
    ceiling: NDArray[np.float64] = np.sqrt(np.clip(share, 0.0, 1.0))
    return ceiling


def _centered(
    values: NDArray[np.float64], used: NDArray[np.bool_], cells: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return values with unused cells at 0, and deviations from the mean over used cells."""
    kept = np.where(used, values, 0.0)
    mean = kept.sum(axis=0) / np.maximum(cells, 1)
    return kept, np.where(used, kept - mean, 0.0)
