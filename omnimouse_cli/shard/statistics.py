"""Means and standard deviations of columns, in float64, from blocks of rows."""

import numpy as np
from numpy.typing import NDArray


class ColumnStatistics:
    """Merges blocks of rows pairwise (Chan et al. 1983), so that no precision is lost.

    NaN counts in no column's statistics; rows that should not count are left out by the caller.

    Args:
        num_columns: Columns of every block.
    """

    def __init__(self, num_columns: int) -> None:
        self.counts = np.zeros(num_columns, dtype=np.int64)
        self._means = np.zeros(num_columns)
        self._squares = np.zeros(num_columns)

    def feed(self, rows: NDArray[np.float32]) -> None:
        """Add a block `(rows, columns)`."""
        if rows.shape[0] == 0:
            return
        known = ~np.isnan(rows)
        # Most blocks have no NaN, and masked sums cost twice as much.
        if known.all():
            counts = np.full(rows.shape[1], rows.shape[0])
            means = rows.mean(axis=0, dtype=np.float64)
            centred = rows - means
        else:
            counts = known.sum(axis=0)
            means = np.where(known, rows, 0.0).sum(axis=0, dtype=np.float64) / np.maximum(counts, 1)
            centred = np.where(known, rows - means, 0.0)
        squares = np.einsum("rc,rc->c", centred, centred)
        self.merge(counts, means, squares)

    def merge(
        self, counts: NDArray[np.int64], means: NDArray[np.float64], squares: NDArray[np.float64]
    ) -> None:
        """Add rows of which counts, means and sums of squared deviations are known, per column."""
        total = self.counts + counts
        share = counts / np.maximum(total, 1)
        apart = means - self._means
        self._means += apart * share
        self._squares += squares + apart**2 * self.counts * share
        self.counts = total

    def mean(self) -> NDArray[np.float64]:
        """Mean per column; NaN for a column without a value."""
        return np.where(self.counts > 0, self._means, np.nan)

    def std(self) -> NDArray[np.float64]:
        """Standard deviation (ddof 0) per column; NaN for a column without a value."""
        std = np.sqrt(self._squares / np.maximum(self.counts, 1))
        # A constant column is exactly that, whatever the rounding of its mean has left.
        std[std <= 1e-12 * np.abs(self._means)] = 0.0
        return np.where(self.counts > 0, std, np.nan)
