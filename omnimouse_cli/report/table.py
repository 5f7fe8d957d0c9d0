"""The table that a scaling law is fitted to: one row per finished run, and excluded rows."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import suggest_name

Array = NDArray[np.float64]

# Values of one design level differ a little (neurons per session, rounding to whole batches).
SAME_LEVEL = 1.1
# Values within 1 % are one value that was rounded.
ROUNDING = 1.01
MIN_NOISE_FREEDOM = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One finished run.

    Args:
        run: Name; rows of one name are resampled together.
        source: File and line, or folder, of the numbers.
        parameters: Number of parameters that the law is fitted in.
        tokens: Unique tokens (neuron-samples) that the run was trained on.
        loss: Validation loss, above zero.
        seed: Seed of the training.
        subset: Name of the sample of the data that the run was trained on; runs of other sizes and
            seeds share it.
        split: Data that the loss was measured on.
        metric: Kind of the loss.
        compute: Floating-point operations of the training.
        tokens_seen: Tokens with repetitions.
        epochs: Passes over the data: `tokens_seen` over `tokens`, where both are known.
        steps: Optimizer steps.
        neuron_hours: Unique hours of recording, times neurons.
        learning_rate: Peak learning rate of the core.
        tasks: Validation loss of each task.
        parameters_core: Parameters that all animals share.
        parameters_tables: Parameters of session embeddings.
    """

    run: str
    source: str
    parameters: float
    tokens: float
    loss: float
    seed: int | None = None
    subset: str | None = None
    split: str | None = None
    metric: str | None = None
    compute: float | None = None
    tokens_seen: float | None = None
    epochs: float | None = None
    steps: float | None = None
    neuron_hours: float | None = None
    learning_rate: float | None = None
    tasks: Mapping[str, float] | None = None
    parameters_core: float | None = None
    parameters_tables: float | None = None

    def __post_init__(self) -> None:
        for name in ("parameters", "tokens", "loss"):
            require_positive(name, getattr(self, name))
        for name in ("compute", "tokens_seen", "epochs"):
            if getattr(self, name) is not None:
                require_positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExcludedRow:
    """A row that cannot be used, and the reason."""

    run: str
    source: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """The input of a scaling report.

    Args:
        title: Origin of the rows.
        rows: Usable rows.
        excluded: Rows that cannot be used.
        parameters_counted: Which parameters are counted, in words.
        notes: Warnings about the numbers, for the report.
    """

    title: str
    rows: tuple[RunRow, ...]
    excluded: tuple[ExcludedRow, ...] = ()
    parameters_counted: str = "parameters"
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A condition that selects rows: `column==value`, or `column!=value` with `equal=False`."""

    column: str
    value: str
    equal: bool

    def holds(self, cells: Mapping[str, str]) -> bool:
        """Return whether a row is selected; numbers are compared as numbers."""
        cell = cells[self.column]
        try:
            is_same = float(cell) == float(self.value)
        except ValueError:
            is_same = cell.strip() == self.value.strip()
        return is_same is self.equal


def parse_condition(text: str) -> Condition:
    """Parse `column==value` or `column!=value`; quotes around the value are dropped.

    Raises:
        OmniMouseError: It is neither.
    """
    for operator in ("==", "!="):
        column, found, value = text.partition(operator)
        if found and column.strip():
            return Condition(
                column=column.strip(), value=value.strip().strip("'\""), equal=operator == "=="
            )
    raise OmniMouseError(
        f"--where takes column==value or column!=value: {text!r}",
        hint="for example: --where 'train_set==c4_original'",
    )


def require_column(source: str, names: Sequence[str], name: str, option: str) -> None:
    """Raise OmniMouseError, with the most similar name, unless `name` is one of `names`."""
    if name not in names:
        raise OmniMouseError(
            f"{option} names the column {name!r}, which {source} does not have",
            hint=suggest_name(name, names),
        )


def require_positive(name: str, value: object) -> None:
    """Raise ValueError unless `value` is a finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"`{name}` must be a number: {value!r}")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"`{name}` must be a finite number above zero: {value:g}")


def get_column(rows: Sequence[RunRow], name: str) -> Array:
    """Return one numeric column, float64 `(rows,)`, NaN where a row has no value."""
    values = [getattr(row, name) for row in rows]
    return np.array([math.nan if value is None else value for value in values], dtype=float)


