"""The table that a scaling law is fitted to: one row per finished run, and what was left out."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Values of one design level differ a little (neurons per session, rounding to whole batches).
SAME_LEVEL = 1.1
MIN_NOISE_FREEDOM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One finished run.

    Args:
        run: Name; rows of one name are resampled together.
        source: File, and line or folder, that the numbers come from.
        parameters: The count that the law is fitted in.
        tokens: Unique tokens (neuron-samples) that the run was trained on.
        loss: Validation loss, above zero.
        seed: Of the training.
        split: What the loss was measured on.
        metric: What the loss is.
        compute: Floating-point operations of the training.
        tokens_seen: Tokens with repetitions.
        epochs: Passes over the unique tokens.
        parameters_core: Parameters that all animals share.
        parameters_tables: Parameters of neuron and session tables.
    """

    run: str
    source: str
    parameters: float
    tokens: float
    loss: float
    seed: int | None = None
    split: str | None = None
    metric: str | None = None
    compute: float | None = None
    tokens_seen: float | None = None
    epochs: float | None = None
    parameters_core: float | None = None
    parameters_tables: float | None = None

    def __post_init__(self) -> None:
        """Refuse what has no logarithm."""
        for name in ("parameters", "tokens", "loss"):
            require_number(name, getattr(self, name))
        for name in ("compute", "tokens_seen", "epochs"):
            if getattr(self, name) is not None:
                require_number(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A row that cannot be used, and why."""

    run: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """What is fitted.

    Args:
        title: Where the rows come from.
        rows: Usable rows.
        left_out: The others.
        counted: Which parameters count, in words.
        notes: What the reader of the report has to know about the numbers.
    """

    title: str
    rows: tuple[Row, ...]
    left_out: tuple[LeftOut, ...] = ()
    counted: str = "parameters"
    notes: tuple[str, ...] = ()


def require_number(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`{name}` must be a number: {value!r}")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"`{name}` must be a finite number above zero: {value:g}")


def column(rows: Sequence[Row], name: str) -> Array:
    """Give one numeric column, NaN where a row has no value."""
    values = [getattr(row, name) for row in rows]
    return np.array([math.nan if value is None else value for value in values], dtype=float)


def logarithms(rows: Sequence[Row]) -> Array:
    """Give ln parameters and ln tokens, (rows, 2)."""
    return np.log(np.stack([column(rows, "parameters"), column(rows, "tokens")], axis=1))


def levels(values: Array) -> list[float]:
    """Give the distinct values, ascending; neighbours within 10 % are one level."""
    found: list[list[float]] = []
    for value in sorted(values.tolist()):
        if found and value <= found[-1][0] * SAME_LEVEL:
            found[-1].append(value)
        else:
            found.append([value])
    return [level[len(level) // 2] for level in found]


def compute_of(rows: Sequence[Row]) -> tuple[Array, bool]:
    """Give the compute of every row, and whether it was measured.

    Where any row lacks it, parameters times tokens stands in for all: only the order is used then.
    """
    measured = column(rows, "compute")
    if len(rows) and bool(np.isfinite(measured).all()):
        return measured, True
    return column(rows, "parameters") * column(rows, "tokens"), False


def seed_noise(rows: Sequence[Row]) -> float | None:
    """Give the standard deviation of ln loss between seeds of the same run, pooled.

    Returns:
        None when fewer than two degrees of freedom exist: one pair says almost nothing.
    """
    groups: dict[tuple[float, float, float | None], dict[object, float]] = defaultdict(dict)
    for row in rows:
        if row.seed is not None:
            key = (row.parameters, row.tokens, row.epochs)
            groups[key][row.seed] = math.log(row.loss)
    repeated = [np.array(list(group.values())) for group in groups.values() if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    if freedom < MIN_NOISE_FREEDOM:
        return None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in repeated)
    return math.sqrt(squares / freedom)


def distinct(values: Iterable[str | None]) -> list[str]:
    """Give the different words, sorted; a missing word is "unnamed"."""
    return sorted({"unnamed" if value is None else value for value in values})


def run_groups(rows: Sequence[Row]) -> NDArray[np.intp]:
    """Give the number of the run that each row belongs to, (rows,)."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(row.run, len(numbers)) for row in rows], dtype=np.intp)
