"""Repeats of a stimulus: correlation of the mean prediction with the mean response."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.metrics.moments import Moments, moments_of
from omnimouse_cli.metrics.resamples import block_numbers

Number = TypeVar("Number", np.float32, np.float64)


class RepeatSums:
    """Sums over repeats per cell, a cell being one time point of one stimulus.

    Args:
        num_cells: Number of cells.
        num_outputs: Number of neurons.
    """

    def __init__(self, num_cells: int, num_outputs: int) -> None:
        self.count = np.zeros((num_cells, num_outputs))
        self.truth = np.zeros((num_cells, num_outputs))
        self.prediction = np.zeros((num_cells, num_outputs))

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
        x, y = truth[kept].astype(np.float64), prediction[kept].astype(np.float64)
        measured = ~np.isnan(x)
        if not measured.all():
            x, y = np.where(measured, x, 0.0), np.where(measured, y, 0.0)
        for total, values in (
            (self.count, measured.astype(np.float64)),
            (self.truth, x),
            (self.prediction, y),
        ):
            numbers, sums = sum_by_cell(cells[kept], values)
            total[numbers, outputs] += sums


def sum_by_cell(
    cells: NDArray[np.int64], values: NDArray[Number]
) -> tuple[NDArray[np.int64], NDArray[Number]]:
    """Sum the samples of each cell.

    Args:
        cells: `(samples,)`, at least one.
        values: `(samples, outputs)`.

    Returns:
        The numbers of the cells, ascending, and the sum of each: `(cells, outputs)`.

    Example:
        >>> sum_by_cell(np.array([7, 2, 7]), np.array([[1.0], [5.0], [3.0]]))
        (array([2, 7]), array([[5.],
               [4.]]))
    """
    order = np.argsort(cells, kind="stable")
    numbers, first = np.unique(cells[order], return_index=True)
    return numbers, np.add.reduceat(values[order], first, axis=0)


def average_moments(sums: RepeatSums) -> Moments | None:
    """Return the moments of mean response and mean prediction over repeated cells.

    Their correlation is the correlation to the average (Sensorium's metric).

    Args:
        sums: Cells in the order of time within each stimulus.

    Returns:
        Moments of shape `(blocks, outputs)`: blocks of 2 s of successive cells, whose resamples
        give an interval over stimuli; None without repeats.
    """
    repeated = sums.count >= 2
    if not (repeated.sum(axis=0) >= 2).any():
        return None
    count = np.maximum(sums.count, 1.0)
    response, prediction = np.where(repeated, sums.truth / count, np.nan), sums.prediction / count
    number = block_numbers(len(count), window_step_seconds=1 / RESPONSE_RATE_HZ)
    blocks = Moments.zeros((int(number[-1]) + 1, count.shape[1]))
    for block in range(len(blocks.count)):
        chosen = number == block
        blocks.add(block, moments_of(response[chosen], prediction[chosen]))
    return blocks