def get_log_sizes(rows: Sequence[RunRow]) -> Array:
    """Return ln parameters and ln tokens, float64 `(rows, 2)`."""
    return np.log(np.stack([get_column(rows, "parameters"), get_column(rows, "tokens")], axis=1))


def find_levels(values: Array, same: float = SAME_LEVEL) -> list[float]:
    """Return the different values, ascending; values within 10 % are one level.

    Args:
        values: The values, above zero.
        same: Largest ratio of two values of one level.

    Example:
        >>> find_levels(np.array([10.0, 1.0, 1.05, 1.0]))
        [1.0, 10.0]
    """
    found: list[list[float]] = []
    for value in sorted(values.tolist()):
        if found and value <= found[-1][0] * same:
            found[-1].append(value)
        else:
            found.append([value])
    return [level[len(level) // 2] for level in found]


def get_compute(rows: Sequence[RunRow]) -> tuple[Array, bool]:
    """Return the compute of every row `(rows,)`, and whether it was measured.

    Where any row has none, parameters times tokens replace it in all rows.
    """
    measured = get_column(rows, "compute")
    if len(rows) and bool(np.isfinite(measured).all()):
        return measured, True
    return get_column(rows, "parameters") * get_column(rows, "tokens"), False


def number_levels(values: Array, same: float = SAME_LEVEL) -> NDArray[np.intp]:
    """Return the number of the level that each value belongs to, from the lowest, `(rows,)`."""
    levels = np.log(find_levels(values, same))
    numbers: NDArray[np.intp] = np.abs(np.log(values)[:, None] - levels).argmin(axis=1)
    return numbers


def number_subsets(rows: Sequence[RunRow]) -> NDArray[np.intp] | None:
    """Return the number of the subset of data of each row, `(rows,)`; None if any is unknown.

    Equal names at different amounts of data are different subsets.
    """
    if not rows or any(row.subset is None for row in rows):
        return None
    levels = number_levels(get_column(rows, "tokens"))
    keys = [(level, row.subset) for level, row in zip(levels.tolist(), rows, strict=True)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], dtype=np.intp)


def find_largest_run(rows: Sequence[RunRow]) -> RunRow:
    """Return the run with the most compute; with equal compute the one with more parameters."""
    compute, _ = get_compute(rows)
    return max(zip(compute, rows, strict=True), key=lambda pair: (pair[0], pair[1].parameters))[1]


def compute_seed_noise(rows: Sequence[RunRow]) -> float | None:
    """Return the standard deviation of ln loss between seeds of the same run, pooled.

    None with fewer than two degrees of freedom: a single pair is hardly informative.
    """
    epochs = get_column(rows, "epochs")
    # Seeds draw sessions in another order, so that runs of equal steps see slightly other tokens.
    levels = find_levels(epochs[np.isfinite(epochs)])
    groups: dict[tuple[object, ...], dict[object, float]] = defaultdict(dict)
    for row in rows:
        if row.seed is not None:
            level = None if row.epochs is None else _nearest(row.epochs, levels)
            key = (row.parameters, row.tokens, level, row.subset)
            groups[key][row.seed] = math.log(row.loss)
    repeated = [np.array(list(group.values())) for group in groups.values() if len(group) > 1]
    freedom = sum(len(group) - 1 for group in repeated)
    if freedom < MIN_NOISE_FREEDOM:
        return None
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in repeated)
    return math.sqrt(squares / freedom)


def _nearest(value: float, levels: Sequence[float]) -> float:
    return min(levels, key=lambda level: abs(math.log(level / value)))


def list_names(values: Iterable[str | None]) -> list[str]:
    """Return the different names, sorted; None is "unnamed"."""
    return sorted({"unnamed" if value is None else value for value in values})


def number_runs(rows: Sequence[RunRow]) -> NDArray[np.intp]:
    """Return the number of the run that each row belongs to, `(rows,)`."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(row.run, len(numbers)) for row in rows], dtype=np.intp)


def resample_runs(
    rows: Sequence[RunRow], num_resamples: int, generator: np.random.Generator
) -> Array:
    """Return how often each row occurs in each bootstrap resample of whole runs.

    Returns:
        float64 `(num_resamples, rows)`.
    """
    groups = number_runs(rows)
    num_runs = int(groups.max()) + 1
    counts = generator.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=num_resamples)
    return counts[:, groups].astype(float)
