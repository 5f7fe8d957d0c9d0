"""Reduced-rank ridge regression: neurons are predicted through few shared components."""

from collections.abc import Iterator

import numpy as np

from omnimouse_cli.evaluation.baselines.choose import mean_score
from omnimouse_cli.evaluation.baselines.linear import Equations, Linear
from omnimouse_cli.evaluation.baselines.problem import Problem
from omnimouse_cli.evaluation.baselines.ridge import make_problem
from omnimouse_cli.evaluation.scorer import Piece
from omnimouse_cli.evaluation.session_reader import F32, F64
from omnimouse_cli.evaluation.targets import Targets

RANKS = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
# The best penalty of all ranks is also tried smaller and larger by these factors.
FACTORS = (0.04, 0.2, 1.0, 5.0)


def predict_reduced_rank(targets: Targets, tiers: tuple[str, ...]) -> Iterator[Piece] | str | None:
    """Predict neurons from others through few components of what ridge regression predicts.

    Source: Mukherjee & Zhu, Statistical Analysis and Data Mining 4 (2011).

    Returns:
        The predictions; a reason as for ridge regression; None where responses are not predicted
        from responses at the same time.
    """
    prefix = targets.strategy.prefix
    if targets.is_behavior or prefix is None or prefix[1] <= targets.samples[0]:
        return None
    if targets.visible is not None:
        # Neurons that are inputs in some samples are fitted on other rows than the rest.
        return None
    problem = make_problem(targets, tiers)
    return problem if isinstance(problem, str) else _solve(problem, targets)


def _solve(problem: Problem, targets: Targets) -> Iterator[Piece]:
    chosen = problem.choose()
    penalty, weights = chosen.penalty, problem.column_weights(chosen.weights)
    best = (-np.inf, penalty, 0)
    equations = problem.choice_parts[0].equations
    for factor in FACTORS:
        slope = equations.slope(penalty * factor, weights)
        directions = principal_directions(equations, slope, penalty * factor, weights)
        scores = _score_ranks(problem, equations, slope, directions)
        best = max([best, *((score, penalty * factor, rank) for rank, score in scores)])
    _, penalty, rank = best
    equations = problem.parts(slice(0, targets.num_outputs))[0].equations
    linear = reduced_rank(equations, penalty, weights, rank)
    for windows in targets.window_slices():
        shape = (windows.stop - windows.start, targets.num_samples, targets.num_outputs)
        yield Piece(windows, slice(None), linear(problem.scored_columns(windows)).reshape(shape))


def _score_ranks(
    problem: Problem, equations: Equations, slope: F64, directions: F64
) -> Iterator[tuple[int, float]]:
    """Yield each rank with its score where penalties are compared."""
    full = equations.linear(slope)
    components = (problem.choice_columns @ full.slope + full.offset) - equations.mean_values
    components = components @ directions
    for rank in RANKS:
        if rank <= directions.shape[1]:
            predicted = components[:, :rank] @ directions[:, :rank].T + equations.mean_values
            yield rank, mean_score(problem.choice_truth, predicted.astype(np.float32))


def reduced_rank(equations: Equations, penalty: float, weights: F32, rank: int) -> Linear:
    """Return ridge regression of a rank.

    Args:
        equations: Normal equations.
        penalty: Per row.
        weights: float32 `(columns,)`: factors of the columns.
        rank: Number of components of the predictions.
    """
    slope = equations.slope(penalty, weights)
    directions = principal_directions(equations, slope, penalty, weights)[:, :rank]
    return equations.linear(slope @ directions @ directions.T)


def principal_directions(equations: Equations, slope: F64, penalty: float, weights: F32) -> F64:
    """Return the directions along which the penalized predictions are largest.

    Args:
        equations: Normal equations of `n` rows.
        slope: float64 `(columns, values)`: B of full rank, B = (X'X + n penalty)^-1 X'Y.
        penalty: Per row.
        weights: float32 `(columns,)`: factors of the columns.

    Returns:
        float64 `(values, directions)`, orthonormal: the eigenvectors of B'(X'X + n penalty)B, the
        largest eigenvalue first.
    """
    from scipy.linalg import eigh

    used = np.flatnonzero(weights)
    # Columns with a weight are the columns of a regression whose penalty is the same for all.
    scale = 1.0 / weights[used].astype(np.float64) ** 2
    gram = equations.gram[np.ix_(used, used)].copy()
    gram[np.diag_indices_from(gram)] += penalty * equations.num_rows * scale
    num_columns, num_values = len(used), slope.shape[1]
    if num_values <= num_columns:
        vectors: F64 = eigh(slope[used].T @ (gram @ slope[used]))[1]
        return vectors[:, ::-1]
    factor = np.linalg.cholesky(gram).T @ slope[used]
    left = eigh(factor @ factor.T)[1][:, ::-1]
    directions: F64 = factor.T @ left
    directions /= np.maximum(np.linalg.norm(directions, axis=0), 1e-300)
    return directions
