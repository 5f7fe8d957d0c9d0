"""From groups of columns to normal equations, and to the penalty and the weights that fit best."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from omnimouse_cli.evaluation.baselines.choose import Choice, evenly_spaced
from omnimouse_cli.evaluation.baselines.linear import Part, gram_matrix, make_parts
from omnimouse_cli.evaluation.baselines.problem import Problem
from omnimouse_cli.evaluation.baselines.scaling import ColumnGroups, Scaling
from omnimouse_cli.evaluation.session_reader import F32, F64, I64
from omnimouse_cli.evaluation.targets import WINDOWS_AT_ONCE, Targets

MAX_WINDOW_ROWS = 15_000
MAX_SAMPLE_ROWS = 30_000
SAMPLES_PER_WINDOW = 15
# Rows and values on which penalties are compared.
MAX_CHOICE_ROWS = 4_000
MAX_CHOICE_VALUES = 1_600
# Columns that vary less, relative to the windows of the scaling, are not used.
MIN_STD = 1e-6
# Values of the truth, or of columns of the scored windows, that are in memory at once.
MAX_VALUES = 40_000_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Design:
    """A regression: its columns and what they predict, in training and other windows.

    Args:
        targets: What is predicted.
        groups: What makes its columns.
        choice: Where penalties are chosen.
        grid: int64 `(windows,)`: training windows that are rows, ascending.
        samples: int64 `(samples,)`: target samples of each that are used.
        scaling: Brings the columns to unit variance.
        is_masked: Whether target samples that are inputs too, which are not scored, are left out.
    """

    targets: Targets
    groups: ColumnGroups
    choice: Choice
    grid: I64
    samples: I64
    scaling: Scaling
    is_masked: bool = True

    @classmethod
    def make(
        cls,
        targets: Targets,
        groups: ColumnGroups,
        choice: Choice,
        grid: I64,
        *,
        is_masked: bool = True,
    ) -> "Design":
        """Choose the rows among all training windows, ascending, and fit the scaling to them."""
        if groups.per_sample:
            num_windows = MAX_SAMPLE_ROWS // SAMPLES_PER_WINDOW
            step = max(1, targets.num_samples // SAMPLES_PER_WINDOW)
        else:
            num_windows, step = MAX_WINDOW_ROWS, 1
        grid = evenly_spaced(grid, num_windows)
        samples = np.arange(*targets.samples, step)
        return cls(
            targets=targets,
            groups=groups,
            choice=choice,
            grid=grid,
            samples=samples,
            scaling=Scaling.fit(groups, grid, samples),
            is_masked=is_masked,
        )

    @cached_property
    def columns(self) -> F32:
        """float32 `(rows, columns)`: of the training windows."""
        return self.scaling.columns(self.groups, self.grid, self.samples)

    def column_weights(self, weights: Sequence[float]) -> F32:
        """Return float32 `(columns,)`: the factors of columns for weights of groups."""
        return self.scaling.column_weights(weights) * self._units

    @cached_property
    def _units(self) -> F32:
        # What occurs in few windows may not have been in those that the scaling was fitted to.
        std = self.columns.std(axis=0)
        units = np.divide(1.0, std, out=np.zeros_like(std), where=std > MIN_STD)
        return np.where(self.scaling.are_components, 1.0, units).astype(np.float32)

    @property
    def rows_per_window(self) -> int:
        """Rows of a training window."""
        return len(self.samples) if self.groups.per_sample else 1

    @cached_property
    def num_choice_rows(self) -> int:
        """Rows of training windows that do not overlap with those of the choice."""
        kept = np.searchsorted(self.grid, self.choice.training[-1], side="right")
        return int(kept) * self.rows_per_window

    def _truth(self, grid: I64, outputs: slice, samples: I64) -> F32:
        targets = self.targets
        if self.is_masked:
            values = targets.truth(grid, outputs)
        else:
            values = targets.reader.responses(grid, targets.samples, targets.outputs[outputs])
        return values[:, samples - targets.samples[0]]

    def truth(self, outputs: slice) -> F32:
        """Return float32 `(rows, values)` for some outputs; NaN where it is lost or not scored."""
        parts = []
        for first in range(0, len(self.grid), WINDOWS_AT_ONCE):
            grid = self.grid[first : first + WINDOWS_AT_ONCE]
            values = self._truth(grid, outputs, self.samples)
            parts.append(values.reshape(len(grid) * self.rows_per_window, -1))
        return np.concatenate(parts)

    @cached_property
    def choice_outputs(self) -> slice:
        """Outputs that are compared: not more than a solution of the equations takes quickly."""
        per_output = 1 if self.groups.per_sample else self.targets.num_samples
        step = -(-self.targets.num_outputs * per_output // MAX_CHOICE_VALUES)
        return slice(0, self.targets.num_outputs, max(1, step))

    @cached_property
    def choice_parts(self) -> list[Part]:
        """Equations of the training rows on which a choice is fitted."""
        rows = self.num_choice_rows
        return make_parts(self.columns[:rows], self.truth(self.choice_outputs)[:rows])

    def parts(self, outputs: slice) -> list[Part]:
        """Return the equations of some outputs in all training rows."""
        are_same = outputs == slice(0, self.targets.num_outputs) and self.choice_outputs.step == 1
        if are_same and not self.choice.is_held_out:
            return self.choice_parts
        return make_parts(self.columns, self.truth(outputs), self._gram)

    @cached_property
    def _gram(self) -> F64:
        return gram_matrix(self.columns)

    @cached_property
    def choice_samples(self) -> I64:
        """Target samples of each window that are compared."""
        num_rows = len(self.choice.grid) * self.targets.num_samples
        step = max(1, num_rows // MAX_CHOICE_ROWS) if self.groups.per_sample else 1
        return np.arange(*self.targets.samples, step)

    @cached_property
    def choice_columns(self) -> F32:
        """float32 `(rows, columns)`: of the windows of the choice."""
        return self.scaling.columns(self.groups, self.choice.grid, self.choice_samples)

    @cached_property
    def choice_truth(self) -> F32:
        """float32 `(samples, outputs)`: what was measured in the windows of the choice."""
        truth = self._truth(self.choice.grid, self.choice_outputs, self.choice_samples)
        return truth.reshape(-1, truth.shape[2])

    def scored_columns(self, windows: slice) -> F32:
        """Return float32 `(rows, columns)` of some scored windows."""
        if windows.start not in self._scored:
            grid = self.targets.windows.grid[windows]
            columns = self.scaling.columns(self.groups, grid, np.arange(*self.targets.samples))
            rows = len(self.targets.windows) * (
                self.targets.num_samples if self.groups.per_sample else 1
            )
            if rows * columns.shape[1] > MAX_VALUES:
                return columns
            self._scored[windows.start] = columns
        return self._scored[windows.start]

    @cached_property
    def _scored(self) -> dict[int, F32]:
        return {}

    def problem(self) -> Problem:
        """Return the regression of all columns and outputs."""
        return Problem(
            num_rows=len(self.grid) * self.rows_per_window,
            candidates=self.groups.weights,
            column_weights=self.column_weights,
            choice_parts=self.choice_parts,
            choice_columns=self.choice_columns,
            choice_truth=self.choice_truth,
            parts=self.parts,
            scored_columns=self.scored_columns,
        )
