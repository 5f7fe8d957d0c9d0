"""Which session of which animal a folder holds."""

import re
from pathlib import Path
from typing import Any

from omnimouse_cli.errors import RecordingError
from omnimouse_cli.recording.experanto.meta import Meta, read_json

_SCAN_FIELDS = ("animal_id", "session", "scan_idx")
_SCAN_IN_NAME = re.compile(r"dynamic(\d+-\d+-\d+)")
_REST_OF_NAME = re.compile(r"dynamic(.+?)(?:_gaze.*)?")


def read_session_key(folder: Path) -> str:
    """Give the session key, by the library's rules.

    `data_key` of meta.json; else its `scan_key`; else the scan that a folder name with "dynamic"
    carries; else the folder name.

    Raises:
        RecordingError: The key cannot name a file.
    """
    path = folder / "meta.json"
    meta = read_json(path) if path.is_file() else Meta(where=str(path), values={})
    key = meta.optional_text("data_key") or _scan_key(meta.values.get("scan_key"))
    if key is None:
        key = _key_in_name(folder.resolve().name)
    if "/" in key or "\\" in key or key.startswith("."):
        raise RecordingError(
            f"{meta.where}: the session key must be usable as a file name: {key!r}",
            hint="correct `data_key`",
        )
    return key


def animal_of(session: str) -> str:
    """Give the animal of a session key: the text before its first "-"."""
    return session.split("-", 1)[0] or session


def _scan_key(scan: Any) -> str | None:  # noqa: ANN401 - whatever the file has
    if not isinstance(scan, dict) or any(scan.get(field) is None for field in _SCAN_FIELDS):
        return None
    return "-".join(str(scan[field]) for field in _SCAN_FIELDS)


def _key_in_name(name: str) -> str:
    scan = _SCAN_IN_NAME.search(name)
    if scan:
        return scan[1]
    rest = _REST_OF_NAME.fullmatch(name)
    return rest[1] if rest else name
