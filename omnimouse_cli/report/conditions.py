"""Conditions that select rows by the value of a column, and columns by their nearest name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import suggest_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`column==value` or `column!=value`."""

    column: str
    value: str
    equal: bool

    def holds(self, record: Mapping[str, str]) -> bool:
        """Say whether a row is selected; numbers compare as numbers."""
        return same_value(record[self.column], self.value) is self.equal


def parse_condition(text: str) -> Condition:
    """Read `column==value` or `column!=value`; quotes around the value are dropped.

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


def same_value(first: str, second: str) -> bool:
    """Say whether two cells are equal, as numbers where both are numbers."""
    try:
        return float(first) == float(second)
    except ValueError:
        return first.strip() == second.strip()


def require_column(place: str, names: Sequence[str], name: str, option: str) -> None:
    """Raise OmniMouseError with the nearest name unless `place` has the column."""
    if name not in names:
        raise OmniMouseError(
            f"{option} names the column {name!r}, which {place} does not have",
            hint=suggest_name(name, names),
        )
