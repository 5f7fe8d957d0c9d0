"""Search for the penalty of a regression, and for the weights of groups of its columns."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

# Penalties per row of a regression, for columns of unit variance.
PENALTIES = (1e-3, 0.03, 1.0, 30.0, 1000.0)
# The best of them is also tried smaller and larger by this factor.
FINER = 5.0


class Best(NamedTuple):
    """The result of a search.

    Args:
        penalty: Per row of a regression.
        weights: Weight of each group of columns.
        score: What they reach.
    """

    penalty: float
    weights: tuple[float, ...]
    score: float


def search(
    score_of: Callable[[float, tuple[float, ...]], float], weights: Sequence[tuple[float, ...]]
) -> Best:
    """Choose a penalty, then a weight for each group of columns.

    Args:
        score_of: Scores a penalty and the weights of groups.
        weights: For each group the weights to choose from; the first is that of the first search.

    """
    chosen = tuple(candidates[0] for candidates in weights)
    if not any(chosen):
        chosen = tuple(candidates[-1] for candidates in weights)
    tried = {(penalty, chosen): score_of(penalty, chosen) for penalty in PENALTIES}
    best = max(tried, key=lambda key: tried[key])
    for penalty in (best[0] / FINER, best[0] * FINER):
        tried[penalty, chosen] = score_of(penalty, chosen)
    best = max(tried, key=lambda key: tried[key])
    for group, candidates in enumerate(weights):
        for weight in candidates:
            for penalty in (best[0], best[0] * FINER):
                key = (penalty, (*best[1][:group], weight, *best[1][group + 1 :]))
                if key not in tried and any(key[1]):
                    tried[key] = score_of(*key)
        best = max(tried, key=lambda key: tried[key])
    return Best(*best, tried[best])
