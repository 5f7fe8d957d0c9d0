"""A name for a recording's files and the way they were preprocessed."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

# To be raised when the same files and options give another shard than before.
CONVERSION = 2


def fingerprint(path: Path, options: Mapping[str, object]) -> str:
    """Give a text that changes when a file's name, size or time changes, or an option does.

    Args:
        path: The recording: a folder or a single file. Contents are not read.
        options: What the shard depends on beside the files.
    """
    root = path if path.is_dir() else path.parent
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    facts = [(file, file.stat()) for file in found if file.is_file()]
    files = [(str(file.relative_to(root)), s.st_size, s.st_mtime_ns) for file, s in facts]
    text = json.dumps([CONVERSION, dict(sorted(options.items())), files])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
