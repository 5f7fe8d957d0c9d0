"""Numbers and names in messages and tables."""

import difflib
import math
from collections.abc import Iterable

_UNITS = (("T", 1e12), ("G", 1e9), ("M", 1e6))
# Control characters, as names inside of raw files may hold: a terminal would obey them.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def suggest_name(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Return a hint that names the known name most similar to `name`, or lists all.

    Of similar names, one that begins with `name` is the first.

    Args:
        name: The name that is not known.
        known: The names that are.
        cutoff: Least similarity (0 to 1) of a suggestion; 0 suggests even an unlike one.

    Example:
        >>> suggest_name("tinny", ["nano", "tiny"])
        'did you mean `tiny`?'
        >>> suggest_name("80M", ["nano", "tiny"])
        'known: nano, tiny'
    """
    names = sorted(known)
    similar = difflib.get_close_matches(name, names, n=len(names) or 1, cutoff=cutoff)
    close = sorted(similar, key=lambda one: not one.startswith(name))
    return f"did you mean `{close[0]}`?" if close else f"known: {', '.join(names) or 'none'}"


def split_words(text: str) -> list[str]:
    """Split a comma-separated text; empty words are dropped.

    Example:
        >>> split_words("ridge, glm,")
        ['ridge', 'glm']
    """
    return [word.strip() for word in text.split(",") if word.strip()]


def format_count(count: float | None) -> str:
    """Return a count for a table: millions and more with a unit, smaller ones whole.

    Example:
        >>> format_count(14_816_000), format_count(15_232), format_count(None)
        ('14.8 M', '15,232', '-')
    """
    if count is None:
        return "-"
    for unit, size in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:,.0f}"


def format_magnitude(value: float) -> str:
    """Return a number of any size with three digits and a unit, for labels and progress lines.

    Example:
        >>> format_magnitude(14_816_000), format_magnitude(15_232), format_magnitude(0.51234)
        ('14.8M', '15.2k', '0.512')
    """
    for unit, size in (*_UNITS, ("k", 1e3)):
        # From 999.5 on, three digits are a thousand.
        if value >= size * (1 - 5e-4):
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}" if math.isfinite(value) else "-"


def format_number(value: float | None) -> str:
    """Return a number with four digits, "-" for None."""
    return "-" if value is None else f"{value:.4g}"


def format_bytes(num_bytes: int) -> str:
    """Return an amount of memory in GiB, below one GiB in MiB."""
    if num_bytes >= 2**30:
        return f"{num_bytes / 2**30:.2f} GiB"
    return f"{num_bytes / 2**20:.1f} MiB"


def format_percent(fraction: float) -> str:
    """Return a fraction as a percentage with one decimal: 12.5 %."""
    return f"{100 * fraction:.1f} %"


def format_minutes(minutes: float) -> str:
    """Return minutes with one decimal, below one minute with two digits."""
    return f"{minutes:.1f}" if minutes >= 1 else f"{minutes:.2g}"


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units, rounded to the smaller one.

    Example:
        >>> format_duration(42.3), format_duration(250), format_duration(7500)
        ('42 s', '4 min', '2 h 5 min')
        >>> format_duration(90), format_duration(200_000)
        ('2 min', '2 d 8 h')
    """
    if round(seconds) < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def pluralize(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count and its noun.

    Args:
        count: The count.
        noun: The noun in the singular, maybe with its verb.
        plural: The same in the plural; None adds an s.

    Example:
        >>> pluralize(1, "session"), pluralize(2500, "session")
        ('1 session', '2,500 sessions')
        >>> pluralize(1, "row is dropped", "rows are dropped")
        '1 row is dropped'
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def escape_control(text: str, *, keep: str = "") -> str:
    r"""Return a text with control characters, but those in `keep`, replaced by their codes.

    Example:
        >>> print(escape_control("mouse\x1b[2J"))
        mouse\x1b[2J
    """
    return text.translate({code: name for code, name in _CONTROL.items() if chr(code) not in keep})


def escape_math(text: str) -> str:
    r"""Return a text that Matplotlib shows as it is, also where it holds dollar signs.

    Example:
        >>> print(escape_math("mouse $x^{"))
        mouse \$x^{
    """
    return text.replace("$", r"\$")
