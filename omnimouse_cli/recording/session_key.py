"""Session keys: which key a recording has, which keys can be used, and as names of files."""

import hashlib
import re

from omnimouse_cli.errors import RecordingError

# Letters of a key in a file name; file systems take names of 255 bytes, with all that is added.
_LONGEST_NAME = 180


def is_usable_key(key: str) -> bool:
    """Return whether a session key can be a file name.

    Example:
        >>> [is_usable_key(key) for key in ("17797-4-7", "", "a/b", ".hidden")]
        [True, False, False, False]
    """
    return bool(key.strip()) and "/" not in key and "\\" not in key and not key.startswith(".")


def key_as_file_name(key: str) -> str:
    """Return a session key as a part of a file name.

    Unusual characters become `_` and long keys are cut; a hash of the key then follows, so that
    different sessions have different names.

    Example:
        >>> key_as_file_name("17797-4-7"), key_as_file_name("Maus-ä-1")
        ('17797-4-7', 'Maus-_-1-cb07f763')
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", key).lstrip(".")[:_LONGEST_NAME]
    if name == key:
        return name
    return f"{name}-{hashlib.blake2b(key.encode(), digest_size=4).hexdigest()}"


def choose_session_key(own: str, stated: str | None, *, source: str, hint: str) -> str:
    """Return the key that the user states, else the recording's own.

    Args:
        own: Key by the rules of the raw format.
        stated: Key of the user (`OpenOptions.key`), which was checked; None without one.
        source: File or folder that the own key comes from.
        hint: What to do if the own key cannot be used.

    Raises:
        RecordingError: The own key cannot be a file name, and none is stated.
    """
    if stated is not None:
        return stated
    if not is_usable_key(own):
        raise RecordingError(
            f"{source}: the session key must be usable as a file name: {own!r}",
            hint=f"{hint}, or name the session with --key",
        )
    return own
