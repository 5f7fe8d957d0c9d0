"""A regression ready to be solved: its equations, and where its fits are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omnimouse_cli.evaluation.baselines.choose import mean_score
from omnimouse_cli.evaluation.baselines.linear import Part, fit_parts
from omnimouse_cli.evaluation.baselines.search import Best, search
from omnimouse_cli.evaluation.session_reader import F32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """A regression ready to be solved: equations, and columns to predict from.

    Args:
        num_rows: Training rows.
        candidates: For each group of columns the weights to choose from.
        column_weights: Returns the weights of columns from those of groups.
        choice_parts: Equations on which a choice is fitted.
        choice_columns: float32 `(rows, columns)`: where fits are compared.
        choice_truth: float32 `(samples, outputs)`: what was measured there.
        parts: Returns the equations of some outputs in all training rows.
        scored_columns: Returns the columns of a slice of the scored windows.
    """

    num_rows: int
    candidates: Sequence[tuple[float, ...]]
    column_weights: Callable[[Sequence[float]], F32]
    choice_parts: Sequence[Part]
    choice_columns: F32
    choice_truth: F32
    parts: Callable[[slice], Sequence[Part]]
    scored_columns: Callable[[slice], F32]

    @property
    def values_per_output(self) -> int:
        """Values of each output in a row: 1, or the target samples of a window."""
        return len(self.choice_truth) // len(self.choice_columns)

    def choose(self) -> Best:
        """Return the penalty and the weights of groups that predict best."""
        num_values = self.choice_truth.shape[1] * self.values_per_output

        def score_of(penalty: float, weights: tuple[float, ...]) -> float:
            linear = fit_parts(self.choice_parts, num_values, penalty, self.column_weights(weights))
            return mean_score(self.choice_truth, linear(self.choice_columns))

        return search(score_of, self.candidates)
