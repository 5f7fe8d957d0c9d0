"""What `--sessions` says: a number of sessions, or the keys of some."""

from collections.abc import Collection
from pathlib import Path

from omnimouse_cli.errors import OmniMouseError
from omnimouse_cli.reporter import Reporter
from omnimouse_cli.text import pluralize, split_words, suggest_name

# Numbers with more digits are keys, as the ids of experiments.
_MOST_DIGITS = 6


def parse_sessions(text: str, shards: Path, progress: Reporter) -> int | list[str]:
    """Return the number of sessions, or their keys; a number that is a session's key is the key.

    Args:
        text: A number, or keys separated by commas.
        shards: Folder of shards; one that cannot be opened is refused where it is used.
        progress: Says which of the two a number is taken for, where it could be either.

    Raises:
        OmniMouseError: There are fewer sessions.
    """
    from omnimouse_cli.shard.catalogue import open_shards

    words = split_words(text)
    if len(words) != 1 or not is_number(words[0]):
        return words
    try:
        keys = list(open_shards(shards).shards)
    except OmniMouseError:
        return int(words[0]) if len(words[0]) <= _MOST_DIGITS else words
    count = as_count(words[0], keys)
    if words[0] not in keys:
        if count is None:
            raise refuse_sessions(words[0], shards, keys)
        return count
    if count is not None:
        progress.say(
            f"--sessions {count} is taken for the session of that name; for a number of "
            f"sessions: --set data.max_sessions={count}"
        )
    return words


def is_number(word: str) -> bool:
    """Return whether a word is a whole number in decimal digits."""
    return word.isascii() and word.isdecimal()


def as_count(word: str, keys: Collection[str]) -> int | None:
    """Return the number of sessions that a word is, from 1 to all; else None."""
    is_count = is_number(word) and len(word) <= _MOST_DIGITS and 1 <= int(word) <= len(keys)
    return int(word) if is_count else None


def refuse_sessions(word: str, shards: Path, keys: Collection[str]) -> OmniMouseError:
    """Return the error of a word of `--sessions` that is neither a number nor a key of sessions."""
    return OmniMouseError(
        f"--sessions {word}: {shards} has {pluralize(len(keys), 'session')}, and none has this key",
        hint=f"a number from 1 to {len(keys)}, or keys; {suggest_name(word, keys)}",
    )
