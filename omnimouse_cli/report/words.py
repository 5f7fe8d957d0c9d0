"""Numbers in sentences and tables, as people write them."""

import math


def short(value: float) -> str:
    """Write a count with a unit: 12.3M.

    Args:
        value: A number; below a thousand it is written as it is.
    """
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size * (1 - 5e-4):
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}" if math.isfinite(value) else "-"


def number(value: float | None) -> str:
    """Write a number with four digits, "-" for none.

    Args:
        value: A number or None.
    """
    return "-" if value is None else f"{value:.4g}"


def counted(count: int, noun: str) -> str:
    """Write a count and its noun: 1 row, 2 rows.

    Args:
        count: How many.
        noun: In the singular; the plural takes an s.
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
