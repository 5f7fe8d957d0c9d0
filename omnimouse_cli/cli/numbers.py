"""Large numbers as people read them."""

_UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


def short_count(count: int | None) -> str:
    """Give a unit and one decimal: 14.8 M; below a million the number itself, for None a dash."""
    if count is None:
        return "-"
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:,}"


def short_bytes(num_bytes: int) -> str:
    """Give an amount of memory in GiB, below one in MiB."""
    if num_bytes >= 2**30:
        return f"{num_bytes / 2**30:.2f} GiB"
    return f"{num_bytes / 2**20:.1f} MiB"


def percent(share: float) -> str:
    """Give a share as a percentage with one decimal."""
    return f"{100 * share:.1f} %"


def counted(count: int, noun: str) -> str:
    """Give a number with its noun: 1 session, 2 sessions."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def short_minutes(minutes: float) -> str:
    """Give minutes with one decimal, below one minute with two digits that count."""
    return f"{minutes:.1f}" if minutes >= 1 else f"{minutes:.2g}"
