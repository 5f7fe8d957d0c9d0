"""Arguments of the public functions: paths of any type, words of a choice, values of options."""

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.text import split_words, suggest_name

PathLike = str | os.PathLike[str]


def as_paths(value: PathLike | Sequence[PathLike] | None) -> list[Path]:
    """Return one or several paths as a list; None is an empty one."""
    if value is None:
        return []
    if isinstance(value, str | os.PathLike):
        return [Path(value)]
    return [Path(path) for path in value]


def as_path(value: PathLike | None) -> Path | None:
    """Return a path; None stays None."""
    return None if value is None else Path(value)


def as_words(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return words that commas separate, or words of a sequence, each once."""
    words = split_words(value) if isinstance(value, str) else value
    return tuple(dict.fromkeys(words))


def require_choice(name: str, value: str | None, choices: Collection[str]) -> None:
    """Check that an argument is one of some words; None passes.

    Raises:
        OmniMouseError: It is another word; the hint names the most similar one.
    """
    if value is not None and value not in choices:
        raise OmniMouseError(
            f"`{name}` must be one of {', '.join(choices)}: {value!r}",
            hint=suggest_name(str(value), choices),
        )


def require_at_least(least: int, **values: int | None) -> None:
    """Check whole numbers; None passes.

    Raises:
        OmniMouseError: One is smaller, or no whole number.
    """
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not int(value) == value >= least):
            raise OmniMouseError(f"`{name}` must be a whole number of at least {least}: {value}")


@contextmanager
def explain_values() -> Iterator[None]:
    """Raise an OmniMouseError for the ValueError by which options refuse a value.

    Raises:
        OmniMouseError: A value cannot be used.
    """
    try:
        yield
    except ValueError as error:
        raise OmniMouseError(str(error)) from error
