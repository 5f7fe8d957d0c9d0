"""Ridge regression on the inputs of a strategy: the linear model that a network has to beat."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from omnimouse_cli.batch.strategy import Strategy
from omnimouse_cli.evaluation.baselines.choose import find_choice, make_choice, training_windows
from omnimouse_cli.evaluation.baselines.linear import Part, fit_parts
from omnimouse_cli.evaluation.baselines.problem import Problem
from omnimouse_cli.evaluation.baselines.regression import MAX_VALUES, Design
from omnimouse_cli.evaluation.baselines.ridge_features import MAX_NEURONS, RESPONSE_LAGS, Features
from omnimouse_cli.evaluation.baselines.search import Best
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, SessionReader
from omnimouse_cli.evaluation.targets import Targets
from omnimouse_cli.evaluation.windows import EvalWindows


def predict_ridge(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str:
    """Fit on training windows and predict the scored ones.

    Source: Hoerl & Kennard, Technometrics 12 (1970).

    Returns:
        The predictions; a reason where the training tiers are too short or scikit-learn is missing.
    """
    problem = make_problem(targets, tiers)
    return problem if isinstance(problem, str) else solve_ridge(problem, targets)


def make_problem(targets: Targets, tiers: tuple[str, ...]) -> Problem | str:
    """Return the regression on the inputs of a strategy, or the reason why there is none."""
    choice = find_choice(targets, tiers)
    if isinstance(choice, str):
        return choice
    if _is_draw(targets):
        number = targets.reader.session.num_neurons
        whole = replace(
            targets.strategy,
            name="all",
            num_visible=number,
            num_targets=number,
            literal_counts=True,
        )
        design = _population_design(targets.reader, targets.windows, whole, tiers)
        return _take_draw(design, targets)
    grid = training_windows(targets.reader, tiers)
    features = Features(targets=targets, training=grid)
    return Design.make(targets, features, choice, grid).problem()


def solve_ridge(problem: Problem, targets: Targets, best: Best | None = None) -> Iterator[Piece]:
    """Fit all outputs and predict them in the scored windows.

    Args:
        problem: The regression.
        targets: What is predicted.
        best: Penalty and weights; None chooses them.
    """
    best = best or problem.choose()
    penalty, weights = best.penalty, problem.column_weights(best.weights)
    # All outputs at once would need their truth in memory at once.
    chunk = max(1, MAX_VALUES // (problem.num_rows * problem.values_per_output))
    for first in range(0, targets.num_outputs, chunk):
        outputs = slice(first, min(first + chunk, targets.num_outputs))
        count = outputs.stop - first
        num_values = count * problem.values_per_output
        linear = fit_parts(problem.parts(outputs), num_values, penalty, weights)
        for windows in targets.window_slices():
            shape = (windows.stop - windows.start, targets.num_samples, count)
            yield Piece(windows, outputs, linear(problem.scored_columns(windows)).reshape(shape))


def _is_draw(targets: Targets) -> bool:
    """Return whether some neurons predict the others, so that all draws share their products."""
    strategy, selection = targets.strategy, targets.selection
    return (
        not targets.is_behavior
        and strategy.prefix is not None
        and strategy.num_visible is not None
        and strategy.full_population_prefix == 0
        and strategy.prefix[1] > targets.samples[0]
        and selection.num_shared == 0
        and targets.reader.session.num_neurons <= MAX_NEURONS
    )


# Rows with and without the stimulus alternate.
@lru_cache(maxsize=2)
def _population_design(
    reader: SessionReader, windows: EvalWindows, whole: Strategy, tiers: tuple[str, ...]
) -> Design:
    """Return the regression of all neurons on all neurons, of which draws are parts."""
    targets = Targets(strategy=whole, reader=reader, windows=windows, is_behavior=False)
    choice = make_choice(targets, tiers)
    assert choice is not None, "there are training windows"
    grid = training_windows(reader, tiers)
    features = Features(targets=targets, training=grid)
    return Design.make(targets, features, choice, grid, is_masked=False)


def _take_draw(design: Design, targets: Targets) -> Problem:
    """Return the regression of the target neurons on the visible ones.

    Args:
        design: Of all neurons.
        targets: Of the draw.
    """
    num_neurons = targets.reader.session.num_neurons
    visible = targets.selection.visible[0].numpy()
    lagged = visible + num_neurons * np.arange(len(RESPONSE_LAGS))[:, None]
    num_lagged = num_neurons * len(RESPONSE_LAGS)
    num_columns = design.choice_columns.shape[1]
    columns = np.concatenate([lagged.reshape(-1), np.arange(num_lagged, num_columns)])
    whole = design.problem()

    def take(parts: Sequence[Part], outputs: slice = slice(None)) -> list[Part]:
        values = targets.outputs[outputs]
        return [
            Part(np.arange(len(values)), part.equations.take(columns, values)) for part in parts
        ]

    def scored_columns(windows: slice) -> F32:
        return whole.scored_columns(windows)[:, columns]

    everything = slice(0, num_neurons)
    return replace(
        whole,
        column_weights=lambda weights: whole.column_weights(weights)[columns],
        choice_parts=take(design.choice_parts),
        choice_columns=whole.choice_columns[:, columns],
        choice_truth=whole.choice_truth[:, targets.outputs],
        parts=lambda outputs: take(design.parts(everything), outputs),
        scored_columns=scored_columns,
    )
