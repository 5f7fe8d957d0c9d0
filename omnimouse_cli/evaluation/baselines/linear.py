"""Ridge regression by its normal equations, from which any columns and values can be taken."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from omnimouse_cli.evaluation.session_reader import F32, F64, I64

ROWS_AT_ONCE = 4096
# A Gram matrix of float32 columns may have eigenvalues this far below 0, relative to its largest.
ROUNDING = 1e-7


class Linear(NamedTuple):
    """A linear function of columns.

    Args:
        slope: float32 `(columns, values)`.
        offset: float32 `(values,)`.
    """

    slope: F32
    offset: F32

    def __call__(self, columns: F32) -> F32:
        """Return float32 `(rows, values)`."""
        result: F32 = columns @ self.slope + self.offset
        return result


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Equations:
    """The normal equations of a linear regression, centered.

    Args:
        num_rows: Rows of the regression.
        mean_columns: float64 `(columns,)`.
        mean_values: float64 `(values,)`.
        gram: float64 `(columns, columns)`: products of the centered columns.
        products: float64 `(columns, values)`: products of centered columns and values.
    """

    num_rows: int
    mean_columns: F64
    mean_values: F64
    gram: F64
    products: F64

    @classmethod
    def of(cls, columns: F32, values: F32, gram: F64 | None = None) -> "Equations":
        """Sum the products of rows.

        Args:
            columns: float32 `(rows, columns)`.
            values: float32 `(rows, values)`, without NaN.
            gram: As `gram_matrix` of the columns returns it; None computes it.
        """
        mean_columns = columns.mean(axis=0, dtype=np.float64)
        mean_values = values.mean(axis=0, dtype=np.float64)
        products = np.zeros((columns.shape[1], values.shape[1]))
        for first in range(0, len(columns), ROWS_AT_ONCE):
            x = columns[first : first + ROWS_AT_ONCE] - mean_columns.astype(np.float32)
            y = values[first : first + ROWS_AT_ONCE] - mean_values.astype(np.float32)
            products += x.T @ y
        return cls(
            num_rows=len(columns),
            mean_columns=mean_columns,
            mean_values=mean_values,
            gram=gram_matrix(columns) if gram is None else gram,
            products=products,
        )

    def take(self, columns: I64, values: I64) -> "Equations":
        """Return the equations of some columns and values."""
        return Equations(
            num_rows=self.num_rows,
            mean_columns=self.mean_columns[columns],
            mean_values=self.mean_values[values],
            gram=self.gram[np.ix_(columns, columns)],
            products=self.products[np.ix_(columns, values)],
        )

    def slope(self, penalty: float, weights: F32) -> F64:
        """Return the slope of ridge regression: float64 `(columns, values)`.

        Args:
            penalty: Per row.
            weights: float32 `(columns,)`: factors of the columns; the slope is that of columns
                without them.
        """
        from scipy.linalg import cho_factor, cho_solve

        used = np.flatnonzero(weights)
        scale = weights[used].astype(np.float64)
        penalized = self.gram[np.ix_(used, used)] * scale[:, None] * scale
        rounding = ROUNDING * float(penalized.diagonal().max(initial=0.0))
        penalized[np.diag_indices_from(penalized)] += penalty * self.num_rows + rounding
        factor = cho_factor(penalized, lower=True, overwrite_a=True, check_finite=False)
        solved = cho_solve(factor, self.products[used] * scale[:, None], check_finite=False)
        slope = np.zeros_like(self.products)
        slope[used] = scale[:, None] * solved
        return slope

    def linear(self, slope: F64) -> Linear:
        """Return the linear function of a slope, with the offset that fits the means."""
        offset = self.mean_values - self.mean_columns @ slope
        return Linear(slope.astype(np.float32), offset.astype(np.float32))


def gram_matrix(columns: F32) -> F64:
    """Return the products of centered columns: float64 `(columns, columns)`."""
    mean = columns.mean(axis=0, dtype=np.float64).astype(np.float32)
    gram = np.zeros((columns.shape[1], columns.shape[1]))
    for first in range(0, len(columns), ROWS_AT_ONCE):
        x = columns[first : first + ROWS_AT_ONCE] - mean
        gram += x.T @ x
    return gram


class Part(NamedTuple):
    """Values that are known in the same rows.

    Args:
        values: What selects the values.
        equations: Of those rows and values.
    """

    values: Any
    equations: Equations


def make_parts(columns: F32, truth: F32, gram: F64 | None = None) -> list[Part]:
    """Return equations for each group of values that are known in the same rows.

    The channels of a device are lost together. Values without a row are left out.

    Args:
        columns: float32 `(rows, columns)`.
        truth: float32 `(rows, values)`, NaN where it is lost or not scored.
        gram: As `gram_matrix` of the columns returns it; None computes it.
    """
    known = ~np.isnan(truth)
    if known.all():
        return [Part(np.arange(truth.shape[1]), Equations.of(columns, truth, gram))]
    patterns, number = np.unique(known, axis=1, return_inverse=True)
    parts = []
    for position, rows in enumerate(patterns.T):
        values = np.flatnonzero(number.reshape(-1) == position)
        if rows.all():
            parts.append(Part(values, Equations.of(columns, truth[:, values], gram)))
        elif rows.any():
            equations = Equations.of(columns[rows], truth[np.ix_(np.flatnonzero(rows), values)])
            parts.append(Part(values, equations))
    return parts


def fit_parts(parts: Sequence[Part], num_values: int, penalty: float, weights: F32) -> Linear:
    """Return the ridge regression of all values; one without a row is predicted to be 0.

    Args:
        parts: Equations of groups of values.
        num_values: Number of all values.
        penalty: Per row.
        weights: float32 `(columns,)`: factors of the columns.
    """
    slope = np.zeros((len(weights), num_values), np.float32)
    offset = np.zeros(num_values, np.float32)
    for values, equations in parts:
        slope[:, values], offset[values] = equations.linear(equations.slope(penalty, weights))
    return Linear(slope, offset)
