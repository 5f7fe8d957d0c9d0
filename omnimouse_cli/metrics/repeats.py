"""Samples of repeated stimuli: their sums, and products of different repeats, by time point."""

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.config.data import RESPONSE_RATE_HZ
from omnimouse_cli.metrics.moments import Moments, moments_of
from omnimouse_cli.metrics.resamples import block_numbers

Number = TypeVar("Number", np.float32, np.float64)
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
# Stretches of cells, of 2 s, that alternate between the two halves of the cells.
HALF_CELLS = 60


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RepeatedSamples:
    """Samples that occur in several repeats; a cell is one time point of one stimulus.

    Args:
        cell: int64 `(samples,)`: cell of each; every cell occurs in at least two trials, and in
            each of them once.
        trial: int64 `(samples,)`: trial of each; trials are numbered in the order of their time.
        truth: `(samples, outputs)`: measured responses, without NaN.
        prediction: The same shape.
    """

    cell: I64
    trial: I64
    truth: NDArray[np.floating]
    prediction: NDArray[np.floating]


def complete_cells(samples: RepeatedSamples) -> RepeatedSamples:
    """Return the samples that were measured in all outputs, of cells with at least two of them."""
    measured = ~np.isnan(samples.truth).any(axis=1)
    _, row, count = np.unique(samples.cell[measured], return_inverse=True, return_counts=True)
    kept = np.flatnonzero(measured)[count[row] >= 2]
    if len(kept) == len(measured):
        return samples
    return RepeatedSamples(
        **{one.name: getattr(samples, one.name)[kept] for one in fields(samples)}
    )


class Cells:
    """Samples in the order of their cells, and sums over the samples of each cell.

    Attributes:
        order: int64 `(samples,)`: position of each sample in the given order.
        half: int64 `(samples,)`: 0 or 1, in alternating stretches of cells.
        repeats: Mean number of repeats of a cell.
    """

    def __init__(self, cell: I64, trial: I64) -> None:
        self.order = np.argsort(cell, kind="stable")
        _, self._first, self._row, count = np.unique(
            cell[self.order], return_index=True, return_inverse=True, return_counts=True
        )
        self.repeats = float(count.mean())
        self._count = count[:, None].astype(np.float64)
        self._others = self._count[self._row] - 1
        stretch = max(1, min(HALF_CELLS, len(count) // 2))
        self.half = self._row // stretch % 2
        trial = trial[self.order]
        self._by_unit = np.argsort(trial, kind="stable")
        self._trial_first = np.unique(trial[self._by_unit], return_index=True)[1]

    def mean(self, values: F64) -> F64:
        """Return the mean of each sample's cell: `(samples, outputs)`, like the values."""
        means: F64 = (np.add.reduceat(values, self._first) / self._count)[self._row]
        return means

    def first_trial(self, trial: I64) -> I64:
        """Return the first trial that shows the stimulus of each sample.

        Args:
            trial: int64 `(samples,)`.
        """
        of_cell = np.minimum.reduceat(trial, self._first)[self._row]
        _, row = np.unique(trial, return_inverse=True)
        first = np.full(int(row.max()) + 1, np.iinfo(np.int64).max)
        np.minimum.at(first, row, of_cell)
        return first[row]

    def other_mean(self, values: F64) -> F64:
        """Return the mean of the other repeats of each sample: `(samples, outputs)`."""
        others: F64 = self.mean(values) * (1 + 1 / self._others) - values / self._others
        return others

    def products(self, first: F64, second: F64) -> F64:
        """Return what each sample adds to the sum of products of different repeats.

        The sum over all samples is that, over cells weighted by their samples, of the mean product
        of two different repeats. The sum over the samples of a trial is its derivative by the
        weight of the trial: a sample is in the products of its pairs and, as one of the samples of
        its cell, in the weight of the cell.

        Args:
            first: `(samples, outputs)`.
            second: The same shape.
        """
        both = first * self.other_mean(second)
        both += both if first is second else second * self.other_mean(first)
        both -= self.mean(both) / 2
        return both

    def mean_error(self, first: F64, second: F64) -> F64:
        """Return the covariance of the means over all samples that noise causes: `(outputs,)`.

        The noise may be correlated within a trial, to any degree.
        """
        product = self._trial_noise(first)
        product = product * (product if first is second else self._trial_noise(second))
        error: F64 = product.sum(axis=0) / len(first) ** 2
        return error

    def _trial_noise(self, values: F64) -> F64:
        """Return the sum over each trial of deviations from the cells' means."""
        noise = (values - self.mean(values)) * np.sqrt(1 + 1 / self._others)
        sums: F64 = np.add.reduceat(noise[self._by_unit], self._trial_first)
        return sums
