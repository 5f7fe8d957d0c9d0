"""Checks of configuration values; each raises ValueError with the name and the value."""

import math
from collections.abc import Collection


def require_positive(**values: float | None) -> None:
    """Raise ValueError for a value that is not above zero or infinite; None is "off" and passes."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise ValueError(f"`{name}` must be positive: {value}")
        _require_finite(name, value)


def require_not_negative(**values: float | None) -> None:
    """Raise ValueError for a value below zero or infinite; None is "off" and passes."""
    for name, value in values.items():
        if value is not None and not value >= 0:
            raise ValueError(f"`{name}` must not be negative: {value}")
        _require_finite(name, value)


def _require_finite(name: str, value: float | None) -> None:
    if value == math.inf:
        raise ValueError(f"`{name}` must be finite: {value}")


def require_at_most(limit: int, **values: int) -> None:
    """Raise ValueError for a value above a limit."""
    for name, value in values.items():
        if value > limit:
            raise ValueError(f"`{name}` must be at most {limit:,}: {value:,}")


def require_fraction(**values: float | None) -> None:
    """Raise ValueError for a value outside [0, 1); None passes."""
    for name, value in values.items():
        if value is not None and not 0 <= value < 1:
            raise ValueError(f"`{name}` must be at least 0 and below 1: {value}")


def require_one_of(allowed: Collection[str], **values: str | None) -> None:
    """Raise ValueError for a word that is not among `allowed`; None passes."""
    for name, value in values.items():
        if value is not None and value not in allowed:
            raise ValueError(f"`{name}` must be one of {', '.join(allowed)}: {value}")
