"""Time intervals of tokens, in whole samples, and which pairs of tokens overlap."""

from typing import NamedTuple

import torch
from torch import Tensor


class Interval(NamedTuple):
    """`tokens` consecutive tokens that span the samples from `start` to before `end`."""

    start: int
    end: int
    tokens: int


Intervals = tuple[Interval, ...]


def overlap(first: Interval, second: Interval) -> bool:
    """Whether tokens of two intervals see each other: neither ends before the other starts."""
    return first.end > second.start and first.start < second.end


def bounds(intervals: Intervals, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the start and the end of each token, int32 `(tokens,)` each."""
    # Repeated on the CPU: a GPU would have to tell the host how many tokens there are.
    runs = torch.tensor(intervals, dtype=torch.int32).reshape(-1, 3)
    tokens = runs[:, :2].T.repeat_interleave(runs[:, 2].long(), dim=1)
    if device.type == "cuda":
        # The host would wait for a copy from memory that is not page-locked.
        tokens = tokens.pin_memory()
    starts, ends = tokens.to(device, non_blocking=True)
    return starts, ends


def visible_pairs(queries: Intervals, keys: Intervals, device: torch.device) -> Tensor:
    """Return which query sees which key: a pair is hidden if one ends before the other starts.

    Returns:
        bool `(query tokens, key tokens)`.

    Example:
        >>> visible_pairs((Interval(0, 10, 1),), (Interval(5, 15, 1), Interval(10, 20, 1)),
        ...               torch.device("cpu"))
        tensor([[ True, False]])
    """
    # Runs are few and tokens many: compare runs, then repeat.
    singles = tuple(run._replace(tokens=1) for run in queries)
    starts_Q, ends_Q = bounds(singles, device)
    starts_K, ends_K = bounds(tuple(run._replace(tokens=1) for run in keys), device)
    visible = ~((ends_K[None] <= starts_Q[:, None]) | (starts_K[None] >= ends_Q[:, None]))
    counts_Q = torch.tensor([run.tokens for run in queries], device=device)
    counts_K = torch.tensor([run.tokens for run in keys], device=device)
    return visible.repeat_interleave(counts_Q, dim=0).repeat_interleave(counts_K, dim=1)


def all_visible(queries: Intervals, keys: Intervals) -> bool:
    """Whether no pair is hidden, so that no mask is needed."""
    return all(
        overlap(key, query) for query in queries for key in keys if query.tokens and key.tokens
    )
