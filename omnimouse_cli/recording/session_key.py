"""Session keys: which key a recording has, and which keys can be used."""

from omnimouse_cli.errors import RecordingError


def is_usable_key(key: str) -> bool:
    """Return whether a session key can be a file name.

    Example:
        >>> [is_usable_key(key) for key in ("17797-4-7", "", "a/b", ".hidden")]
        [True, False, False, False]
    """
    return bool(key.strip()) and "/" not in key and "\\" not in key and not key.startswith(".")


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
